"""Reads the official GLUE files."""

import dataclasses
import logging
import math
import pathlib

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.tsv_file import read_rows, read_table
from bvkeras.errors import DataError
from bvkeras.printable import printable
from bvkeras.tasks.spec import TaskSpec

_FILES = {
    "train": "train.tsv",
    "validation": "dev.tsv",
    "validation_matched": "dev_matched.tsv",
    "validation_mismatched": "dev_mismatched.tsv",
}
_MSR_TRAIN = "msr_paraphrase_train.txt"
MSR_TEST = "msr_paraphrase_test.txt"
_MSR_DEV_IDS = "dev_ids.tsv"
# Of a task whose published files have broken rows.
_MOST_BROKEN = 0.01


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What a task's official files are like.

    Attributes:
        folder: str. The task's own folder.
        columns: tuple of str, or None. Of files without a header.
        named_labels: bool. Whether a label is the name of its class, and not
            its number.
        has_broken_rows: bool. Whether the files were published with broken
            rows. QQP: a line break inside a question cuts an example into two
            short rows (about 20 rows of train.tsv), and two examples have an
            empty question2. As in `tensorflow_datasets`, a row without its
            label is left out but counted in the ids, and an empty question
            stays.
        is_corpus: bool. Whether the files of the Microsoft Research
            Paraphrase Corpus are read, too, where GLUE's are not there.
    """

    folder: str
    columns: tuple[str, ...] | None = None
    named_labels: bool = False
    has_broken_rows: bool = False
    is_corpus: bool = False


_LAYOUTS = {
    "cola": _Layout("CoLA", columns=("source", "label", "mark", "sentence")),
    "sst2": _Layout("SST-2"),
    "mrpc": _Layout("MRPC", is_corpus=True),
    "stsb": _Layout("STS-B"),
    "qqp": _Layout("QQP", has_broken_rows=True),
    "mnli": _Layout("MNLI", named_labels=True),
    "qnli": _Layout("QNLI", named_labels=True),
    "rte": _Layout("RTE", named_labels=True),
    "wnli": _Layout("WNLI"),
}
FOLDERS = {name: layout.folder for name, layout in _LAYOUTS.items()}


def file_names(spec: TaskSpec) -> tuple[str, ...]:
    """Names of the files with labels that a task's folder may hold."""
    names = tuple(_FILES[split] for split in spec.splits)
    is_corpus = _LAYOUTS[spec.name].is_corpus
    return (*names, _MSR_TRAIN, MSR_TEST) if is_corpus else names


def written_labels(spec: TaskSpec) -> tuple[str, ...]:
    """How the official files, and a submission, write a task's classes.

    In the order of `spec.label_names`: those names, or numbers from 0.
    """
    if _LAYOUTS[spec.name].named_labels:
        return spec.label_names or ()
    return tuple(map(str, range(spec.num_labels)))


def read_official(spec: TaskSpec, split: str, folder: pathlib.Path) -> Examples:
    """Reads one split of a task from its official files.

    An id is the number of the example in its file, from 0, as in
    `tensorflow_datasets`.

    A broken row is an error, except in QQP, whose published files have some:
    there a row that lacks a column or its label is left out, and still
    counts in the ids, and an empty question stays, all as in
    `tensorflow_datasets`. The logger "bvkeras" names file and count.

    MRPC comes in two layouts. `train.tsv` and `dev.tsv` are read where one of
    them is there. Otherwise the files of the Microsoft Research Paraphrase
    Corpus are: with GLUE's `dev_ids.tsv` beside them, validation is the rows
    of the corpus' train file listed there, as in GLUE; without it, validation
    is the corpus' test file, as in work older than GLUE and in the authors'
    published code of the paper.

    Args:
        spec: `TaskSpec`. A GLUE task.
        split: str. One of `spec.splits`.
        folder: path. The task's own folder.

    Raises:
        DataError: a file is missing, or is not what the task says it is;
            more than 1% of QQP's rows are broken.
    """
    if _LAYOUTS[spec.name].is_corpus and not any(
        (folder / name).exists() for name in ("train.tsv", "dev.tsv")
    ):
        return _read_paraphrase_corpus(spec, split, folder)
    return _read_file(spec, split, folder / _FILES[split])


def _read_paraphrase_corpus(spec, split, folder):
    ids_path = folder / _MSR_DEV_IDS
    if not ids_path.exists():
        name = _MSR_TRAIN if split == "train" else MSR_TEST
        return _read_file(spec, split, folder / name)
    path = folder / _MSR_TRAIN
    dev_ids = {tuple(fields) for _, fields in read_rows(ids_path)}
    in_dev = [
        tuple(pair) in dev_ids
        for _, pair in read_table(path, ("#1 ID", "#2 ID"))
    ]
    wanted = split != "train"
    chosen = [i for i, here in enumerate(in_dev) if here == wanted]
    if not chosen:
        raise DataError(
            f"{ids_path}: leaves no example of {path} for the {split} split, "
            "expected the two ids of each validation example"
        )
    return _read_file(spec, split, path).take(chosen)


def _read_file(spec, split, path):
    wanted = (*spec.text_columns, spec.label_column)
    make_parser = _score_parser if spec.is_regression else _class_parser
    parse_label = make_parser(spec)
    layout = _LAYOUTS[spec.name]
    has_broken_rows = layout.has_broken_rows
    ids, texts, labels, broken = [], [], [], []
    rows = read_table(path, wanted, layout.columns, allow_short=has_broken_rows)
    for index, (number, (*row_texts, label)) in enumerate(rows):
        if has_broken_rows and (not label or None in row_texts):
            broken.append(number)
            continue
        for name, text in zip(spec.text_columns, row_texts, strict=True):
            if not text.strip() and not has_broken_rows:
                raise DataError(
                    f"{path}: row {number}: {name} is empty, expected text"
                )
        try:
            labels.append(parse_label(label))
        except ValueError as error:
            raise DataError(f"{path}: row {number}: {error}") from None
        ids.append(str(index))
        texts.append(row_texts)
    if broken:
        _report_broken(path, broken, len(broken) + len(texts))
    columns = tuple(zip(*texts, strict=True))
    return Examples(
        task=spec.name,
        split=split,
        ids=tuple(ids),
        texts_a=columns[0],
        texts_b=columns[1] if len(columns) > 1 else None,
        labels=np.array(
            labels, dtype=np.float32 if spec.is_regression else np.int64
        ),
    )


def _report_broken(path, numbers, num_rows):
    if len(numbers) > _MOST_BROKEN * num_rows:
        raise DataError(
            f"{path}: row {numbers[0]}: lacks a column or its label, as do "
            f"{len(numbers)} of {num_rows} rows; expected at most "
            f"{_MOST_BROKEN:.0%}, so this is not the official file"
        )
    logging.getLogger("bvkeras").warning(
        "%s: left out %d of %d rows, which lack a column or their label "
        "(first: row %d)",
        printable(path),
        len(numbers),
        num_rows,
        numbers[0],
    )


def _class_parser(spec):
    written = written_labels(spec)
    indices = {label: index for index, label in enumerate(written)}

    def parse(text):
        if text not in indices:
            raise ValueError(
                f"{spec.label_column} is {text!r}, expected one of "
                f"{', '.join(written)}"
            )
        return indices[text]

    return parse


def _score_parser(spec):
    low, high = spec.label_range

    def parse(text):
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if not low <= score <= high:
            raise ValueError(
                f"{spec.label_column} is {text!r}, expected a number from "
                f"{low} to {high}"
            )
        return score

    return parse
