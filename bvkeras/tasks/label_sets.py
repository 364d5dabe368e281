"""Several labels of a text in one cell, and back."""

from collections.abc import Iterable, Sequence

from bvkeras.tasks.kind import LABEL_SEPARATOR


def join_labels(names: Sequence[str], chosen: Iterable[float]) -> str:
    """The names of a text's labels, with a separator between; of none `""`.

    Args:
        names: sequence of str. Names of all labels.
        chosen: iterable of as many numbers. 1 of a label it has, 0 of others.
    """
    return LABEL_SEPARATOR.join(
        name for name, has in zip(names, chosen, strict=True) if has
    )


def split_labels(cell: str) -> tuple[str, ...]:
    """The names that `join_labels` joined, or anybody.

    Args:
        cell: str. Blanks around a name do not count.
    """
    names = (name.strip() for name in cell.split(LABEL_SEPARATOR))
    return tuple(name for name in names if name)
