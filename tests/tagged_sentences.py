"""Sentences with names and places, made up: words and their tags."""

import json
import pathlib
import random

FIRST = (
    *("Ada", "Zoë", "Noor", "Émile", "Ruth", "Igor", "Mei", "Omar", "Ines"),
    *("Kofi", "Lena", "Tomás", "Yara", "Bo", "Clara", "Ravi"),
)
LAST = (
    *("Lovelace", "O'Brien", "Okafor", "Zola", "Smith-Jones", "Petrov"),
    *("Chen", "Haddad", "Costa", "Mensah", "Berg", "Silva", "Klein"),
)
PLACES = (
    *("Paris", "New York", "Rio de Janeiro", "St. Ives", "Oslo", "Accra"),
    *("Lima", "Kyoto", "東京", "ירושלים", "القاهرة", "São Paulo", "Cork"),
    *("U.S.", "Port-au-Prince", "The Hague"),
)
PATTERNS = (
    "P met Q in L .",
    "In L , P was seen with Q .",
    "P 🙂 , who left L for L , wrote to Q .",
    "Nobody knows the way from the N to the N .",
    "The train from L to L is late 🙃 .",
    "It was P 's idea , not Q 's .",
    "Ask P about the bread in L !",
    "The May rain may stop at the N in May .",
    "“ Bread ” , said P , “ is best in L . ”",
    "They asked : where is L ?",
    "Yesterday P sold the old house in L .",
    "We had N and N in the N .",
)
SYLLABLES = ("ba", "lo", "mi", "ren", "ta", "vik", "zu", "sho", "del", "quo")
NOUNS = (
    *("garden", "river", "soup", "letter", "bridge", "bread", "kitchen"),
    *("museum", "road", "market", "tea", "office", "window", "tower"),
)
LONG = " and then P went from L to L ," * 12 + " where P stayed ."


def make_sentences(count: int, seed: int = 0, long_every: int = 40):
    """Pairs of words and tags in IOB2: PER and LOC, every so often long ones.

    Right-to-left and Chinese places, emoji, points inside of words; half of
    the names are made up anew, so that context must tell them.
    """
    chance = random.Random(seed)
    sentences = []
    for number in range(count):
        pattern = chance.choice(PATTERNS)
        if long_every and number % long_every == long_every - 1:
            pattern = LONG
        words, tags = [], []
        for part in pattern.split():
            kind, found = "", [part]
            if part in ("P", "Q"):
                kind, found = "PER", [_name(chance, FIRST)]
                if chance.random() < 0.6:
                    found.append(_name(chance, LAST))
            elif part == "L":
                kind, found = "LOC", _name(chance, PLACES).split()
            elif part == "N":
                found = [chance.choice(NOUNS)]
            words += found
            tags += _tags(kind, len(found))
        sentences.append((words, tags))
    return sentences


def make_small_sentences(count: int, seed: int = 0):
    """As `make_sentences`, of words that the tests' tiny encoder knows.

    `The` is a part of a pet where a pet follows, and nothing elsewhere; a
    word with a point inside is two words to the tokenizer.
    """
    chance = random.Random(seed)
    pets = (["The", "cat"], ["The", "dog"], ["Zo"], ["cat"], ["dog"])
    places = (["日", "本"], ["中"], ["mat.the"], ["日", "文"])
    sentences = []
    for number in range(count):
        words, tags = [], []
        for _ in range(10 if number % 8 == 7 else chance.randint(1, 3)):
            pet, place = chance.choice(pets), chance.choice(places)
            for found, kind in (
                (pet, "PET"),
                (chance.choice((["sat"], ["ran", "🙂"])), ""),
                (chance.choice((["on", "The", "mat"], ["on"])), ""),
                (place, "LOC"),
                (chance.choice(([], ["שלום"], ["."])), ""),
            ):
                words += found
                tags += _tags(kind, len(found))
        sentences.append((words, tags))
    return sentences


def write_conll(path: pathlib.Path, sentences) -> pathlib.Path:
    """The sentences in CoNLL's columns."""
    text = "".join(
        "".join(f"{w} {t}\n" for w, t in zip(*sentence, strict=True)) + "\n"
        for sentence in sentences
    )
    path.write_text(f"-DOCSTART- O\n\n{text}", encoding="utf-8")
    return path


def write_json_lines(path: pathlib.Path, sentences) -> pathlib.Path:
    """The sentences as lists, an object a line."""
    lines = [
        json.dumps({"words": words, "tags": tags}) for words, tags in sentences
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _name(chance, names):
    if chance.random() < 0.5:
        return chance.choice(names)
    return "".join(chance.choices(SYLLABLES, k=3)).capitalize()


def _tags(kind, count):
    if not kind:
        return ["O"] * count
    return [f"B-{kind}", *[f"I-{kind}"] * (count - 1)]
