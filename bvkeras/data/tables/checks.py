"""What may be wrong with rows that can be trained on."""

import re
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from bvkeras.data.tables.class_labels import UNSEEN
from bvkeras.data.tables.columns import listed
from bvkeras.data.tables.finding import Finding
from bvkeras.data.tables.table_rows import (
    BLANK,
    EMPTY_TEXT,
    NO_LABEL,
    TableRows,
)
from bvkeras.errors import DataError

# Of more rows than these the share of cut texts is estimated.
_MOST_COUNTED = 5000
_NUMBER = re.compile(r"\s*[+-]?[\d.,]*\d[\d.,]*(e[+-]?\d+)?\s*", re.IGNORECASE)

TokenLengths = Callable[
    [Sequence[str], Sequence[str] | None], Sequence[int] | np.ndarray
]


def check_texts(rows: TableRows, columns: Sequence[str]) -> None:
    """Refuses a column of texts that holds numbers alone.

    Args:
        rows: `TableRows` of training.
        columns: sequence of str. Names of the text columns.

    Raises:
        DataError: each of two or more rows has a number; names the first.
    """
    for name, texts in zip(columns, rows.texts, strict=True):
        if len(texts) > 1 and all(map(_NUMBER.fullmatch, texts)):
            raise DataError(
                f"{rows.where(0)}: {name} is {texts[0]!r:.40}, and a number in "
                f"each of {len(texts)} rows; expected texts: is {name!r} the "
                "text column?"
            )


def reading_findings(split: str, rows: TableRows) -> list[Finding]:
    """Rows read of a split's files, and those dropped with the reasons."""
    findings = [
        Finding(
            f"{split}: rows read",
            rows.num_read,
            note=f"{len(rows.files)} files" if len(rows.files) > 1 else "",
        )
    ]
    if rows.num_blank:
        findings.append(
            Finding(f"{split}: {BLANK}, dropped", rows.num_blank, rows.num_read)
        )
    for reason in (EMPTY_TEXT, NO_LABEL, UNSEEN):
        places = rows.dropped.get(reason)
        if places:
            findings.append(
                Finding(
                    f"{split}: {reason}, dropped",
                    len(places),
                    rows.num_read,
                    f"first: {_short(rows, places[0])}",
                    is_warning=True,
                )
            )
    return findings


def label_findings(
    rows: TableRows,
    keys: Sequence[Hashable],
    labels: np.ndarray | Sequence,
) -> list[Finding]:
    """Texts that come again, with the same label and with another one.

    Args:
        rows: `TableRows` of training.
        keys: sequence of n keys, as `text_keys` gives them.
        labels: array of shape `(n,)`, of several labels a text `(n, labels)`.
    """
    first: dict[Hashable, int] = {}
    again: list[int] = []
    disputed: dict[Hashable, tuple[int, int]] = {}
    for index, key in enumerate(keys):
        earlier = first.setdefault(key, index)
        if earlier == index:
            continue
        if np.array_equal(labels[index], labels[earlier]):
            again.append(index)
        else:
            disputed.setdefault(key, (earlier, index))
    findings = []
    if again:
        findings.append(
            Finding(
                "training: rows with text and label of an earlier row",
                len(again),
                len(rows),
                f"first: {_short(rows, rows.places[again[0]])}",
            )
        )
    if disputed:
        earlier, later = next(iter(disputed.values()))
        num_rows = sum(key in disputed for key in keys)
        findings.append(
            Finding(
                "training: rows whose text has different labels",
                num_rows,
                len(rows),
                f"first: {_short(rows, rows.places[earlier])} and "
                f"{_short(rows, rows.places[later])}",
                is_warning=True,
            )
        )
    return findings


def overlap_findings(
    keys: Sequence[Hashable],
    rows: TableRows,
    validation_keys: Sequence[Hashable],
) -> list[Finding]:
    """Texts of validation that are in training, too."""
    known = set(keys)
    both = [i for i, key in enumerate(validation_keys) if key in known]
    if not both:
        return []
    return [
        Finding(
            "validation: rows whose text is in training",
            len(both),
            len(rows),
            f"first: {_short(rows, rows.places[both[0]])}",
            is_warning=True,
        )
    ]


