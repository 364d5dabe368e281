"""Where a table of one's own lies, and how it is read."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TableFiles:
    """The files of a task that somebody has described.

    Args:
        train: tuple of str. Paths or globs of the training tables.
        validation: tuple of str. The same of the tables that systems are
            scored on. Empty: a part of the training rows is held out.
        held_out: float. Share of the rows held out, if they are. Defaults to
            `0.1`.
        seed: int. Seed of that choice. Defaults to `0`.
        separator: str, or None. Between cells. None is found from the file.
        encoding: str, or None. None is UTF-8.
        id_column: str, or None. Names the rows. None counts them.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    held_out: float = 0.1
    seed: int = 0
    separator: str | None = None
    encoding: str | None = None
    id_column: str | None = None
