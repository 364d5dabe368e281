"""What a model's outputs say: scores, and what is predicted by them."""

import numpy as np
import scipy.special

from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec

# A label is predicted from this probability on.
CHOSEN_FROM = 0.5


def chosen_labels(probabilities: np.ndarray) -> np.ndarray:
    """The labels that are predicted, of several a text.

    Args:
        probabilities: float array `(rows, labels)`.

    Returns:
        int64 array `(rows, labels)`, 0 or 1.
    """
    return (probabilities >= CHOSEN_FROM).astype(np.int64)


def read_outputs(
    task: TaskSpec, outputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and predictions of rows, by the kind of a task.

    Args:
        task: TaskSpec. None of spans.
        outputs: float array `(rows, outputs)`. What a model gives.

    Returns:
        Two arrays. Of classes float64 probabilities `(rows, classes)` and
        int64 classes `(rows,)`; of labels float64 probabilities
        `(rows, labels)`, each by itself, and int64 0 or 1 `(rows, labels)`;
        of scores the same numbers `(rows,)` twice.
    """
    if task.kind is Kind.SCORE:
        return outputs[:, 0], outputs[:, 0]
    if task.kind is Kind.LABELS:
        probabilities = scipy.special.expit(outputs.astype(np.float64))
        return probabilities, chosen_labels(probabilities)
    probabilities = scipy.special.softmax(outputs.astype(np.float64), axis=-1)
    return probabilities, outputs.argmax(axis=-1)
