"""Writing every hidden state of a split to disk, once."""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import bvkeras
from bvkeras import fileio, tasks
from bvkeras.cache.format import (
    DTYPES,
    EXTRAS,
    MANIFEST_FILE,
    Manifest,
)
from bvkeras.cache.forward import Forward, cache_forward, num_threads
from bvkeras.cache.pairs import CachePairs
from bvkeras.cache.plan import ExtractionPlan
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.shard_file import write_shard
from bvkeras.cache.shard_maker import ShardMaker
from bvkeras.cache.shards import (
    SHARD_BYTES,
    check_space,
    kind_identity,
    shard_bounds,
    with_shard,
)
from bvkeras.cache.shared_writing import (
    SharedWriting,
    begin_manifest,
    is_shared,
    join_writing,
    remove_workers,
)
from bvkeras.data.example_checks import check_examples
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.text_pairs import TextPairs
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.inference import check_compute_dtype, computed_by
from bvkeras.errors import ArgumentError
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec

# Tests make it smaller.
_SHARD_BYTES = SHARD_BYTES

# How long the others are waited for that join, too.
_JOIN_SECONDS = 60.0


def write_cache(
    encoder: Encoder,
    task: str | TaskSpec,
    examples: Examples | SpanExamples | TokenExamples,
    directory: str | os.PathLike,
    *,
    max_tokens: int = 128,
    layers: Sequence[int] | None = None,
    dtype: str = "bfloat16",
    extras: Sequence[str] = (),
    compute_dtype: str | None = None,
    max_batch_tokens: int = 1024,
    shared: bool = False,
) -> HiddenStateCache:
    """Runs the encoder over a split and keeps all hidden states of its tokens.

    Padding is never written, and the order of the examples does not depend
    on how they were batched. Interrupted, the same call goes on after the
    last finished shard; finished, it opens what is there. Of pairs apart each
    distinct text is kept once, and a table says which two make a pair.

    Args:
        encoder: Encoder. Its dropout does not matter.
        task: TaskSpec, or its name. Says whether labels are classes, several
            a text, scores, spans, or tags of words.
        examples: Examples, SpanExamples or TokenExamples. The split; of
            questions and of words every window of it is kept.
        directory: str or path. The cache's folder.
        max_tokens: int. Longer examples are cut. Defaults to `128`.
        layers: sequence of ints. Hidden states to keep, 0 the embedding
            output. Defaults to all.
        dtype: str. `"float32"`, `"float16"`, `"bfloat16"` or `"int8"`: how
            values are stored. Defaults to `"bfloat16"`, half the size.
        extras: sequence of str. What else to keep of every token:
            `"token_ids"`, `"offsets"` (its characters in the text), which a
            span task's windows always have.
        compute_dtype: str. `"float32"`, `"bfloat16"`, `"float16"` or `"int8"`:
            what the encoder computes in, as of `inference_encoder`. Defaults to
            its own compute dtype.
        max_batch_tokens: int. Most tokens a batch has, padding included.
        shared: bool. Whether other processes, here or on other machines that
            share the folder, write the same cache at the same time. Each then
            makes shards that no other living one makes, and returns when the
            cache is whole; the bytes are those of one process with as many
            threads, on processors of one kind. Defaults to `False`, where it
            is not so already.

    Returns:
        HiddenStateCache, opened.

    Raises:
        ArgumentError: `dtype`, `compute_dtype` or `extras` has another value,
            `compute_dtype` is `"int8"` without the native library,
            `max_batch_tokens` is below 1, or no example of the task is given.
        CacheError: the disk is too small.
        DataError: a label is none of the task's, or a hidden state is NaN or
            infinite; names the example.
        OSError: a file cannot be written; names it.
        RunError: another process writes there, or the folder holds another
            cache.
    """
    task = tasks.spec_of(task)
    identity = cache_identity(
        encoder,
        task,
        examples,
        max_tokens=max_tokens,
        layers=layers,
        dtype=dtype,
        extras=extras,
        compute_dtype=compute_dtype,
        max_batch_tokens=max_batch_tokens,
    )
    directory = pathlib.Path(directory)
    texts, pairs = None, None
    if task.is_apart:
        assert isinstance(examples, Examples)
        texts = TextPairs.of(examples)
        ids = [name.encode("utf-8") for name in examples.ids]
        pairs = CachePairs(texts.first, texts.second, examples.labels, ids)
        identity |= pairs.identity()
    shard_bytes = _SHARD_BYTES

    def work(directory, manifest, write):
        """Tokenizes, and lets `write` do the rest."""
        with_offsets = "offsets" in identity["extras"]
        if texts is None:
            tokens = tokenize_examples(
                examples, encoder, max_tokens, with_offsets
            )
        else:
            tokens = texts.tokenized(
                encoder.tokenizer, max_tokens, with_offsets
            )
        if pairs is not None:
            # The same bytes, whoever writes them.
            pairs.write(directory)
        manifest = manifest or empty_manifest(
            encoder, task, identity, len(tokens)
        )
        write(
            lambda: cache_forward(encoder, manifest),
            tokens,
            directory,
            manifest,
            max_batch_tokens,
            shard_bytes,
        )

    with fileio.directory_lock(directory, _JOIN_SECONDS if shared else 0):
        fileio.remove_leftovers(directory)
        manifest = None
        if (directory / MANIFEST_FILE).exists():
            manifest = Manifest.read(directory)
            fileio.require_same(directory, manifest.identity, identity)
        is_complete = manifest is not None and manifest.complete
        # What several began, only several can finish: others may be at it.
        shared = shared or is_shared(directory)
        if is_complete:
            remove_workers(directory)
        elif shared:
            shard_bytes = join_writing(
                directory,
                {
                    "identity": identity,
                    "max_batch_tokens": max_batch_tokens,
                    "threads": num_threads(),
                    "computed_by": computed_by(
                        encoder.backbone, identity["compute_dtype"]
                    ),
                    "writer": bvkeras.__version__,
                    "shard_bytes": shard_bytes,
                },
            )
        else:
            work(directory, manifest, _extract)
    if shared and not is_complete:
        work(directory, manifest, _extract_together)
    return HiddenStateCache(directory)


