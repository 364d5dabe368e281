"""The scale that scores are trained in, whatever the user's is."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras.tasks.spec import TaskSpec

# The rates of regression were chosen on STS-B, whose training scores deviate by
# this: a rate means as much on any scores as it does there.
DEVIATION = 1.5


@dataclasses.dataclass(frozen=True)
class TargetScale:
    """Mean and deviation of the training rows' scores.

    A model is trained on scores less the mean, with a deviation of 1.5, that of
    STS-B, which the learning rates were chosen on: a rate then means the same
    whether scores go from 0 to 5 or from 300 to 1,000. Its last layer is
    linear, so the scale goes into that layer's weights when the model is saved,
    and its outputs are in the user's units.

    Attributes:
        mean: float. Defaults to `0.0`: as they are.
        deviation: float, above 0. What 1 in training is in the user's units.
            Defaults to `1.0`.
    """

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, task: TaskSpec, labels: np.ndarray) -> "TargetScale":
        """That of training rows; of another task than regression none.

        Args:
            task: TaskSpec.
            labels: array `(rows,)`.
        """
        if not task.is_regression:
            return cls()
        labels = np.asarray(labels, np.float64)
        # Scores that are all the same have no deviation to divide by.
        deviation = float(labels.std()) if np.ptp(labels) else DEVIATION
        return cls(float(labels.mean()), deviation / DEVIATION)

    @property
    def is_none(self) -> bool:
        """Whether values stay as they are."""
        return self == TargetScale()

    def as_record(self) -> dict[str, Any]:
        """What a record of a trained model says of it, if there is one."""
        if self.is_none:
            return {}
        return {"target_mean": self.mean, "target_deviation": self.deviation}

    def standardized(self, values: np.ndarray) -> np.ndarray:
        """Scores as they are trained on; others as they are.

        Args:
            values: array, of any shape.
        """
        if self.is_none:
            return values
        scaled = (np.asarray(values, np.float64) - self.mean) / self.deviation
        return scaled.astype(np.float32)

    def standardized_batches(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Inputs and standardised labels, and weights where there are some.

        Args:
            batches: tf.data.Dataset.
        """
        if self.is_none:
            return batches
        return batches.map(
            lambda inputs, labels, *weights: (
                inputs,
                (labels - self.mean) / self.deviation,
                *weights,
            )
        )

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """What a model in training gives, in the user's units.

        Args:
            outputs: array, of any shape.
        """
        return outputs if self.is_none else outputs * self.deviation + self.mean

    def folded(
        self, kernel: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The last layer's weights for outputs in the user's units.

        Args:
            kernel: array `(features, outputs)`.
            bias: array `(outputs,)`.
        """
        return kernel * np.float32(self.deviation), self.restored(bias)

    def unfolded(
        self, kernel: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The weights of a saved last layer as they are trained.

        Args:
            kernel: array `(features, outputs)`.
            bias: array `(outputs,)`.
        """
        return kernel / np.float32(self.deviation), self.standardized(bias)


AS_THEY_ARE = TargetScale()


def target_settings(task: TaskSpec) -> dict[str, str]:
    """What the settings of a training say of its targets.

    Args:
        task: TaskSpec.
    """
    return {"targets": "standardized" if task.is_regression else "as they are"}
