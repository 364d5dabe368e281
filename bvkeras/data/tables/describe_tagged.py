"""Makes a task of tables of tagged words."""

import collections
from collections.abc import Callable

import numpy as np

from bvkeras.data.tables import checks
from bvkeras.data.tables.columns import listed
from bvkeras.data.tables.finding import Finding
from bvkeras.data.tables.held_out import text_keys
from bvkeras.data.tables.table_findings import TableFindings
from bvkeras.data.tables.tagged_splits import TaggedSplits, split_tagged
from bvkeras.data.tables.tagged_words import read_tagged_rows
from bvkeras.data.tables.token_lengths import longest_input
from bvkeras.data.token_examples import TokenExamples
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.own_settings import own_tag_settings
from bvkeras.tasks.spec import TABLE_BACKBONE, TaskSpec
from bvkeras.tasks.table_files import TableFiles
from bvkeras.tasks.tag_scheme import TagScheme

ENTITY_METRICS = (
    *("entity_f1", "entity_precision", "entity_recall", "word_accuracy"),
)
# Of tags that every word has: there are no entities.
PLAIN_METRICS = ("word_accuracy",)


def describe_tagged(
    files: TableFiles,
    columns: tuple[str, str],
    *,
    name: str,
    title: str,
    how: str,
    max_tokens: int | None = None,
    token_lengths: checks.TokenLengths | None = None,
    token_limit: Callable[[], int] | None = None,
) -> tuple[TaskSpec, dict[str, TokenExamples], TableFindings]:
    """Reads a task's tables of tagged words and says what they are.

    Args:
        files: `TableFiles`.
        columns: pair of str. Of words and of tags.
        name: str. Name of the task.
        title: str. Its name in tables.
        how: str. How its kind is known, for the findings.
        max_tokens: int, or None. As `describe_table`, and so are the others.
        token_lengths: callable, or None.
        token_limit: callable, or None.

    Returns:
        The task, its examples by split, and the findings.

    Raises:
        DataError: the tables cannot be trained on: file and row are named.
    """
    read = read_tagged_rows(files, files.train, *columns)
    splits = split_tagged(files, columns, read)
    lengths = None
    if token_lengths is not None:
        lengths = checks.count_tokens(splits.train, token_lengths, files.seed)
    max_tokens = longest_input(max_tokens, lengths, token_limit)
    base, small = own_tag_settings(len(splits.train), max_tokens)
    is_plain = splits.scheme is TagScheme.PLAIN
    spec = TaskSpec(
        name=name,
        title=title,
        text_columns=(columns[0],),
        label_column=columns[1],
        label_names=splits.label_names,
        metrics=PLAIN_METRICS if is_plain else ENTITY_METRICS,
        paper_settings=base,
        small_settings=small,
        source="table",
        backbone=TABLE_BACKBONE,
        table=files,
        kind=Kind.TOKENS,
        tag_scheme=splits.scheme,
    )
    return (
        spec,
        {split: splits.examples(name, split) for split in spec.splits},
        TableFindings(
            tuple(_findings(files, splits, how, lengths, max_tokens))
        ),
    )


def _findings(
    files: TableFiles,
    splits: TaggedSplits,
    how: str,
    lengths: np.ndarray | None,
    max_tokens: int,
) -> list[Finding]:
    read, scheme = splits.read, splits.scheme
    keys = text_keys(read.texts)
    findings = [
        Finding(
            f"labels: {Kind.TOKENS.value}, {how}",
            len(read),
            note=f"tags as {scheme.value}: "
            f"{listed(sorted({t for s in read.labels for t in s.tags}))}",
        ),
        *checks.reading_findings("training", read),
    ]
    train_keys = keys
    if splits.held_out is None:
        findings += checks.reading_findings("validation", splits.validation)
        findings += checks.overlap_findings(
            keys, splits.validation, text_keys(splits.validation.texts)
        )
    else:
        findings.append(
            checks.held_out_finding(
                splits.held_out,
                files.seed,
                "some of those with each type of entities",
            )
        )
        train_keys = [keys[i] for i in np.flatnonzero(~splits.held_out)]
    tags = [sentence.tags for sentence in splits.train.labels]
    findings += checks.label_findings(splits.train, train_keys, tags)
    findings += _tag_findings(splits.train, scheme)
    if lengths is not None:
        cut = int((lengths > max_tokens).sum())
        findings.append(
            Finding(
                "training: sentences in several windows",
                cut,
                len(lengths),
                f"longer than {max_tokens} tokens; longest "
                f"{int(lengths.max())}",
            )
        )
    return findings


def _tag_findings(rows, scheme):
    """Tags that break their scheme, rare types, sentences without any."""
    tags = [sentence.tags for sentence in rows.labels]
    num_words = sum(map(len, tags))
    findings = []
    broken = [row for row, one in enumerate(tags) if scheme.is_broken(one)]
    if broken:
        findings.append(
            Finding(
                f"training: sentences whose tags are no {scheme.value}",
                len(broken),
                len(rows),
                f"first: {rows.short(broken[0])}; what goes on with nothing "
                "begins an entity",
                is_warning=True,
            )
        )
    found = [scheme.entities(one) for one in tags]
    counts = collections.Counter(e.type for one in found for e in one)
    few = sorted(kind for kind, count in counts.items() if count == 1)
    what = "tags" if scheme is TagScheme.PLAIN else "types of entities"
    if few:
        findings.append(
            Finding(
                f"training: {what} that come once",
                len(few),
                len(counts),
                listed(few),
                is_warning=True,
            )
        )
    if scheme is TagScheme.PLAIN:
        return findings
    findings.append(
        Finding(
            "training: sentences without an entity",
            sum(not one for one in found),
            len(rows),
            f"{sum(counts.values()):,} entities in {num_words:,} words: "
            + ", ".join(f"{kind} {n:,}" for kind, n in counts.most_common(8)),
        )
    )
    return findings
