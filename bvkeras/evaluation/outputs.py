"""Which labels probabilities choose, of several a text."""

import numpy as np

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
