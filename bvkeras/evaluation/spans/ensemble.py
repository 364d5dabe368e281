"""Two systems' answers to questions together: the mean or maximum of both."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras import fileio
from bvkeras.data.span_examples import SpanExamples
from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.ensemble import RULES
from bvkeras.evaluation.spans.answers import (
    ANSWERS_BYTES,
    NBEST_FILE,
    Answers,
    evaluate_answers,
)
from bvkeras.evaluation.spans.evaluation import SpanEvaluation
from bvkeras.schema import (
    NUMBER,
    OBJECT,
    TEXT,
    find_problem,
    list_of,
    record_of,
)

_NO_ANSWER = ""
_SHARE = {**NUMBER, "minimum": 0}
_CANDIDATES = list_of(record_of(text=TEXT, probability=_SHARE))

# As nbest.json has them.
Candidates = Sequence[Mapping[str, Any]]


def combine_candidates(
    first: Candidates, second: Candidates, rule: str
) -> dict[str, float]:
    """The candidates of two systems for one question, taken together.

    A text that only one of them has among its candidates has probability 0
    with the other: of each its twenty best are known.

    Args:
        first: sequence of dicts with `text` and `probability`.
        second: sequence of dicts. The other system's.
        rule: str. `"mean"` or `"maximum"`: what is taken of the two
            probabilities of each text.

    Returns:
        dict of text to probability, the highest first; they add up to 1. The
        empty text is no answer.

    Raises:
        ArgumentError: an unknown rule.
    """
    if rule not in RULES:
        raise ArgumentError(
            f"rule: expected one of {', '.join(RULES)}, got {rule!r}"
        )
    shares = [
        {entry["text"]: entry["probability"] for entry in candidates}
        for candidates in (first, second)
    ]
    combine = max if rule == "maximum" else lambda one, other: (one + other) / 2
    both = {
        text: combine(*(part.get(text, 0.0) for part in shares))
        for text in {**shares[0], **shares[1]}
    }
    total = sum(both.values())
    ordered = sorted(both.items(), key=lambda item: -item[1])
    return {text: share / total for text, share in ordered}


def evaluate_span_ensemble(
    examples: SpanExamples,
    first: str | os.PathLike,
    second: str | os.PathLike,
    directory: str | os.PathLike,
    rule: str,
    threshold: float | str,
) -> SpanEvaluation:
    """Scores two systems' answers together, from their files.

    The best text is the one with the highest probability besides that of no
    answer; `na_prob` is no answer's share of those two.

    Args:
        examples: SpanExamples. The split.
        first: str or path. What `evaluate_spans` wrote for one system: the
            folder of the split.
        second: str or path. The same of the other.
        directory: str or path. Where the files go, as of `evaluate_answers`.
        rule: str. As `combine_candidates`.
        threshold: float or str. As `evaluate_answers`.

    Raises:
        ArgumentError: an unknown rule.
        RunError: the files are there and were made with something else.
        OSError: a file cannot be read or written.
    """
    paths = [pathlib.Path(folder) / NBEST_FILE for folder in (first, second)]
    settings = {
        "rule": rule,
        "nbest": [fileio.file_digest(path) for path in paths],
    }

    def answer() -> Answers:
        nbests = [
            fileio.read_json(path, OBJECT, max_bytes=ANSWERS_BYTES)
            for path in paths
        ]
        for path, part in zip(paths, nbests, strict=True):
            for name in examples.ids:
                problem = find_problem(part.get(name), _CANDIDATES)
                if problem:
                    raise DataError(f"{path}: question {name!r}: {problem}")
        texts, na_probs, nbest = [], [], {}
        for name in examples.ids:
            both = combine_candidates(nbests[0][name], nbests[1][name], rule)
            text = next((text for text in both if text), _NO_ANSWER)
            texts.append(text)
            none = both.get(_NO_ANSWER, 0.0)
            na_probs.append(none / (none + both[text]) if text else 1.0)
            nbest[name] = [
                {"text": text, "probability": share}
                for text, share in both.items()
            ]
        return Answers(texts, np.array(na_probs), nbest)

    return evaluate_answers(examples, directory, settings, answer, threshold)
