"""What an error on each example counts."""

import hashlib

import numpy as np

from bvkeras.errors import ArgumentError


def weights_digest(weights: np.ndarray | None, num_examples: int) -> str | None:
    """Weights of examples as a run's record has them.

    Args:
        weights: float array `(examples,)`, or None.
        num_examples: int. How many there are.

    Returns:
        SHA-256 of the weights; None without.

    Raises:
        ArgumentError: they are not one finite number from 0 up an example, or
            all of them are 0.
    """
    if weights is None:
        return None
    weights = np.asarray(weights, np.float32)
    if weights.shape != (num_examples,):
        raise ArgumentError(
            f"weights: expected one for each of {num_examples} examples, got "
            f"shape {weights.shape}"
        )
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ArgumentError(
            f"weights: example {row} has {weights[row]}, expected a number "
            "from 0 up"
        )
    if not weights.any():
        raise ArgumentError("weights: expected one above 0, got none")
    return hashlib.sha256(weights.tobytes()).hexdigest()
