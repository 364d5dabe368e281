"""Answers to a split's questions, in the official files, and their scores."""

import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from bvkeras import fileio
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.squad_windows import window_question
from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.spans.evaluation import SpanEvaluation
from bvkeras.evaluation.spans.search import SpanCandidates, find_spans
from bvkeras.evaluation.spans.squad_metrics import (
    answer_scores,
    best_threshold,
    official_scores,
    with_threshold,
)
from bvkeras.schema import (
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    Schema,
    find_problem,
    list_of,
    record_of,
)

# predictions.json holds the answers given, of no answer the empty text;
# texts.json the best text of every question, whatever its na_prob.
_FILES = ("predictions.json", "texts.json", "na_prob.json")
NBEST_FILE = "nbest.json"
_RECORD_FILE = "scores.json"
_SCHEMA = record_of(seconds=SECONDS, settings=OBJECT)
# Of a question some hundred bytes, in nbest.json some thousand.
ANSWERS_BYTES = 1 << 30


class WindowLogits(NamedTuple):
    """What a model says of a split's windows.

    Attributes:
        ids: sequence of str. `<question id>#<number>`.
        logits: float32 array `(windows, tokens, 2)`, with `MASKED_LOGIT`
            where no answer can be and after a window's end.
        offsets: sequence of int arrays `(tokens, 2)`, one a window.
    """

    ids: Sequence[str]
    logits: np.ndarray
    offsets: Sequence[np.ndarray]


class Answers(NamedTuple):
    """What a system answers to a split's questions, in its order.

    Attributes:
        texts: list of str. The best text of each, whatever its `na_prob`.
        na_probs: float array `(questions,)`. How likely no answer is.
        nbest: dict of question id to its candidates, the best first, as
            nbest.json has them.
    """

    texts: list[str]
    na_probs: np.ndarray
    nbest: dict[str, list[dict[str, Any]]]


def evaluate_spans(
    examples: SpanExamples,
    directory: str | os.PathLike,
    settings: dict[str, Any],
    predict: Callable[[], WindowLogits],
    threshold: float | str,
) -> SpanEvaluation:
    """Answers and scores the questions of a split, from a model's logits.

    Args:
        examples: SpanExamples. The split.
        directory: str or path. Where the files go.
        settings: dict. What the answers were made with.
        predict: callable. Gives the windows' logits.
        threshold: float or str. As `evaluate_answers`.

    Raises:
        RunError: the files are there and were made with something else.
    """

    def answer() -> Answers:
        candidates = find_candidates(examples, predict())
        return Answers(
            best_texts(examples, candidates),
            candidates.na_probs,
            _nbest(examples, candidates),
        )

    return evaluate_answers(examples, directory, settings, answer, threshold)


def evaluate_answers(
    examples: SpanExamples,
    directory: str | os.PathLike,
    settings: dict[str, Any],
    answer: Callable[[], Answers],
    threshold: float | str,
) -> SpanEvaluation:
    """Scores answers to the questions of a split.

    Writes into `<split>/` the files `predictions.json`, `na_prob.json` and
    `nbest.json` in the official layouts, `texts.json`, and `scores.json` with
    what the official script prints; done before, it reads them instead.

    Args:
        examples: SpanExamples. The split.
        directory: str or path. Where the files go.
        settings: dict. What the answers were made with.
        answer: callable. Gives the answers.
        threshold: float or str. `na_prob` above it is no answer. `"exact"` or
            `"f1"` takes the one with the best exact match or the best F1 on
            these questions.

    Raises:
        RunError: the files are there and were made with something else.
    """
    folder = pathlib.Path(directory) / examples.split
    record_path = folder / _RECORD_FILE
    settings = {**settings, "threshold": threshold}
    files = (*_FILES, NBEST_FILE, _RECORD_FILE)
    if all((folder / name).exists() for name in files):
        record = fileio.read_json(record_path, _SCHEMA)
        fileio.require_same(record_path, record["settings"], settings)
        kept = [
            _of_each(examples, folder / name, values)
            for name, values in zip(_FILES[1:], (TEXT, NUMBER), strict=True)
        ]
        return _scored(
            examples,
            folder,
            kept[0],
            np.array(kept[1]),
            threshold,
            record["seconds"],
        )
    began = time.monotonic()
    texts, na_probs, nbest = answer()
    seconds = time.monotonic() - began
    result = _scored(examples, folder, texts, na_probs, threshold, seconds)
    given = [
        "" if na_prob > result.threshold else text
        for text, na_prob in zip(texts, na_probs, strict=True)
    ]
    fileio.write_json(folder / NBEST_FILE, nbest)
    for name, values in zip(
        _FILES, (given, texts, na_probs.tolist()), strict=True
    ):
        fileio.write_json(
            folder / name, dict(zip(examples.ids, values, strict=True))
        )
    has_answer = np.array([bool(q.answers) for q in examples.questions])
    scores = official_scores(result.exact, result.f1, has_answer)
    for name, best in (("exact", result.best_exact), ("f1", result.best_f1)):
        scores[f"best_{name}"] = 100 * best.score
        scores[f"best_{name}_thresh"] = best.threshold
    fileio.write_json(
        record_path,
        {
            "scores": scores,
            "threshold": result.threshold,
            "seconds": seconds,
            "settings": settings,
        },
    )
    return result