def cache_identity(
    encoder: Encoder,
    task: TaskSpec,
    examples: Examples | SpanExamples | TokenExamples,
    *,
    max_tokens: int,
    layers: Sequence[int] | None,
    dtype: str,
    extras: Sequence[str],
    compute_dtype: str | None,
    max_batch_tokens: int,
) -> dict[str, Any]:
    """The identity of a cache that is to be made; refuses what cannot be.

    Args:
        encoder: Encoder. As of `write_cache`, and so are the others.
        task: TaskSpec.
        examples: Examples, SpanExamples or TokenExamples.
        max_tokens: int.
        layers: sequence of ints, or None.
        dtype: str.
        extras: sequence of str.
        compute_dtype: str, or None.
        max_batch_tokens: int.

    Raises:
        ArgumentError: as `write_cache`.
        DataError: a label is none of the task's.
    """
    check_examples(task, examples)
    compute_dtype = compute_dtype or encoder.backbone.compute_dtype
    _check_choice("dtype", dtype, tuple(DTYPES))
    check_compute_dtype(compute_dtype, encoder.backbone)
    extras = _kept_extras(extras, examples)
    if max_batch_tokens < 1:
        raise ArgumentError(
            f"max_batch_tokens: expected at least 1, got {max_batch_tokens}"
        )
    encoder.check_max_tokens(max_tokens)
    layer_indices = encoder.layer_indices(layers)
    if len(set(layer_indices)) < len(layer_indices):
        raise ArgumentError(
            f"layers: expected each once, got {list(layers or ())}"
        )
    return {
        "task": task.name,
        "split": examples.split,
        "data": examples.digest,
        **encoder.identity(),
        "compute_dtype": compute_dtype,
        "max_tokens": max_tokens,
        "layers": layer_indices,
        "dtype": dtype,
        "extras": extras,
        "converted_from": [],
        **examples.window_identity,
        **kind_identity(task),
    }


def empty_manifest(
    encoder: Encoder, task: TaskSpec, identity: dict[str, Any], examples: int
) -> Manifest:
    """The manifest of a cache without shards yet.

    Args:
        encoder: Encoder.
        task: TaskSpec.
        identity: dict. What `cache_identity` gave.
        examples: int. Rows of tokens.
    """
    return Manifest(
        identity=identity,
        examples=examples,
        num_layers=len(identity["layers"]),
        hidden_dim=encoder.hidden_dim,
        regression=task.is_regression,
        shards=(),
        complete=False,
        seconds=0.0,
        writer=bvkeras.__version__,
    )


