"""What a table's labels are by the kind of its task: `kind_of` finds it."""

import abc
from collections.abc import Sequence

import numpy as np

from bvkeras.data.tables import checks
from bvkeras.data.tables.class_labels import (
    class_indices,
    drop_unseen_rows,
    learn_classes,
    unseen_classes,
)
from bvkeras.data.tables.finding import Finding
from bvkeras.data.tables.held_out import score_classes
from bvkeras.data.tables.label_sets import (
    label_matrix,
    learn_labels,
    rarest_labels,
    unseen_labels,
)
from bvkeras.data.tables.score_labels import row_scores, score_range
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec

Names = tuple[str, ...] | None


class TableKind(abc.ABC):
    """A task's labels out of its rows.

    Attributes:
        metrics: tuple of str. Those of a task of one's own.
        held_out_of: str. What a share of each of is held out, for people.
    """

    metrics: tuple[str, ...]
    held_out_of: str

    def keeps_unlabelled(self, columns: Sequence[str]) -> bool:
        """Whether an empty cell says something: that a text has no label."""
        return False

    @abc.abstractmethod
    def learned(
        self, rows: TableRows, columns: Sequence[str]
    ) -> tuple[Names, tuple[float, float] | None]:
        """Names of classes or labels, and the range of scores; None of others.

        Args:
            rows: `TableRows` of the training files.
            columns: sequence of str. The label columns.

        Raises:
            DataError: the cells are no labels of the kind.
        """

    @abc.abstractmethod
    def labels(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> np.ndarray:
        """Labels as `Kind` says, one a row.

        Args:
            rows: `TableRows`.
            columns: sequence of str. The label columns.
            names: tuple of str, or None. Of classes and labels.

        Raises:
            DataError: a label is none of the task's.
        """

    @abc.abstractmethod
    def held_out_classes(self, labels: np.ndarray) -> np.ndarray:
        """What a share of each of is held out, int64 `(n,)`."""

    def unseen(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> dict[int, str]:
        """Validation rows with a label that training never saw, and which."""
        return {}

    def without_unseen(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> TableRows:
        """Validation rows without those whose label training never saw.

        Raises:
            DataError: more than a tenth of the rows are such.
        """
        unseen = self.unseen(rows, columns, names)
        return drop_unseen_rows(rows, columns[0], names or (), unseen)

    @abc.abstractmethod
    def note(self, spec: TaskSpec) -> str:
        """What the labels are, for people."""

    def findings(self, labels: np.ndarray, names: Names) -> list[Finding]:
        """What is found in the labels of the training rows."""
        return []


class TableClasses(TableKind):
    """One class a row."""

    metrics = ("accuracy", "macro_f1")
    held_out_of = "each class"

    def learned(
        self, rows: TableRows, columns: Sequence[str]
    ) -> tuple[Names, None]:
        return learn_classes(rows, columns[0]), None

    def labels(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> np.ndarray:
        return class_indices(rows, columns[0], names or ())

    def held_out_classes(self, labels: np.ndarray) -> np.ndarray:
        return labels

    def unseen(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> dict[int, str]:
        return unseen_classes(rows, columns[0], names or ())

    def note(self, spec: TaskSpec) -> str:
        return f"{spec.num_labels} classes: {_some(spec.label_names or ())}"

    def findings(self, labels: np.ndarray, names: Names) -> list[Finding]:
        return checks.class_findings(labels, names or ())


class TableLabels(TableKind):
    """Several labels a row: a list in a cell, or columns of 0 and 1."""

    metrics = ("micro_f1", "macro_f1", "subset_accuracy")
    held_out_of = "each label"

    def keeps_unlabelled(self, columns: Sequence[str]) -> bool:
        # An empty cell among columns of 0 and 1 says nothing.
        return len(columns) == 1

    def learned(
        self, rows: TableRows, columns: Sequence[str]
    ) -> tuple[Names, None]:
        return learn_labels(rows, columns), None

    def labels(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> np.ndarray:
        return label_matrix(rows, columns, names or ())

    def held_out_classes(self, labels: np.ndarray) -> np.ndarray:
        return rarest_labels(labels)

    def unseen(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> dict[int, str]:
        return unseen_labels(rows, columns, names or ())

    def note(self, spec: TaskSpec) -> str:
        return f"{spec.num_labels} labels: {_some(spec.label_names or ())}"

    def findings(self, labels: np.ndarray, names: Names) -> list[Finding]:
        return checks.label_set_findings(labels, names or ())


class TableScores(TableKind):
    """A number a row."""

    metrics = ("pearson", "spearman", "r2")
    held_out_of = "each tenth of the scores"

    def learned(
        self, rows: TableRows, columns: Sequence[str]
    ) -> tuple[None, tuple[float, float]]:
        scores = row_scores(rows, columns[0])
        return None, score_range(rows, columns[0], scores)

    def labels(
        self, rows: TableRows, columns: Sequence[str], names: Names
    ) -> np.ndarray:
        return row_scores(rows, columns[0])

    def held_out_classes(self, labels: np.ndarray) -> np.ndarray:
        return score_classes(labels)

    def note(self, spec: TaskSpec) -> str:
        low, high = spec.label_range or (0.0, 1.0)
        return f"scores from {low:g} to {high:g}"


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown}, …"


_KINDS: dict[Kind, TableKind] = {
    Kind.CLASSES: TableClasses(),
    Kind.LABELS: TableLabels(),
    Kind.SCORE: TableScores(),
}


def kind_of(kind: Kind) -> TableKind:
    """What tables of a kind hold: of texts with classes, labels or scores."""
    return _KINDS[kind]
