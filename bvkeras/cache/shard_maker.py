"""Making the records of any shard of an extraction."""

import contextlib
from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from typing import Any

import numpy as np

from bvkeras.cache.ahead import computed_ahead
from bvkeras.cache.format import Manifest, encode_record
from bvkeras.cache.forward import Forward, Outputs
from bvkeras.data.token_batches import token_budget_batches
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.errors import DataError


class ShardMaker:
    """Makes shards by their numbers, in any order.

    A shard depends on its number and the arguments here alone: whoever makes
    it, and whatever was made before, comes to the same records.

    Args:
        tokens: TokenizedExamples. The split.
        bounds: sequence of int. First example of each shard, and the number
            of examples after them.
        manifest: Manifest. Says what a record holds.
        max_batch_tokens: int. Most tokens a batch has, padding included.
        forward: callable. What `cache_forward` gave.
    """

    def __init__(
        self,
        tokens: TokenizedExamples,
        bounds: Sequence[int],
        manifest: Manifest,
        max_batch_tokens: int,
        forward: Forward,
    ):
        self._tokens, self._bounds = tokens, bounds
        self._manifest, self._forward = manifest, forward
        self._max_batch_tokens = max_batch_tokens

    def shards(
        self,
        numbers: Iterable[int],
        advance: Callable[[int], object] = lambda examples: None,
    ) -> Generator[tuple[int, list[bytes], int], None, None]:
        """Makes shards, two batches at once.

        Args:
            numbers: iterable of int. Taken as they are needed, a batch or two
                before a shard is finished.
            advance: callable. Told of each batch how many examples it had.

        Yields:
            A number, the shard's records in order, and its tokens.

        Raises:
            DataError: a hidden state is NaN or infinite; names the example.
        """
        records: dict[int, bytes] = {}
        with contextlib.closing(
            computed_ahead(
                lambda item: self._forward(item[1].batch(item[2])),
                self._batches(numbers),
            )
        ) as computed:
            for (number, tokens, rows), outputs in computed:
                records |= _records(
                    rows, self._bounds[number], outputs, tokens, self._manifest
                )
                advance(len(rows))
                if len(records) == len(tokens):
                    yield (
                        number,
                        [records[row] for row in range(len(tokens))],
                        int(tokens.lengths.sum()),
                    )
                    records = {}

    def _batches(
        self, numbers: Iterable[int]
    ) -> Iterator[tuple[int, TokenizedExamples, np.ndarray]]:
        """The rows of each batch, counted in their shard."""
        for number in numbers:
            first, last = self._bounds[number : number + 2]
            tokens = self._tokens.part(first, last)
            for rows in token_budget_batches(
                tokens.lengths, self._max_batch_tokens
            ):
                yield number, tokens, rows


def _records(
    rows: np.ndarray,
    first: int,
    outputs: Outputs,
    tokens: TokenizedExamples,
    manifest: Manifest,
) -> dict[int, bytes]:
    """The records of one batch, by row; row 0 is example `first`."""
    values, scales, finite = outputs
    extras, identity = manifest.extras, manifest.identity
    # There where they are asked for.
    offsets: Any = tokens.offsets
    contexts: Any = tokens.contexts
    records = {}
    for place, row in enumerate(rows.tolist()):
        length = tokens.lengths[row]
        if not finite[place, :length].all():
            raise DataError(
                f"{identity['task']} {identity['split']}, example "
                f"{tokens.ids[row]!r}: a hidden state is NaN or infinite"
            )
        records[row] = encode_record(
            first + row,
            tokens.ids[row],
            _label(tokens, row, manifest).tolist(),
            values[place, :length],
            None if scales is None else scales[place, :length],
            tokens.rows[row][0] if "token_ids" in extras else None,
            offsets[row] if "offsets" in extras else None,
            int(contexts[row]) if manifest.spans else None,
        )
    return records


def _label(
    tokens: TokenizedExamples, row: int, manifest: Manifest
) -> np.ndarray:
    """A row's label; of tags as many as it has tokens."""
    label = tokens.labels[row]
    return label if manifest.num_tags is None else label[: tokens.lengths[row]]
