"""A file of tagged sentences: JSON lines, one sentence each."""

import dataclasses
import json
import os

from bvkeras import fileio
from bvkeras.errors import DataError
from bvkeras.schema import TEXT, find_problem, list_of, record_of

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_SCHEMA = record_of(
    id=TEXT,
    words=list_of(TEXT),
    labels=list_of(TEXT),
    predictions=list_of(TEXT),
    probabilities=list_of(_PROBABILITY),
)
_MAX_BYTES = 1 << 31


@dataclasses.dataclass(frozen=True)
class TaggedAnswers:
    """What a system says of the words of a split.

    Attributes:
        ids: tuple of n str. The sentences'.
        words: tuple of n tuples of str.
        labels: tuple of n tuples of str. The tags as they are.
        predictions: tuple of n tuples of str. The tags the system gives.
        probabilities: tuple of n tuples of float. How sure it is of each; 0
            of a word of which the tokenizer leaves nothing.
    """

    ids: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    labels: tuple[tuple[str, ...], ...]
    predictions: tuple[tuple[str, ...], ...]
    probabilities: tuple[tuple[float, ...], ...]

    def __len__(self) -> int:
        return len(self.ids)


def write_tagged(path: str | os.PathLike, answers: TaggedAnswers) -> None:
    """Writes `answers` as JSON lines, atomically.

    Each line has the keys `id`, `words`, `labels`, `predictions` and
    `probabilities`, the last four with one value a word.

    Raises:
        OSError: the file cannot be written.
    """
    names = [field.name for field in dataclasses.fields(answers)]
    lines = [
        json.dumps(
            dict(zip(("id", *names[1:]), row, strict=True)), ensure_ascii=False
        )
        for row in zip(*(getattr(answers, name) for name in names), strict=True)
    ]
    fileio.write_text(path, "".join(f"{line}\n" for line in lines))


def read_tagged(path: str | os.PathLike) -> TaggedAnswers:
    """Reads what `write_tagged` wrote.

    Raises:
        DataError: it is something else; names the line.
        OSError: the file cannot be read.
    """
    content = fileio.read_bytes(path, max_bytes=_MAX_BYTES)
    rows = []
    try:
        # Not `splitlines`: a word may hold what else ends a line.
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error})") from None
    for number, line in enumerate(lines, start=1):
        if not line and number == len(lines):
            continue
        rows.append(_row(f"{path}, line {number}", line))
    if not rows:
        raise DataError(f"{path}: has no sentence")
    return TaggedAnswers(*zip(*rows, strict=True))


def _row(where, line):
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not JSON ({error})") from None
    problem = find_problem(record, _SCHEMA)
    if problem:
        raise DataError(f"{where}: {problem}")
    names = ("words", "labels", "predictions", "probabilities")
    columns = [tuple(record[name]) for name in names]
    if len({len(column) for column in columns}) > 1 or not columns[0]:
        raise DataError(
            f"{where}: has {', '.join(f'{len(c)}' for c in columns)} "
            f"{', '.join(names)}, expected as many of each"
        )
    return (record["id"], *columns)
