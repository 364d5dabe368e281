"""Makes a task of table files: what it is, its examples, what was found."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from bvkeras import tasks
from bvkeras.data.examples import Examples
from bvkeras.data.tables import checks
from bvkeras.data.tables.describe_tagged import describe_tagged
from bvkeras.data.tables.finding import Finding
from bvkeras.data.tables.held_out import text_keys
from bvkeras.data.tables.kinds import kind_of
from bvkeras.data.tables.label_kind import KINDS, LabelKind, infer_kind
from bvkeras.data.tables.table_findings import TableFindings
from bvkeras.data.tables.table_paths import stem_of
from bvkeras.data.tables.table_rows import read_rows
from bvkeras.data.tables.table_splits import TableSplits, split_tables
from bvkeras.data.tables.tagged_words import are_tagged
from bvkeras.data.tables.token_lengths import longest_input
from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import ArgumentError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.own_settings import own_settings
from bvkeras.tasks.spec import TABLE_BACKBONE, TaskSpec
from bvkeras.tasks.table_files import TableFiles

_LONGEST_NAME = 56
# Files of such names are all alike: the folder says more.
_COMMON_STEMS = ("train", "training", "data", "dataset", "table", "texts")


@dataclasses.dataclass(frozen=True, eq=False)
class TableDescription:
    """A task made of tables.

    Args:
        spec: `TaskSpec`. Of source `"table"`.
        examples: dict of split to `Examples`, of tagged words
            `TokenExamples`: `"train"`, `"validation"`.
        findings: `TableFindings`. What was read, dropped and found.
    """

    spec: TaskSpec
    examples: dict[str, Examples] | dict[str, TokenExamples]
    findings: TableFindings


def describe_table(
    files: TableFiles,
    text: str | Sequence[str],
    label: str | Sequence[str],
    *,
    kind: str | None = None,
    name: str | None = None,
    title: str | None = None,
    max_tokens: int | None = None,
    token_lengths: checks.TokenLengths | None = None,
    token_limit: Callable[[], int] | None = None,
) -> TableDescription:
    """Reads a task's tables and says what they are.

    Args:
        files: `TableFiles`.
        text: str, or sequence of one or two str. The text column, or both of
            a pair.
        label: str, or sequence of str. The label column; several are columns
            of 0 and 1, one for each label that a text may have.
        kind: str, or None. `"classification"`, `"multilabel"` (several labels
            a text), `"regression"` or `"tokens"` (words with a tag each, the
            columns are those of words and tags). Defaults to `None`: inferred
            from the labels, which the findings say.
        name: str, or None. Name of the task. Defaults to the name of the
            first training file, or of its folder where that says more.
        title: str, or None. Its name in tables. Defaults to `name`.
        max_tokens: int, or None. Longest input. Defaults to what cuts at most
            one row in twenty, or 128 without `token_lengths`.
        token_lengths: callable, or None. Takes first texts, and second ones
            or None, and gives the tokens of each row, special ones counted.
            Without it, cut texts are not counted.
        token_limit: callable, or None. Gives the longest input the encoder
            takes; `max_tokens` is not chosen above it.

    Raises:
        ArgumentError: kind, name or columns are none.
        DataError: the tables cannot be trained on: file and row are named.

    Example:

    >>> table = describe_table(TableFiles(("topics.csv",)), "text", "topic")
    >>> table.spec.label_names
    ('arts', 'sport', 'weather')
    """
    columns = (label,) if isinstance(label, str) else tuple(label)
    text_columns = _text_columns(text, columns)
    if kind is not None and kind not in KINDS:
        raise ArgumentError(
            f"kind: got {kind!r}, expected one of {', '.join(KINDS)}"
        )
    name = _task_name(name, files)
    if len(columns) > 1 and kind not in (None, Kind.LABELS.value):
        raise ArgumentError(
            f"label: got {len(columns)} columns, expected one of kind {kind}"
        )
    if kind == Kind.TOKENS.value or (
        kind is None
        and (len(text_columns), len(columns)) == (1, 1)
        and are_tagged(files, text_columns[0], columns[0])
    ):
        return TableDescription(
            *describe_tagged(
                files,
                _tagged_columns(text_columns, columns),
                name=name,
                title=title or name,
                how="given" if kind else "inferred: words with tags",
                max_tokens=max_tokens,
                token_lengths=token_lengths,
                token_limit=token_limit,
            )
        )
    if kind == Kind.LABELS.value:
        found_kind = LabelKind(Kind.LABELS.value)
        read = _read_several(files, text_columns, columns)
    else:
        read = read_rows(files, files.train, text_columns, columns)
        found_kind = LabelKind(kind) if kind else infer_kind(read.labels)
        if found_kind.kind == Kind.LABELS.value:
            # Again: of lists, an empty cell is a text without labels.
            read = _read_several(files, text_columns, columns)
    checks.check_texts(read, text_columns)
    task_kind = Kind(found_kind.kind)
    made = kind_of(task_kind)
    names, label_range = made.learned(read, columns)
    splits = split_tables(files, text_columns, columns, read, task_kind, names)
    lengths = None
    if token_lengths is not None:
        lengths = checks.count_tokens(splits.train, token_lengths, files.seed)
    max_tokens = longest_input(max_tokens, lengths, token_limit)
    base, small = own_settings(len(splits.train), max_tokens)
    spec = TaskSpec(
        name=name,
        title=title or name,
        text_columns=text_columns,
        label_column=columns[0] if len(columns) == 1 else columns,
        label_names=names,
        metrics=made.metrics,
        paper_settings=base,
        small_settings=small,
        label_range=label_range,
        source="table",
        backbone=TABLE_BACKBONE,
        table=files,
        kind=task_kind,
    )
    return TableDescription(
        spec,
        {split: splits.examples(name, split) for split in spec.splits},
        _findings(spec, found_kind, splits, lengths, max_tokens),
    )


def _read_several(files, text_columns, columns):
    return read_rows(
        files,
        files.train,
        text_columns,
        columns,
        unlabelled=kind_of(Kind.LABELS).keeps_unlabelled(columns),
    )


def _text_columns(text, labels):
    columns = (text,) if isinstance(text, str) else tuple(text)
    if not 1 <= len(columns) <= 2:
        raise ArgumentError(
            f"text: got {len(columns)} columns, expected one or two"
        )
    if len({*columns, *labels}) < len(columns) + len(labels) or not labels:
        shown = labels[0] if len(labels) == 1 else list(labels)
        raise ArgumentError(
            f"label: got {shown!r} with texts {', '.join(columns)}, expected "
            "different columns"
        )
    return columns


def _tagged_columns(texts, labels):
    for name, columns in (("text", texts), ("label", labels)):
        if len(columns) > 1:
            raise ArgumentError(
                f"{name}: got {len(columns)} columns, expected one of kind "
                f"{Kind.TOKENS.value}"
            )
    return (*texts, *labels)


def _task_name(name, files):
    if name is None:
        path = pathlib.Path(files.train[0])
        stem = stem_of(path)
        if stem.lower() in _COMMON_STEMS:
            stem = path.resolve().parent.name
        name = re.sub(r"[^0-9a-z]+", "_", stem.lower()).strip("_") or "table"
        # An export's signature has this name.
        name = f"table_{name}" if name[0].isdigit() else name
        name = name[:_LONGEST_NAME].rstrip("_")
        # A built-in task's name would be taken for that task.
        return f"{name}_table" if name in tasks.names() else name
    check_own_name(name)
    return name


def check_own_name(name: str) -> None:
    """Refuses what a task of one's own cannot be called.

    Raises:
        ArgumentError: it is a task of bvkeras, or no name of an export.
    """
    if name in tasks.names():
        raise ArgumentError(
            f"name: {name!r} is a task of bvkeras, expected a name of your own"
        )
    if (
        not re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", name)
        or len(name) > _LONGEST_NAME
    ):
        raise ArgumentError(
            f"name: got {name!r}, expected letters, digits and '_', a letter "
            f"first, at most {_LONGEST_NAME}"
        )


def _findings(
    spec: TaskSpec,
    kind: LabelKind,
    splits: TableSplits,
    lengths: np.ndarray | None,
    max_tokens: int,
) -> TableFindings:
    read, made = splits.read, kind_of(spec.kind)
    keys = text_keys(read.texts)
    labels = splits.train_labels
    how = "given" if kind.reason == "given" else f"inferred: {kind.reason}"
    findings = [
        Finding(
            f"labels: {kind.kind}, {how}",
            len(read),
            note=made.note(spec),
        ),
        *checks.reading_findings("training", read),
    ]
    if splits.held_out is None:
        findings += checks.reading_findings("validation", splits.validation)
        findings += checks.overlap_findings(
            keys, splits.validation, text_keys(splits.validation.texts)
        )
        train_keys = keys
    else:
        assert spec.table is not None
        findings.append(
            checks.held_out_finding(
                splits.held_out,
                spec.table.seed,
                f"some of {made.held_out_of}",
            )
        )
        train_keys = [keys[i] for i in np.flatnonzero(~splits.held_out)]
    findings += checks.label_findings(splits.train, train_keys, labels)
    findings += made.findings(labels, spec.label_names)
    if lengths is not None:
        findings += checks.length_findings(lengths, len(labels), max_tokens)
    return TableFindings(tuple(findings))
