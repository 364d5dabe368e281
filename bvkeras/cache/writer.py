"""Writing every hidden state of a split to disk, once."""

import contextlib
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import bvkeras
from bvkeras import fileio, tasks
from bvkeras.cache.ahead import computed_ahead
from bvkeras.cache.format import (
    DTYPES,
    EXTRAS,
    MANIFEST_FILE,
    Manifest,
    encode_record,
)
from bvkeras.cache.plan import ExtractionPlan
from bvkeras.cache.quantization import quantize
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.shard_file import write_shard
from bvkeras.cache.shards import (
    SHARD_BYTES,
    check_space,
    kind_identity,
    shard_bounds,
    with_shard,
)
from bvkeras.data.example_checks import check_examples
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_batches import (
    token_budget_batches,
    tokenize_examples,
)
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.fast_encoder import COMPUTE_DTYPES
from bvkeras.encoders.inference import inference_encoder
from bvkeras.errors import ArgumentError, DataError
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec

# Tests make it smaller.
_SHARD_BYTES = SHARD_BYTES

# From a padded batch: values `(batch, tokens, layers, features)`, int8's
# scales `(batch, tokens, layers)` or None, and `(batch, tokens)`, whether all
# values of a token are finite.
_Outputs = tuple[np.ndarray, np.ndarray | None, np.ndarray]
_Forward = Callable[[dict[str, np.ndarray]], _Outputs]


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
) -> HiddenStateCache:
    """Runs the encoder over a split and keeps all hidden states of its tokens.

    Padding is never written, and the order of the examples does not depend
    on how they were batched. Interrupted, the same call goes on after the
    last finished shard; finished, it opens what is there.

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
        compute_dtype: str. `"float32"`, `"bfloat16"` or `"float16"`: what the
            encoder computes in. Defaults to its own compute dtype.
        max_batch_tokens: int. Most tokens a batch has, padding included.

    Returns:
        HiddenStateCache, opened.

    Raises:
        ArgumentError: `dtype`, `compute_dtype` or `extras` has another value,
            `max_batch_tokens` is below 1, or no example of the task is given.
        CacheError: the disk is too small.
        DataError: a label is none of the task's, or a hidden state is NaN or
            infinite; names the example.
        OSError: a file cannot be written; names it.
        RunError: another process writes there, or the folder holds another
            cache.
    """
    task = tasks.spec_of(task)
    check_examples(task, examples)
    compute_dtype = compute_dtype or encoder.backbone.compute_dtype
    _check_choice("dtype", dtype, tuple(DTYPES))
    _check_choice("compute_dtype", compute_dtype, COMPUTE_DTYPES)
    extras = _kept_extras(extras, examples)
    if max_batch_tokens < 1:
        raise ArgumentError(
            f"max_batch_tokens: expected at least 1, got {max_batch_tokens}"
        )
    encoder.check_max_tokens(max_tokens)
    directory = pathlib.Path(directory)
    layer_indices = encoder.layer_indices(layers)
    if len(set(layer_indices)) < len(layer_indices):
        raise ArgumentError(
            f"layers: expected each once, got {list(layers or ())}"
        )
    identity = {
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
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        manifest = None
        if (directory / MANIFEST_FILE).exists():
            manifest = Manifest.read(directory)
            fileio.require_same(directory, manifest.identity, identity)
        if manifest is None or not manifest.complete:
            tokens = tokenize_examples(
                examples, encoder, max_tokens, "offsets" in extras
            )
            manifest = manifest or Manifest(
                identity=identity,
                examples=len(tokens),
                num_layers=len(layer_indices),
                hidden_dim=encoder.hidden_dim,
                regression=task.is_regression,
                shards=(),
                complete=False,
                seconds=0.0,
                writer=bvkeras.__version__,
            )
            _extract(
                lambda: _forward(encoder, manifest),
                tokens,
                directory,
                manifest,
                max_batch_tokens,
            )
    return HiddenStateCache(directory)


def plan_cache(
    encoder: Encoder,
    examples: Examples | SpanExamples | TokenExamples,
    *,
    max_tokens: int = 128,
    layers: Sequence[int] | None = None,
    extras: Sequence[str] = (),
) -> ExtractionPlan:
    """What `write_cache` would write, without running the encoder.

    Args:
        encoder: Encoder.
        examples: Examples or SpanExamples. The split.
        max_tokens: int. As for `write_cache`.
        layers: sequence of ints. As for `write_cache`.
        extras: sequence of str. As for `write_cache`.

    Raises:
        ArgumentError: as `write_cache`.
    """
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
    make_forward: Callable[[], _Forward],
    tokens: TokenizedExamples,
    directory: pathlib.Path,
    manifest: Manifest,
    max_batch_tokens: int,
) -> None:
    plan = ExtractionPlan.of(
        tokens.lengths,
        tokens.ids,
        manifest.num_layers,
        manifest.hidden_dim,
        manifest.extras,
    )
    bounds = shard_bounds(tokens.lengths * manifest.token_bytes, _SHARD_BYTES)
    done = len(manifest.shards)
    check_space(
        directory,
        int(plan.example_bytes[manifest.dtype][bounds[done] :].sum()),
    )
    forward = make_forward()
    earlier, began = manifest.seconds, time.monotonic()
    label = f"extract {manifest.identity['split']}"
    with (
        contextlib.closing(
            computed_ahead(
                lambda rows: forward(tokens.batch(rows)),
                _batches(tokens.lengths, bounds[done:], max_batch_tokens),
            )
        ) as computed,
        progress_bar(label, len(tokens), "examples", done=bounds[done]) as bar,
    ):
        for number in range(done, len(bounds) - 1):
            rows = range(bounds[number], bounds[number + 1])
            records: dict[int, bytes] = {}
            while len(records) < len(rows):
                batch, outputs = next(computed)
                records |= _records(batch, outputs, tokens, manifest)
                bar.advance(len(batch))
            shard = write_shard(
                directory,
                number,
                [records[row] for row in rows],
                int(tokens.lengths[rows.start : rows.stop].sum()),
            )
            seconds = earlier + time.monotonic() - began
            manifest = with_shard(directory, manifest, shard, bounds, seconds)


