"""Answers to GLUE's test files, in the layout that the benchmark takes."""

import contextlib
import csv
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from bvkeras import fileio
from bvkeras.data.glue_files import written_labels
from bvkeras.data.glue_test_files import find_test_files, read_test_file
from bvkeras.errors import ArgumentError, DataError
from bvkeras.progress import progress_bar
from bvkeras.serving.text_model import TextModel
from bvkeras.tasks.glue import GLUE
from bvkeras.tasks.spec import TaskSpec

_ROWS_AT_ONCE = 4096


def write_submission(
    model: TextModel,
    data_dir: str | os.PathLike,
    directory: str | os.PathLike,
) -> list[pathlib.Path]:
    """Answers a GLUE task's official test files.

    Writes files named as gluebenchmark.com wants them: `CoLA.tsv`,
    `SST-2.tsv`, `MRPC.tsv`, `STS-B.tsv`, `QQP.tsv`, `MNLI-m.tsv` and
    `MNLI-mm.tsv`, `QNLI.tsv`, `RTE.tsv`, `WNLI.tsv`; of MNLI also `AX.tsv`,
    where the diagnostics are there. Columns are `index` and `prediction`:
    words of MNLI, QNLI, RTE and AX, a score from 0 to 5 of STS-B, otherwise 0
    or 1. A few thousand rows are in memory at a time. All files of a task
    appear together, or none does; what else is in the folder stays.

    Args:
        model: TextModel. Its task is one of GLUE's.
        data_dir: str or path. As
            `bvkeras.data.glue_test_files.find_test_files`.
        directory: str or path. Made if it is not there.

    Returns:
        list of path. The files written.

    Raises:
        ArgumentError: the model's task is none of GLUE's, or an answer would
            replace a test file.
        DataError: a test file is missing, or is not what it should be; file
            and row are named.

    Reference:
        Wang et al. 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform
        for Natural Language Understanding"; gluebenchmark.com/faq.
    """
    data_dir, directory = pathlib.Path(data_dir), pathlib.Path(directory)
    spec = _glue_task(model)
    if not data_dir.is_dir():
        raise DataError(
            f"{data_dir}: is not a directory, expected one with the test "
            f"files of {spec.name}"
        )
    if directory.exists() and not directory.is_dir():
        raise ArgumentError(f"output: {directory} is a file, expected a folder")
    files = find_test_files(spec, data_dir)
    paths = [directory / file.submission for file in files]
    for file, path in zip(files, paths, strict=True):
        if path.exists() and path.samefile(file.path):
            raise ArgumentError(
                f"output: {path} is a test file, expected another folder"
            )
    with (
        _no_empty_folder(directory),
        contextlib.ExitStack() as stack,
        progress_bar("predict", None, "rows") as bar,
    ):
        temporary = [
            stack.enter_context(fileio.atomic_path(path)) for path in paths
        ]
        for file, path in zip(files, temporary, strict=True):
            with open(path, "w", encoding="utf-8", newline="") as output:
                writer = csv.writer(output, delimiter="\t", lineterminator="\n")
                writer.writerow(["index", "prediction"])
                for rows in _parts(read_test_file(spec, file.path)):
                    indices, texts = zip(*rows, strict=True)
                    columns = zip(*texts, strict=True)
                    answers = _written(spec, model.predict(*columns))
                    writer.writerows(zip(indices, answers, strict=True))
                    bar.advance(len(rows))
    return paths


@contextlib.contextmanager
def _no_empty_folder(directory: pathlib.Path) -> Iterator[None]:
    """What is refused half way leaves no folder that was not there before."""
    was_there = directory.exists()
    try:
        yield
    except BaseException:
        if not was_there:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise


def _glue_task(model: TextModel) -> TaskSpec:
    """The task of GLUE that a model answers."""
    of_glue = {spec.name: spec for spec in GLUE}
    spec = of_glue.get(model.name)
    if spec is None:
        raise ArgumentError(
            f"split: {model.name} has no official test files, expected a model "
            f"of {', '.join(of_glue)}"
        )
    found = (model.kind, model.label_names, len(model.input_names))
    expected = (spec.kind.value, spec.label_names, len(spec.text_columns))
    if found != expected:
        raise ArgumentError(
            f"split: this model is named {model.name} and is not of GLUE's "
            f"{spec.title}: it answers {', '.join(found[1] or ('a score',))}, "
            f"expected {', '.join(expected[1] or ('a score',))}, for "
            f"{expected[2]} text{'s' * (expected[2] > 1)}"
        )
    return spec


def _parts(rows: Iterator) -> Iterator[list]:
    while part := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        yield part


def _written(spec: TaskSpec, answers: dict[str, np.ndarray]) -> Sequence[str]:
    if spec.label_range is not None:
        scores = np.clip(answers["score"], *spec.label_range)
        return [f"{score:.4f}" for score in scores]
    labels = written_labels(spec)
    return [labels[index] for index in answers["label_index"]]