def plan_cache(
    encoder: Encoder,
    examples: Examples | SpanExamples | TokenExamples,
    *,
    max_tokens: int = 128,
    layers: Sequence[int] | None = None,
    extras: Sequence[str] = (),
    apart: bool = False,
) -> ExtractionPlan:
    """What `write_cache` would write, without running the encoder.

    Args:
        encoder: Encoder.
        examples: Examples or SpanExamples. The split.
        max_tokens: int. As for `write_cache`.
        layers: sequence of ints. As for `write_cache`.
        extras: sequence of str. As for `write_cache`.
        apart: bool. Whether the texts of a pair are encoded each by itself.
            Defaults to `False`.

    Raises:
        ArgumentError: as `write_cache`.
    """
    if apart:
        assert isinstance(examples, Examples)
        encoder.check_max_tokens(max_tokens)
        tokens = TextPairs.of(examples).tokenized(
            encoder.tokenizer, max_tokens, offsets=False
        )
    else:
        tokens = tokenize_examples(examples, encoder, max_tokens)
    return ExtractionPlan.of(
        tokens.lengths,
        tokens.ids,
        len(encoder.layer_indices(layers)),
        encoder.hidden_dim,
        _kept_extras(extras, examples),
    )


def _kept_extras(
    extras: Sequence[str], examples: Examples | SpanExamples | TokenExamples
) -> list[str]:
    """What a cache keeps, in order; windows are of no use without offsets."""
    for extra in extras:
        _check_choice("extras", extra, EXTRAS)
    kept = {*extras, "offsets"} if examples.has_windows else {*extras}
    return [name for name in EXTRAS if name in kept]


def _extract(
    make_forward: Callable[[], Forward],
    tokens: TokenizedExamples,
    directory: pathlib.Path,
    manifest: Manifest,
    max_batch_tokens: int,
    shard_bytes: int,
) -> None:
    """Writes the shards that are missing, one after the other."""
    bounds = shard_bounds(tokens.lengths * manifest.token_bytes, shard_bytes)
    done = len(manifest.shards)
    numbers = range(done, len(bounds) - 1)
    _check_space(directory, tokens, manifest, bounds, numbers)
    maker = ShardMaker(
        tokens, bounds, manifest, max_batch_tokens, make_forward()
    )
    earlier, began = manifest.seconds, time.monotonic()
    label = f"extract {manifest.identity['split']}"
    with progress_bar(label, len(tokens), "examples", done=bounds[done]) as bar:
        made = maker.shards(numbers, bar.advance)
        with contextlib.closing(made):
            for number, records, num_tokens in made:
                shard = write_shard(directory, number, records, num_tokens)
                seconds = earlier + time.monotonic() - began
                manifest = with_shard(
                    directory, manifest, shard, bounds, seconds
                )


def _extract_together(
    make_forward: Callable[[], Forward],
    tokens: TokenizedExamples,
    directory: pathlib.Path,
    manifest: Manifest,
    max_batch_tokens: int,
    shard_bytes: int,
) -> None:
    """Writes the shards that no other process writes."""
    bounds = shard_bounds(tokens.lengths * manifest.token_bytes, shard_bytes)
    manifest = begin_manifest(directory, manifest)
    if manifest.complete:
        return
    writing = SharedWriting(directory, manifest, bounds)
    _check_space(directory, tokens, manifest, bounds, writing.unfinished())
    maker = ShardMaker(
        tokens, bounds, manifest, max_batch_tokens, make_forward()
    )
    writing.run(maker, f"extract {manifest.identity['split']}")


def _check_space(
    directory: pathlib.Path,
    tokens: TokenizedExamples,
    manifest: Manifest,
    bounds: Sequence[int],
    numbers: Iterable[int],
) -> None:
    """Refuses to begin shards that the disk cannot hold."""
    plan = ExtractionPlan.of(
        tokens.lengths,
        tokens.ids,
        manifest.num_layers,
        manifest.hidden_dim,
        manifest.extras,
    )
    sizes = np.add.reduceat(plan.example_bytes[manifest.dtype], bounds[:-1])
    check_space(directory, int(sum(sizes[number] for number in numbers)))


def _check_choice(name: str, value: str, expected: Sequence[str]) -> None:
    if value not in expected:
        raise ArgumentError(
            f"{name}: expected one of {', '.join(expected)}, got {value!r}"
        )
