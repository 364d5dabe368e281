"""GLUE's official test files, whose labels only the benchmark's server has."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from bvkeras.data.glue_files import FOLDERS, MSR_TEST
from bvkeras.data.tsv_file import read_table
from bvkeras.errors import ArgumentError, DataError
from bvkeras.tasks.spec import TaskSpec

_INDEX = "index"
_OTHER_INDEX = {"qqp": "id"}
_SPLIT_FILES = {
    # The paraphrase corpus as it came has the same rows, without an index.
    "mrpc": ((("test.tsv", MSR_TEST), "MRPC.tsv"),),
    "mnli": (
        (("test_matched.tsv",), "MNLI-m.tsv"),
        (("test_mismatched.tsv",), "MNLI-mm.tsv"),
    ),
}
# The diagnostics belong to no folder of a task; MNLI's model answers them.
_DIAGNOSTICS = {
    "mnli": (
        (
            *("AX/AX.tsv", "AX/test.tsv", "AX.tsv"),
            *("diagnostic/AX.tsv", "diagnostic/diagnostic.tsv"),
        ),
        "AX.tsv",
    ),
}


class GlueTestFile(NamedTuple):
    """A test file, and what its answers are called in a submission.

    Attributes:
        path: path.
        submission: str. File name, such as `"MNLI-m.tsv"`.
    """

    path: pathlib.Path
    submission: str


def find_test_files(
    spec: TaskSpec, data_dir: pathlib.Path
) -> list[GlueTestFile]:
    """Finds a task's test files: one, of MNLI two, and the diagnostics.

    Args:
        spec: TaskSpec. A GLUE task.
        data_dir: path. Holds `RTE/test.tsv`, `glue/RTE/test.tsv`, or
            `test.tsv` itself. The diagnostics (AX) are looked for in `AX/`
            and `diagnostic/` beside MNLI's folder, and may be missing.

    Returns:
        list of GlueTestFile.

    Raises:
        ArgumentError: `spec` is none of GLUE's.
        DataError: a file is missing.
    """
    if spec.name not in FOLDERS or spec.source != "glue":
        raise ArgumentError(
            f"task: {spec.name} has no official test files, expected one of "
            f"{', '.join(FOLDERS)}"
        )
    folder_name = FOLDERS[spec.name]
    wanted = _SPLIT_FILES.get(
        spec.name, ((("test.tsv",), f"{folder_name}.tsv"),)
    )
    roots = (data_dir, data_dir / "glue")
    folders = (*(root / folder_name for root in roots), data_dir)
    found = []
    for names, submission in wanted:
        path = _first(folders, names)
        if path is None:
            raise DataError(
                f"{data_dir}: no {names[0]} of {spec.name}, expected it in "
                f"{folder_name}/, glue/{folder_name}/ or the directory itself"
            )
        found.append(GlueTestFile(path, submission))
    if spec.name in _DIAGNOSTICS:
        names, submission = _DIAGNOSTICS[spec.name]
        path = _first(roots, names)
        if path is not None:
            found.append(GlueTestFile(path, submission))
    return found


def read_test_file(
    spec: TaskSpec, path: pathlib.Path
) -> Iterator[tuple[str, list[str]]]:
    """Reads the rows of a test file, one at a time.

    An empty text stays: the benchmark's server wants an answer to each row.

    Args:
        spec: TaskSpec. A GLUE task.
        path: path. What `find_test_files` found.

    Yields:
        The example's index as the file has it, and its texts.

    Raises:
        DataError: the file is not what the task says it is; names the row.
    """
    if path.name == MSR_TEST:
        for place, (_, cells) in enumerate(read_table(path, spec.text_columns)):
            yield str(place), list(map(str, cells))
        return
    index_column = _OTHER_INDEX.get(spec.name, _INDEX)
    rows = read_table(path, (index_column, *spec.text_columns))
    for expected, (number, cells) in enumerate(rows):
        # No row is short: `read_table` refuses it.
        index, *texts = map(str, cells)
        if index != str(expected):
            raise DataError(
                f"{path}: row {number}: {index_column} is {index!r}, expected "
                f"{expected}"
            )
        yield index, texts


def _first(folders, names) -> pathlib.Path | None:
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None
