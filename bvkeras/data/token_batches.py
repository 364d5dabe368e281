"""Tokenised examples and the batches they are read in."""

import dataclasses

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.word_piece import WordPiece

_BATCHES_SORTED_TOGETHER = 50


@dataclasses.dataclass(frozen=True)
class TokenizedExamples:
    """Examples as token ids, not yet padded.

    Attributes:
        token_ids: list of int32 arrays `(tokens,)`, with [CLS] and [SEP].
        segment_ids: list of int32 arrays `(tokens,)`; 1 in a second text.
        pad_id: int. The id that fills shorter rows of a batch.
    """

    token_ids: list[np.ndarray]
    segment_ids: list[np.ndarray]
    pad_id: int

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def lengths(self) -> np.ndarray:
        """int64 array `(examples,)`: tokens of each example."""
        return np.array([len(ids) for ids in self.token_ids], np.int64)

    def batch(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices`, padded to the longest of them.

        Returns:
            dict of int32 arrays `(batch, tokens)`: `token_ids`,
            `segment_ids`, `padding_mask` (1 where there is a token).
        """
        longest = max(len(self.token_ids[i]) for i in indices)
        shape = (len(indices), longest)
        token_ids = np.full(shape, self.pad_id, np.int32)
        segment_ids = np.zeros(shape, np.int32)
        padding_mask = np.zeros(shape, np.int32)
        for row, i in enumerate(indices):
            length = len(self.token_ids[i])
            token_ids[row, :length] = self.token_ids[i]
            segment_ids[row, :length] = self.segment_ids[i]
            padding_mask[row, :length] = 1
        return {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "padding_mask": padding_mask,
        }


def tokenize_examples(
    examples: Examples, tokenizer: WordPiece, max_tokens: int
) -> TokenizedExamples:
    """Tokenises and packs every example: `[CLS] a [SEP]` (`b [SEP]`)."""
    packed = tokenizer.pack(examples.texts_a, examples.texts_b, max_tokens)
    return TokenizedExamples(
        token_ids=[ids for ids, _ in packed],
        segment_ids=[segments for _, segments in packed],
        pad_id=tokenizer.pad_id,
    )


def bucketed_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """One epoch of training batches with examples of like length together.

    The examples are shuffled, sorted by length within groups of 50 batches,
    cut into batches, and the batches shuffled: little padding is computed and
    what a batch holds still changes from epoch to epoch. The result depends
    on the arguments alone, so an interrupted epoch can be taken up again.

    Args:
        lengths: int array `(examples,)`. Tokens of each example.
        batch_size: int. Examples a batch; the last may be smaller.
        seed: int. Seed of the run.
        epoch: int. Number of the epoch, from 0.

    Returns:
        list of int64 arrays of example indices, each example once.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    group = batch_size * _BATCHES_SORTED_TOGETHER
    batches = []
    for start in range(0, len(order), group):
        chunk = order[start : start + group]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [
            chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)
        ]
    return [batches[i] for i in random.permutation(len(batches))]


def token_budget_batches(
    lengths: np.ndarray, max_batch_tokens: int
) -> list[np.ndarray]:
    """Batches for inference: sorted by length, each within a token budget.

    Args:
        lengths: int array `(examples,)`. Tokens of each example.
        max_batch_tokens: int. Most tokens a batch has, padding included; an
            example longer than that makes a batch of its own.

    Returns:
        list of int64 arrays of example indices, each example once.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, max_batch_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches
