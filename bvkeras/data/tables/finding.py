"""One thing that was found in somebody's table."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the table of findings.

    Args:
        what: str. What was found, such as `"rows without a label"`.
        count: int. How often.
        of: int, or None. Out of how many. Defaults to `None`.
        note: str. Where first, or what follows from it. Defaults to `""`.
        is_warning: bool. Whether something may be wrong, and it is not only
            said for information. Defaults to `False`.
    """

    what: str
    count: int
    of: int | None = None
    note: str = ""
    is_warning: bool = False

    @property
    def share(self) -> float | None:
        """`count` out of `of`."""
        return self.count / self.of if self.of else None
