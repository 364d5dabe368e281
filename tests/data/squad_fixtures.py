"""Small files in SQuAD's official layout, made up for the tests."""

import json
import pathlib

import numpy as np

from bvkeras import tasks
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.span_question import SpanAnswer, SpanQuestion

SQUAD = tasks.get("squad_v2")
_WORDS = ("cat", "sat", "mat", "dog", "ran", "a", "b", "c", "un", "the")


def write_squad(directory: pathlib.Path) -> pathlib.Path:
    """Writes `train-v2.0.json`, 5 articles, and `dev-v2.0.json`, 2."""
    folder = directory / "squad_v2"
    folder.mkdir()
    for name, titles, seed in (
        ("train", ("Birds", "Cats", "Dogs", "Łódź", "Zoë"), 1),
        ("dev", ("Cities", "Rivers"), 2),
    ):
        data = made_up_file(titles, np.random.default_rng(seed), name)
        (folder / f"{name}-v2.0.json").write_text(
            json.dumps(data, ensure_ascii=False), encoding="utf-8"
        )
    return directory


def made_up_file(titles, random, prefix):
    """An official file: two paragraphs an article, four questions each.

    A context has one number; two questions ask for it, two for what is not
    there.
    """
    articles = []
    for title in titles:
        paragraphs = []
        for place in range(2):
            paragraphs.append(
                _paragraph(random, f"{prefix}-{title}-{place}", 8 + 24 * place)
            )
        articles.append({"title": title, "paragraphs": paragraphs})
    return {"version": "v2.0", "data": articles}


def _paragraph(random, name, num_words):
    words = random.choice(_WORDS, num_words).tolist()
    number = " ".join(random.choice(list("3579"), random.integers(1, 4)))
    words.insert(random.integers(num_words), number)
    context = " ".join(words)
    start = context.index(number)
    answers = [
        {"text": number, "answer_start": start},
        {"text": number[:1], "answer_start": start},
    ]
    questions = []
    for count, (text, found) in enumerate(
        [("7 ?", True), ("X ?", False), ("the 7 ?", True), ("the X ?", False)]
    ):
        questions.append(
            {
                "id": f"{name}-{count}",
                "question": text,
                "answers": answers if found else [],
                "is_impossible": not found,
            }
        )
    return {"context": context, "qas": questions}


def make_question(context, *answers, name="q", question="?", article="A"):
    """A question whose answers are texts, or pairs of text and start."""
    found = []
    for answer in answers:
        if isinstance(answer, str):
            answer = (answer, context.index(answer))
        found.append(SpanAnswer(*answer))
    return SpanQuestion(name, article, question, context, tuple(found))


def make_span_examples(*questions, split="validation", windows=SQUAD.windows):
    """A split of such questions."""
    return SpanExamples("squad_v2", split, questions, windows, "made up")