def _forward(encoder: Encoder, manifest: Manifest) -> _Forward:
    hidden_states = inference_encoder(
        encoder.backbone,
        manifest.identity["layers"],
        manifest.identity["compute_dtype"],
    )
    spec = tf.TensorSpec((None, None), tf.int32)
    dtype = manifest.dtype

    @tf.function(
        input_signature=[
            {"token_ids": spec, "segment_ids": spec, "padding_mask": spec}
        ],
        autograph=False,
    )
    def compute(inputs):
        states = hidden_states(inputs)
        scales = None
        # Rounded before they are stacked: fewer bytes to copy.
        if dtype == "int8":
            states, scales = zip(*map(quantize, states), strict=True)
            scales = tf.stack(scales, axis=2)
            finite = tf.reduce_all(tf.math.is_finite(scales), axis=2)
            return tf.stack(states, axis=2), scales, finite
        states = [tf.cast(state, dtype) for state in states]
        finite = tf.reduce_all(
            [
                tf.reduce_all(
                    tf.math.is_finite(tf.cast(state, tf.float32)), axis=2
                )
                for state in states
            ],
            axis=0,
        )
        return tf.stack(states, axis=2), scales, finite

    # Traced here, not by two threads at once.
    compute = compute.get_concrete_function()

    def forward(inputs):
        values, scales, finite = compute(
            {name: tf.constant(ids) for name, ids in inputs.items()}
        )
        scales = None if scales is None else scales.numpy()
        return values.numpy(), scales, finite.numpy()

    return forward


def _batches(
    lengths: np.ndarray, bounds: Sequence[int], max_batch_tokens: int
) -> Iterator[np.ndarray]:
    """The rows of each batch, shard by shard."""
    for first, last in itertools.pairwise(bounds):
        for batch in token_budget_batches(
            lengths[first:last], max_batch_tokens
        ):
            yield first + batch


def _records(
    rows: np.ndarray,
    outputs: _Outputs,
    tokens: TokenizedExamples,
    manifest: Manifest,
) -> dict[int, bytes]:
    """The records of one batch, by row."""
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
            row,
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


def _check_choice(name: str, value: str, expected: Sequence[str]) -> None:
    if value not in expected:
        raise ArgumentError(
            f"{name}: expected one of {', '.join(expected)}, got {value!r}"
        )
