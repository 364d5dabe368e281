"""A model's entities as objects, and as tags of words that were given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras.data.tagged_sentence import word_starts
from bvkeras.serving.ragged_rows import trim_rows
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.tag_scheme import OUTSIDE

_NAMES = ("type", "start", "end", "entity", "score")


def entity_lists(
    answers: Mapping[str, np.ndarray],
) -> list[list[dict[str, Any]]]:
    """The entities of each text.

    Args:
        answers: mapping. What `TextModel.predict` gives, of kind `tokens`.

    Returns:
        list of lists of dicts, in the order of the text: `type` (str),
        `start` and `end` (characters of the text, the second one after the
        last), `text` (str) and `score` (float).
    """
    trimmed = trim_rows(Kind.TOKENS, answers)
    rows = zip(*(trimmed[name] for name in _NAMES), strict=True)
    return [
        [
            {
                "type": kind,
                "start": int(start),
                "end": int(end),
                "text": text,
                # As short as names the float32.
                "score": float(str(score)),
            }
            for kind, start, end, text, score in zip(*row, strict=True)
        ]
        for row in rows
    ]


def word_tags(
    words: Sequence[str],
    entities: Sequence[Mapping[str, Any]],
    label_names: Sequence[str],
) -> tuple[str, ...]:
    """The tags of words, of the entities in them with a blank between.

    A word is of an entity that has its beginning.

    Args:
        words: sequence of str.
        entities: sequence of mappings, as one of `entity_lists`.
        label_names: sequence of str. The model's tags.

    Returns:
        tuple of str, as `bvkeras.tasks.TagScheme.to_learned` gives them; of a
        word without an entity `O`, or where there is none the first tag.
    """
    is_plain = OUTSIDE not in label_names
    tags = [label_names[0] if is_plain else OUTSIDE] * len(words)
    starts = word_starts(tuple(words))
    for entity in entities:
        first = int(np.searchsorted(starts, entity["start"], side="right")) - 1
        is_begun = False
        for place in range(first, len(words)):
            if starts[place] >= entity["end"]:
                break
            before = words[place][: max(entity["start"] - starts[place], 0)]
            if any(map(_is_seen, before)):
                continue
            letter = "I" if is_begun else "B"
            kind = entity["type"]
            tags[place] = kind if is_plain else f"{letter}-{kind}"
            is_begun = True
    return tuple(tags)


def _is_seen(character: str) -> bool:
    """Whether it is none of those that the tokenizer drops."""
    return character.isprintable() and not character.isspace()
