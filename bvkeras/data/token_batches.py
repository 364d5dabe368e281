"""Tokenised examples and the batches they are read in."""

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.encoder import Encoder

_BATCHES_SORTED_TOGETHER = 50


def tokenize_examples(
    examples: Examples | SpanExamples | TokenExamples,
    encoder: Encoder,
    max_tokens: int,
    offsets: bool = False,
    apart: bool = False,
) -> TokenizedExamples:
    """Tokenises and packs every example: `[CLS] a [SEP]` (`b [SEP]`).

    Of a span task each question gets as many windows as its context needs.
    Of pairs apart both texts stand in a row, each with its own special tokens.

    Args:
        examples: Examples or SpanExamples.
        encoder: Encoder. Gives the tokenizer and the longest input.
        max_tokens: int. Longer examples are cut, or make several windows.
        offsets: bool. Whether to keep where the tokens stand in the texts.
            Defaults to `False`.
        apart: bool. Whether the texts of a pair are encoded each by itself,
            as `Examples.tokenized` has it. Defaults to `False`.

    Raises:
        ArgumentError: the encoder does not take `max_tokens`, or there is no
            room for a context.
    """
    encoder.check_max_tokens(max_tokens)
    if apart:
        assert isinstance(examples, Examples)
        return examples.tokenized(
            encoder.tokenizer, max_tokens, offsets, apart=True
        )
    return examples.tokenized(encoder.tokenizer, max_tokens, offsets)


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
