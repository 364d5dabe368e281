"""Labelled texts of one split, on disk: the class `StreamedExamples`."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.spooled_texts import SpooledTexts
from bvkeras.errors import DataError

if TYPE_CHECKING:
    from bvkeras.data.tokenized_examples import TokenizedExamples
    from bvkeras.encoders.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedExamples(Examples):
    """Examples whose ids and texts lie in a file and not in memory.

    The same as `Examples` of the same rows, digest included, wherever they
    are read a few at a time. In memory are the labels and 8 bytes for each
    text and id.

    Args:
        task: str. Name of the task.
        split: str. Name of the split.
        ids: SpooledTexts. One for each example, no two alike: whoever makes
            this has seen to that.
        texts_a: SpooledTexts. The first text of each example.
        texts_b: SpooledTexts, or None. The second texts, of pairs.
        labels: array. As of `Examples`.

    Raises:
        DataError: the lengths differ.
    """

    ids: SpooledTexts  # type: ignore[assignment]
    texts_a: SpooledTexts  # type: ignore[assignment]
    texts_b: SpooledTexts | None  # type: ignore[assignment]

    def __post_init__(self):
        object.__setattr__(self, "labels", self._numbers(self.labels))
        lengths = {len(self.ids), len(self.texts_a), len(self.labels)}
        if self.texts_b is not None:
            lengths.add(len(self.texts_b))
        if len(lengths) > 1:
            raise DataError(
                f"{self.task} {self.split}: ids, texts and labels have "
                f"lengths {sorted(lengths)}, expected one length"
            )

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of every field, in hexadecimal: that of `Examples`."""
        digest = hashlib.sha256()
        for part in self._json():
            digest.update(part)
        return digest.hexdigest()

    def _json(self) -> Iterator[bytes]:
        """The JSON that `Examples.digest` is of, piece by piece."""
        columns = {
            "dtype": self.labels.dtype.name,
            "ids": self.ids,
            "labels": self.labels,
            "split": self.split,
            "task": self.task,
            "texts_a": self.texts_a,
            "texts_b": self.texts_b,
        }
        for number, (name, column) in enumerate(columns.items()):
            yield f'{", " if number else "{"}"{name}": '.encode()
            if isinstance(column, SpooledTexts):
                yield from _listed(column.json_texts())
            elif isinstance(column, np.ndarray):
                yield from _listed(
                    json.dumps(label.tolist()).encode() for label in column
                )
            else:
                yield json.dumps(column, ensure_ascii=False).encode()
        yield b"}"

    def tokenized(
        self,
        tokenizer: "Tokenizer",
        max_tokens: int,
        offsets: bool,
        apart: bool = False,
    ) -> "TokenizedExamples":
        """Each example as a row of tokens, made again where it is read.

        Args:
            tokenizer: Tokenizer.
            max_tokens: int. Longer examples are cut.
            offsets: bool. Whether to keep where tokens stand in the texts.
            apart: bool. As `Examples.tokenized`.

        Raises:
            ArgumentError: `max_tokens` leaves no room for text.
        """
        from bvkeras.data.streamed_tokens import StreamedTokens

        return StreamedTokens.of(self, tokenizer, max_tokens, offsets, apart)

    def part(self, first: int, last: int) -> Examples:
        """The examples from `first` to before `last`, in memory."""
        place = slice(first, last)
        return Examples(
            self.task,
            self.split,
            tuple(self.ids[place]),
            tuple(self.texts_a[place]),
            None if self.texts_b is None else tuple(self.texts_b[place]),
            self.labels[place],
        )

    def take(self, indices: Iterable[int]) -> "StreamedExamples":
        """Picks examples by position; they stay on disk.

        Args:
            indices: ints. Positions, in the order wanted.
        """
        rows = np.asarray(list(indices), np.int64)
        return dataclasses.replace(
            self,
            ids=self.ids.take(rows),
            texts_a=self.texts_a.take(rows),
            texts_b=self.texts_b and self.texts_b.take(rows),
            labels=self.labels[rows],
        )


def _listed(values: Iterable[bytes]) -> Iterator[bytes]:
    yield b"["
    for number, value in enumerate(values):
        yield b", " + value if number else value
    yield b"]"