def class_findings(labels: np.ndarray, names: Sequence[str]) -> list[Finding]:
    """Classes with one row, and the largest one."""
    counts = np.bincount(labels, minlength=len(names))
    findings = []
    few = [n for n, count in zip(names, counts, strict=True) if count == 1]
    if few:
        findings.append(
            Finding(
                "training: classes with one row",
                len(few),
                len(names),
                listed(few),
                is_warning=True,
            )
        )
    share = counts.max() / counts.sum()
    findings.append(
        Finding(
            "training: rows of the largest class",
            int(counts.max()),
            int(counts.sum()),
            f"{names[int(counts.argmax())]!r}; always guessing it has an "
            f"accuracy of {share:.3f}",
        )
    )
    return findings


def label_set_findings(
    labels: np.ndarray, names: Sequence[str]
) -> list[Finding]:
    """Labels that few rows have, rows without any, and the most frequent.

    Args:
        labels: array of shape `(n, labels)` of 0 and 1.
        names: sequence of str. All labels.
    """
    counts = labels.sum(axis=0)
    findings = []
    for number, what in ((0, "without a row"), (1, "with one row")):
        few = [n for n, c in zip(names, counts, strict=True) if c == number]
        if few:
            findings.append(
                Finding(
                    f"training: labels {what}",
                    len(few),
                    len(names),
                    listed(few),
                    is_warning=True,
                )
            )
    a_row = labels.sum(axis=1)
    findings.append(
        Finding(
            "training: rows without any label",
            int((a_row == 0).sum()),
            len(labels),
            f"{a_row.mean():.2f} labels a row, at most {int(a_row.max())}",
        )
    )
    findings.append(
        Finding(
            "training: rows with the most frequent label",
            int(counts.max()),
            len(labels),
            repr(names[int(counts.argmax())]),
        )
    )
    return findings


def length_findings(
    lengths: np.ndarray, num_rows: int, max_tokens: int
) -> list[Finding]:
    """Texts that are cut because they have too many tokens.

    Args:
        lengths: int array. Tokens of each row, or of some.
        num_rows: int. Rows of training.
        max_tokens: int. Most tokens of a row.
    """
    cut = int((lengths > max_tokens).sum())
    note = f"longer than {max_tokens} tokens; longest {int(lengths.max())}"
    what = "training: rows whose text is cut"
    if len(lengths) < num_rows:
        what = f"{what}, of {len(lengths):,} counted"
    return [
        Finding(
            what, cut, len(lengths), note, is_warning=cut > 0.1 * len(lengths)
        )
    ]


def count_tokens(
    rows: TableRows, token_lengths: TokenLengths, seed: int
) -> np.ndarray:
    """Tokens of each row, or of 5,000 chosen by a seed.

    Args:
        rows: `TableRows`.
        token_lengths: callable. Takes first texts, and second ones or None,
            and gives the tokens of each row with special tokens counted.
        seed: int. Seed of the choice.
    """
    chosen = np.arange(len(rows))
    if len(rows) > _MOST_COUNTED:
        order = np.random.default_rng(seed).permutation(len(rows))
        chosen = np.sort(order[:_MOST_COUNTED])
    columns = [[column[i] for i in chosen] for column in rows.texts]
    texts_b = columns[1] if len(columns) > 1 else None
    return np.asarray(token_lengths(columns[0], texts_b), dtype=np.int64)


def held_out_finding(held_out: np.ndarray, seed: int, how: str) -> Finding:
    """What was held out, since there is no validation file."""
    return Finding(
        "validation: rows held out of training",
        int(held_out.sum()),
        len(held_out),
        f"{how}, no text on both sides, seed {seed}",
    )


def _short(rows, place):
    file, row = place
    return f"{rows.files[file].name} row {row}"