def find_candidates(
    examples: SpanExamples, windows: WindowLogits
) -> SpanCandidates:
    """The best spans of each question of a split, in its order.

    Raises:
        ArgumentError: a question has no window, or a window no question.
    """
    rows = {name: row for row, name in enumerate(examples.ids)}
    names = [window_question(name) for name in windows.ids]
    strangers = set(names) ^ set(rows)
    if strangers:
        raise ArgumentError(
            f"examples: {len(strangers)} questions have no window or are not "
            f"in {examples.split}, such as {min(strangers)!r}; expected the "
            "questions that the windows are of"
        )
    return find_spans(
        windows.logits,
        windows.offsets,
        np.array([rows[name] for name in names]),
        len(examples),
    )


def best_texts(examples: SpanExamples, candidates: SpanCandidates) -> list[str]:
    """The text of each question's best span; empty where there is none."""
    return [
        question.context[start:end]
        for question, (start, end) in zip(
            examples.questions, candidates.characters[:, 0], strict=True
        )
    ]


def _of_each(
    examples: SpanExamples, path: pathlib.Path, value: Schema
) -> list[Any]:
    """What a file says of each question of a split, in its order."""
    found = fileio.read_json(path, OBJECT, max_bytes=ANSWERS_BYTES)
    # Not a property for each: their number makes the check slow.
    values = [found.get(name) for name in examples.ids]
    problem = find_problem(values, list_of(value))
    if problem:
        raise DataError(f"{path}: {problem}, in the order of the questions")
    return values


def _scored(examples, folder, texts, na_probs, threshold, seconds):
    has_answer = np.array([bool(q.answers) for q in examples.questions])
    has_text = np.array([bool(text) for text in texts])
    text_exact, text_f1 = answer_scores(examples.questions, texts)
    best_exact, best_f1 = (
        best_threshold(scores, na_probs, has_answer, has_text)
        for scores in (text_exact, text_f1)
    )
    chosen = {"exact": best_exact, "f1": best_f1}.get(threshold)
    used = threshold if chosen is None else chosen.threshold
    exact, f1 = (
        with_threshold(scores, na_probs, has_answer, used)
        for scores in (text_exact, text_f1)
    )
    return SpanEvaluation(
        metrics={"exact": float(exact.mean()), "f1": float(f1.mean())},
        seconds=seconds,
        predictions_path=folder / _FILES[0],
        threshold=used,
        exact=exact,
        f1=f1,
        text_exact=text_exact,
        text_f1=text_f1,
        best_exact=best_exact,
        best_f1=best_f1,
    )


def _nbest(
    examples: SpanExamples, candidates: SpanCandidates
) -> dict[str, list[dict[str, Any]]]:
    """Texts with their logits and probabilities, the best first."""
    nbest = {}
    for row, question in enumerate(examples.questions):
        found: dict[str, tuple[float, float]] = {}
        for column in np.flatnonzero(np.isfinite(candidates.scores[row])):
            start, end = candidates.characters[row, column]
            found.setdefault(
                question.context[start:end],
                (
                    float(candidates.start_logits[row, column]),
                    float(candidates.end_logits[row, column]),
                ),
            )
        found.setdefault("", tuple(candidates.null_logits[row].tolist()))
        entries = sorted(found.items(), key=lambda item: -sum(item[1]))
        shares = scipy.special.softmax([sum(logits) for _, logits in entries])
        nbest[question.id] = [
            {
                "text": text,
                "probability": float(share),
                "start_logit": start_logit,
                "end_logit": end_logit,
            }
            for (text, (start_logit, end_logit)), share in zip(
                entries, shares, strict=True
            )
        ]
    return nbest
