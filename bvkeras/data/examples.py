"""Labelled texts of one split, in memory."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bvkeras.errors import ArgumentError, DataError
from bvkeras.fileio import value_digest

if TYPE_CHECKING:
    from bvkeras.data.tokenized_examples import TokenizedExamples
    from bvkeras.encoders.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Labelled texts of one split of a task.

    Args:
        task: str. Name of the task.
        split: str. Name of the split.
        ids: sequence of n str, kept as a tuple. One for each example, no two
            alike.
        texts_a: sequence of n str, kept as a tuple. The first text of each
            example.
        texts_b: sequence of n str, kept as a tuple, or None. The second text
            of each example; None where the task has one text.
        labels: array of shape `(n,)`, or a sequence of numbers. Class indices,
            kept as int64, or scores for regression, kept as float32. Of
            several labels a text `(n, labels)`, 0 or 1, kept as float32.

    Raises:
        DataError: an argument is no such sequence (names it and the first
            that is no str or number), the lengths differ, or an id comes
            twice.
    """

    task: str
    split: str
    ids: tuple[str, ...]
    texts_a: tuple[str, ...]
    texts_b: tuple[str, ...] | None
    labels: np.ndarray

    def __post_init__(self):
        for name in ("ids", "texts_a", "texts_b"):
            value = getattr(self, name)
            if name != "texts_b" or value is not None:
                object.__setattr__(self, name, self._texts(name, value))
        object.__setattr__(self, "labels", self._numbers(self.labels))
        lengths = [len(self.ids), len(self.texts_a), len(self.labels)]
        if self.texts_b is not None:
            lengths.append(len(self.texts_b))
        if len(set(lengths)) > 1:
            raise DataError(
                f"{self.task} {self.split}: ids, texts and labels have "
                f"lengths {lengths}, expected one length"
            )
        if len(set(self.ids)) < len(self.ids):
            raise DataError(
                f"{self.task} {self.split}: {len(self.ids)} examples have "
                f"{len(set(self.ids))} different ids, expected one each"
            )

    def _texts(self, name: str, values: Any) -> tuple[str, ...]:
        where = f"{self.task} {self.split}: {name}"
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise DataError(
                f"{where}: expected a sequence of str, got "
                f"{type(values).__name__}"
            )
        values = tuple(values)
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise DataError(
                    f"{where}: row {row} is {value!r}, a "
                    f"{type(value).__name__}; expected str"
                )
        return values

    def _numbers(self, values: Any) -> np.ndarray:
        where = f"{self.task} {self.split}: labels"
        try:
            labels = np.asarray(values)
        except ValueError:
            labels = np.array(None)
        if labels.ndim == 2 and labels.dtype.kind in "iufb":
            return labels.astype(np.float32)
        if labels.ndim != 1:
            raise DataError(
                f"{where}: have shape {labels.shape}, expected one number an "
                "example, or 0 or 1 for each label"
            )
        if labels.size and labels.dtype.kind not in "iuf":
            raise DataError(
                f"{where}: the first is {labels[0]!r}, expected numbers: class "
                "indices, or scores"
            )
        return labels.astype(
            np.float32 if labels.dtype.kind == "f" else np.int64
        )

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of every field, in hexadecimal."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        fields["labels"] = self.labels.tolist()
        return value_digest(fields | {"dtype": self.labels.dtype.name})

    @property
    def has_windows(self) -> bool:
        """Whether a text may have several rows of tokens."""
        return False

    @property
    def window_identity(self) -> dict[str, Any]:
        """What of these examples decides their tokens besides `max_tokens`.

        Nothing: each is one row.
        """
        return {}

    def tokenized(
        self,
        tokenizer: "Tokenizer",
        max_tokens: int,
        offsets: bool,
        apart: bool = False,
    ) -> "TokenizedExamples":
        """Each example as a row of tokens.

        Args:
            tokenizer: Tokenizer.
            max_tokens: int. Longer examples are cut.
            offsets: bool. Whether to keep where tokens stand in the texts.
            apart: bool. Whether the two texts of a pair are to be encoded
                each by itself: a row is then `[CLS] a [SEP] [CLS] b [SEP]`,
                each text cut by itself, its segments 0 and 1. Defaults to
                `False`.

        Raises:
            ArgumentError: `max_tokens` leaves no room for text.
        """
        # Brings Keras, and a table that is refused is refused at once.
        from bvkeras.data.tokenized_examples import TokenizedExamples

        if apart:
            return self._tokenized_apart(tokenizer, max_tokens)
        texts = (self.texts_a, self.texts_b)
        return TokenizedExamples(
            tokenizer.pack(*texts, max_tokens),
            tokenizer.pad_id,
            self.ids,
            self.labels,
            tokenizer.pack_offsets(*texts, max_tokens) if offsets else None,
        )

    def _tokenized_apart(self, tokenizer, max_tokens):
        from bvkeras.data.tokenized_examples import TokenizedExamples

        firsts, seconds = (
            tokenizer.pack(texts, None, max_tokens)
            for texts in (self.texts_a, self.texts_b)
        )
        rows = [
            (
                np.concatenate([first, second]),
                np.repeat(np.int32([0, 1]), [len(first), len(second)]),
            )
            for (first, _), (second, _) in zip(firsts, seconds, strict=True)
        ]
        return TokenizedExamples(rows, tokenizer.pad_id, self.ids, self.labels)

    def texts_of(self, ids: Sequence[str]) -> list[list[str]]:
        """The texts of some examples, as one or two columns.

        Args:
            ids: sequence of str. Ids of the examples, in the order wanted.

        Raises:
            DataError: there is no example of such an id.
        """
        places = {name: place for place, name in enumerate(self.ids)}
        for name in ids:
            if name not in places:
                raise DataError(
                    f"{self.task} {self.split}: has no example {name!r}"
                )
        columns = [self.texts_a, self.texts_b]
        return [
            [column[places[name]] for name in ids]
            for column in columns
            if column is not None
        ]

    def take(self, indices: Iterable[int]) -> "Examples":
        """Picks examples by position.

        Args:
            indices: ints. Positions, in the order wanted.

        Returns:
            `Examples` with `len(indices)` examples.
        """
        indices = np.asarray(list(indices), dtype=np.int64)
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[i] for i in indices),
            texts_a=tuple(self.texts_a[i] for i in indices),
            texts_b=self.texts_b and tuple(self.texts_b[i] for i in indices),
            labels=self.labels[indices],
        )

    def limit(self, n: int | None, seed: int = 0) -> "Examples":
        """Picks a random subset, kept in its original order.

        With one seed, a smaller subset lies inside a larger one.

        Args:
            n: int or None. Size of the subset. None, or more examples than
                there are, keeps all.
            seed: int. Seed of the choice. Defaults to `0`.

        Raises:
            ArgumentError: `n` is less than 1.
        """
        chosen = random_subset(len(self), n, seed)
        return self if chosen is None else self.take(chosen)


def random_subset(count: int, n: int | None, seed: int) -> np.ndarray | None:
    """Positions of a random subset in their order, or None for everything.

    Raises:
        ArgumentError: `n` is less than 1.
    """
    if n is not None and n < 1:
        raise ArgumentError(f"limit: got {n}, expected at least 1")
    if n is None or n >= count:
        return None
    return np.sort(np.random.default_rng(seed).permutation(count)[:n])
