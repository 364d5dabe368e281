"""What kinds of tasks there are: the enumeration `Kind`."""

import enum

# Between the names of a text's labels, where they stand in one cell.
LABEL_SEPARATOR = "|"


class Kind(enum.Enum):
    """What a label of a task is; the value is its name on the command line.

    Attributes:
        CLASSES: one class a text, int64 `(rows,)`.
        LABELS: several labels a text or none, float32 `(rows, labels)`, 1
            for each that it has and 0 for the others.
        SCORE: a number a text, float32 `(rows,)`.
        SPAN: first and last token of an answer, int64 `(rows, 2)`.
    """

    CLASSES = "classification"
    LABELS = "multilabel"
    SCORE = "regression"
    SPAN = "span"
