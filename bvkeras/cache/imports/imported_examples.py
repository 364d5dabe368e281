"""The examples that imported hidden states are of: ids and labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bvkeras import tasks
from bvkeras.cache.imports.label_rows import label_numbers, label_rows
from bvkeras.cache.imports.states_source import StatesSource
from bvkeras.cache.imports.tensor_states import texts_of
from bvkeras.data.example_checks import check_examples
from bvkeras.data.examples import Examples
from bvkeras.data.tables.table_rows import TableRows
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.token_windows import UNSCORED, piece_words
from bvkeras.errors import ArgumentError, DataError

LABELS = ("label", "labels")
# Characters of each token, as Hugging Face's tokenizers call them.
OFFSETS = "offset_mapping"
# Of the only window of a sentence, as `data.token_windows` names it.
_WINDOW = "#0"


class ImportedExamples(NamedTuple):
    """What a cache keeps of each example besides its hidden states.

    Attributes:
        digest: str. SHA-256 over ids, texts and labels.
        ids: list of str.
        labels: list. A number, or a list of them.
        offsets: list of int arrays `(tokens, 2)`, or None.
    """

    digest: str
    ids: list[str]
    labels: list[Any]
    offsets: list[np.ndarray] | None


def own_examples(
    task: tasks.TaskSpec,
    source: StatesSource,
    split: str,
    labels: Any = None,
    ids: Sequence[str] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    columns: Sequence[str] = ("label",),
) -> ImportedExamples:
    """Examples of labels that are given, or lie beside the hidden states.

    Args:
        task: TaskSpec, of classes, labels or scores.
        source: StatesSource.
        split: str.
        labels: what `label_rows` takes, TableRows, or None: beside the states.
        ids: sequence of str, or None: beside the states, or numbers.
        texts: sequence of one or two sequences of str, or None.
        columns: sequence of str. Those of TableRows' labels.

    Raises:
        ArgumentError: there are no labels, or the task has no such ones.
        DataError: they are not of the task, or not as many as examples.
    """
    if task.traits.per_token:
        raise ArgumentError(
            f"labels: {task.name} has labels of tokens; of tagged words they "
            "come from the task's own sentences, of spans they cannot be "
            "imported"
        )
    if labels is None:
        labels = source.column(*LABELS)
        if labels is None:
            raise ArgumentError(
                f"labels: none lie beside the hidden states of {source.name}, "
                "and none are given"
            )
    if isinstance(labels, TableRows):
        rows = labels
        order = _order(source, rows.ids, str(rows.files[0]))
        rows = rows if order is None else rows.take(order)
    else:
        rows = label_rows(labels, source.name)
        _require_count(source, len(rows), "labels")
    given = source.ids
    if ids is not None:
        given = texts_of(np.ravel(ids).tolist())
    given = rows.ids if given is None else given
    _require_count(source, len(given), "ids")
    none = ("",) * len(given)
    first, *second = texts or [none]
    for column in (first, *second):
        _require_count(source, len(column), "texts")
    examples = Examples(
        task.name,
        split,
        tuple(given),
        tuple(first),
        tuple(second[0]) if second else None,
        label_numbers(task, rows, columns),
    )
    check_examples(task, examples)
    return _kept(examples)


def task_examples(
    task: tasks.TaskSpec,
    source: StatesSource,
    examples: Examples | TokenExamples,
) -> ImportedExamples:
    """A task's own examples: by their ids, or in their order.

    Args:
        task: TaskSpec.
        source: StatesSource. Where it has the ids of the examples, they say
            which hidden states are whose.
        examples: Examples, or TokenExamples of tagged words: then the source
            has `offset_mapping`, where each token stands in the words with a
            blank between.

    Raises:
        ArgumentError: the task is of spans.
        DataError: there are other examples than hidden states.
    """
    check_examples(task, examples)
    if task.kind is tasks.Kind.SPAN:
        raise ArgumentError(
            f"task: hidden states of spans, as of {task.name}, cannot be "
            "imported"
        )
    order = _order(source, examples.ids, f"{task.name} {examples.split}")
    if isinstance(examples, TokenExamples):
        if order is not None:
            raise DataError(
                f"{source.name}: the sentences stand in another order than in "
                f"{task.name} {examples.split}, expected the same"
            )
        return _tagged(task, source, examples)
    return _kept(examples if order is None else examples.take(order))


def _kept(examples: Examples) -> ImportedExamples:
    return ImportedExamples(
        examples.digest, list(examples.ids), examples.labels.tolist(), None
    )


def _order(
    source: StatesSource, wanted: Sequence[str], where: str
) -> list[int] | None:
    """Places of the source's examples in `wanted`, where they are others."""
    ids = source.ids
    places = {name: place for place, name in enumerate(wanted)}
    known = [name in places for name in ids or ()]
    if ids is None or not any(known):
        if len(source) != len(wanted):
            raise DataError(
                f"{source.name}: has hidden states of {len(source)} examples, "
                f"{where} has {len(wanted)}"
            )
        return None
    if not all(known):
        row = known.index(False)
        raise DataError(
            f"{source.where(row)}: its id {ids[row]!r} is not in {where}"
        )
    missing = set(places).difference(ids)
    if missing:
        raise DataError(
            f"{source.name}: has no hidden states of {min(missing)!r}, which "
            f"is in {where}"
        )
    order = [places[name] for name in ids]
    return None if order == list(range(len(wanted))) else order


def _tagged(task, source, examples) -> ImportedExamples:
    found = source.token_column(OFFSETS)
    if found is None:
        raise DataError(
            f"{source.name}: has no {OFFSETS}, expected the first character "
            "of each token in the sentence, and the one after its last"
        )
    numbers = {name: number for number, name in enumerate(task.label_names)}
    all_offsets, labels = [], []
    for row, (sentence, offsets) in enumerate(
        zip(examples.sentences, found, strict=True)
    ):
        if offsets.ndim != 2 or offsets.shape[1] != 2:
            raise DataError(
                f"{source.where(row)}: {OFFSETS} is of shape {offsets.shape}, "
                "expected two numbers a token"
            )
        offsets = offsets.astype(np.int64)
        is_text = offsets[:, 0] < offsets[:, 1]
        if (offsets[is_text] > len(sentence.text)).any():
            raise DataError(
                f"{source.where(row)}: {OFFSETS} goes to "
                f"{offsets.max()}, sentence {sentence.id!r} has "
                f"{len(sentence.text)} characters"
            )
        # Special tokens stand nowhere; others say so by 0 and 0.
        offsets[~is_text] = -1
        words = piece_words(sentence, offsets)
        before = np.maximum.accumulate(np.concatenate([[-1], words[:-1]]))
        is_first = is_text & (words > before)
        tags = np.array([numbers[tag] for tag in sentence.tags])
        labels.append(np.where(is_first, tags[words], UNSCORED).tolist())
        all_offsets.append(offsets)
    return ImportedExamples(
        examples.digest,
        [name + _WINDOW for name in examples.ids],
        labels,
        all_offsets,
    )


def _require_count(source: StatesSource, count: int, what: str) -> None:
    if count != len(source):
        raise DataError(
            f"{source.name}: has hidden states of {len(source)} examples, and "
            f"there are {count} {what}"
        )
