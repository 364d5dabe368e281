"""Whether examples are what a task asks for; named by example if not."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import ArgumentError, DataError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec


def check_examples(
    task: TaskSpec, examples: Examples | SpanExamples | TokenExamples
) -> None:
    """Refuses examples that are not a task's, before anything is made of them.

    Args:
        task: TaskSpec.
        examples: Examples, or SpanExamples of a span task; at least one.

    Raises:
        ArgumentError: `examples` is something else, is empty, or of another
            task.
        DataError: a label is no class, no labels or no score of the task;
            names the example.
    """
    wanted, check = _CHECKS[task.kind]
    if not isinstance(examples, wanted):
        raise ArgumentError(
            f"examples: expected {wanted.__name__} for {task.name}, got "
            f"{type(examples).__name__}"
        )
    if examples.task != task.name:
        raise ArgumentError(
            f"examples: are of task {examples.task}, expected {task.name}"
        )
    if not len(examples):
        raise ArgumentError("examples: expected at least one, got none")
    if task.is_apart and getattr(examples, "texts_b", None) is None:
        raise ArgumentError(
            f"examples: expected two texts each for {task.name}, whose pairs "
            "are read apart, got one"
        )
    check(task, examples)


def _check_scores(task: TaskSpec, examples: Examples) -> None:
    labels = examples.labels
    expected = "a finite number"
    low, high = task.label_range or (-np.inf, np.inf)
    if task.label_range:
        expected = f"a number from {low:g} to {high:g}"
    if labels.dtype.kind != "f" or labels.ndim > 1:
        raise _wrong(examples, 0, f"{expected}, as {np.dtype(np.float32)}")
    _require(
        examples,
        np.isfinite(labels) & (low <= labels) & (labels <= high),
        expected,
    )


def _check_classes(task: TaskSpec, examples: Examples) -> None:
    labels, last = examples.labels, task.num_labels - 1
    names = ", ".join(task.label_names or ())
    expected = f"a class from 0 to {last} ({names}), as int64"
    if labels.dtype.kind not in "iu":
        raise _wrong(examples, 0, expected)
    _require(examples, (labels >= 0) & (labels <= last), expected)


def _check_label_sets(task: TaskSpec, examples: Examples) -> None:
    labels, names = examples.labels, ", ".join(task.label_names or ())
    expected = f"0 or 1 for each of {task.num_labels} labels ({names})"
    if labels.ndim != 2 or labels.shape[1] != task.num_labels:
        raise _wrong(examples, 0, expected)
    _require(examples, ((labels == 0) | (labels == 1)).all(axis=1), expected)


def _check_spans(task: TaskSpec, examples: SpanExamples) -> None:
    """What a span is, SpanExamples check themselves."""


def _check_tags(task: TaskSpec, examples: TokenExamples) -> None:
    """What a tag is, TokenExamples check themselves, but not of which task."""
    if examples.label_names != task.label_names:
        raise DataError(
            f"{examples.task} {examples.split}: has the tags "
            f"{', '.join(examples.label_names)}, expected "
            f"{', '.join(task.label_names or ())}"
        )


# The class of a kind's examples, and the check of their labels.
_CHECKS: dict[Kind, tuple[type, Callable[[TaskSpec, Any], None]]] = {
    Kind.CLASSES: (Examples, _check_classes),
    Kind.LABELS: (Examples, _check_label_sets),
    Kind.SCORE: (Examples, _check_scores),
    Kind.SPAN: (SpanExamples, _check_spans),
    Kind.TOKENS: (TokenExamples, _check_tags),
}


def _require(examples: Examples, fits: np.ndarray, expected: str) -> None:
    if not fits.all():
        raise _wrong(examples, int(np.argmin(fits)), expected)


def _wrong(examples: Examples, row: int, expected: str) -> DataError:
    label = examples.labels[row]
    return DataError(
        f"{examples.task} {examples.split}, example {examples.ids[row]!r}: "
        f"its label is {label!s} ({label.dtype}), expected {expected}"
    )
