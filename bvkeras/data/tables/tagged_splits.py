"""The splits of tables of tagged words as examples."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from bvkeras.data.tables.class_labels import drop_unseen_rows
from bvkeras.data.tables.held_out import choose_held_out, text_keys
from bvkeras.data.tables.label_sets import rarest_labels
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.data.tables.table_splits import require_held_out
from bvkeras.data.tables.tagged_words import read_tagged_rows
from bvkeras.data.tagged_sentence import TaggedSentence
from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import DataError
from bvkeras.tasks.table_files import TableFiles
from bvkeras.tasks.tag_scheme import TagScheme


@dataclasses.dataclass(frozen=True, eq=False)
class TaggedSplits:
    """Sentences of training and validation.

    Args:
        read: `TableRows`. What the training files hold.
        train: `TableRows`. Those to train on.
        validation: `TableRows`.
        scheme: TagScheme. Of their tags.
        label_names: tuple of str. What is learned of them.
        held_out: bool array, or None. Which of `read` are validation; None
            where that has files of its own.
    """

    read: TableRows
    train: TableRows
    validation: TableRows
    scheme: TagScheme
    label_names: tuple[str, ...]
    held_out: np.ndarray | None

    def examples(self, task: str, split: str) -> TokenExamples:
        """One split.

        Args:
            task: str. Name of the task.
            split: str. `"train"` or `"validation"`.
        """
        rows = self.train if split == "train" else self.validation
        return TokenExamples(
            task,
            split,
            tuple(
                TaggedSentence(name, words, self.scheme.to_learned(tags))
                for name, (words, tags) in zip(
                    rows.ids, rows.labels, strict=True
                )
            ),
            self.label_names,
        )


def split_tagged(
    files: TableFiles,
    columns: tuple[str, str],
    train: TableRows,
    scheme: TagScheme | None = None,
    label_names: Sequence[str] | None = None,
    data_dir: pathlib.Path | None = None,
) -> TaggedSplits:
    """Which sentences are trained on, and what is learned of their tags.

    A share of the sentences with each type of entities is held out, by the
    rarest that a sentence has.

    Args:
        files: `TableFiles`.
        columns: pair of str. Of words and of tags.
        train: `TableRows`. Those of `files.train`.
        scheme: TagScheme, or None. Of the tags. Defaults to `None`: found out
            from those of training.
        label_names: sequence of str, or None. What is learned. Defaults to
            `None`: what the tags of training give.
        data_dir: path, or None. As `read_tagged_rows`.

    Raises:
        DataError: a file of validation cannot be read or has other tags than
            training; there are too few rows to hold some out, or all words
            have the same tag; or training has tags that `label_names` has
            not.
    """
    tags = [sentence.tags for sentence in train.labels]
    scheme = scheme or TagScheme.of(tags)
    found = scheme.label_names(tags)
    label_names = tuple(label_names or found)
    if len(label_names) < 2:
        raise DataError(
            f"{train.where(0)}: and {len(train) - 1} other rows have the tag "
            f"{label_names[0]} alone, expected some others"
        )
    _require_known(train, columns[1], scheme, label_names)
    if files.validation:
        validation = read_tagged_rows(
            files, files.validation, *columns, data_dir=data_dir
        )
        unseen = _unseen(validation, scheme, label_names)
        validation = drop_unseen_rows(
            validation, columns[1], label_names, unseen
        )
        return TaggedSplits(train, train, validation, scheme, label_names, None)
    held_out = choose_held_out(
        text_keys(train.texts),
        rarest_labels(entity_matrix(train, scheme)),
        files.held_out,
        files.seed,
    )
    require_held_out(held_out, train.where(0), len(train), files.held_out)
    kept, taken = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return TaggedSplits(
        train,
        train.take(kept),
        train.take(taken),
        scheme,
        label_names,
        held_out,
    )


def entity_matrix(rows: TableRows, scheme: TagScheme) -> np.ndarray:
    """Which types of entities each sentence has, 0 and 1, `(n, types)`.

    The types stand in the order of their names.
    """
    kinds = [
        {entity.type for entity in scheme.entities(sentence.tags)}
        for sentence in rows.labels
    ]
    names = sorted(set().union(*kinds))
    return np.array([[name in one for name in names] for one in kinds], int)


def _unseen(rows, scheme, label_names):
    """The first tag of each row that is none of the names."""
    known = set(label_names)
    unseen = {}
    for row, sentence in enumerate(rows.labels):
        for tag in scheme.to_learned(sentence.tags):
            if tag not in known:
                unseen.setdefault(row, tag)
    return unseen


def _require_known(rows, column, scheme, label_names):
    for row, tag in _unseen(rows, scheme, label_names).items():
        raise DataError(
            f"{rows.where(row)}: {column} has {tag!r}, expected one of "
            f"{', '.join(label_names)}"
        )
