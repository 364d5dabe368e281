"""Scoring a system on a split, once: predictions file and metrics."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bvkeras import fileio, tasks
from bvkeras.cache.format import (
    IMPORTED,
    NUM_LABELS,
    NUM_TAGS,
    PAIRS,
    WINDOWS,
)
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.kinds import kind_of
from bvkeras.evaluation.system_outputs import SystemOutputs
from bvkeras.ops.span_logits import MASKED_LOGIT
from bvkeras.progress import progress_bar
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.finetune import Snapshot, predict_scores
from bvkeras.training.head import TrainedHead

# In the identity of caches of some kinds of tasks.
_OF_A_KIND = (WINDOWS, NUM_LABELS, NUM_TAGS)
# Rows that are predicted at once, where texts have outputs and where tokens do.
_TEXTS, _TOKENS = 64, 16


def evaluate_head(
    task: str | TaskSpec,
    head: TrainedHead,
    cache: HiddenStateCache,
    directory: str | os.PathLike,
    examples: Examples | SpanExamples | None = None,
    threshold: float | str | None = None,
) -> Evaluation:
    """Scores a pooled head on the hidden states of a split.

    Writes `<split>.tsv`, the predictions, and `<split>.json`, the scores; of
    a span task what `bvkeras.evaluation.spans.answers.evaluate_spans` writes,
    and gives a `SpanEvaluation`. Done before, it reads them instead.

    Args:
        task: TaskSpec, or its name. Gives metrics and label names.
        head: TrainedHead.
        cache: HiddenStateCache of the split.
        directory: str or path. Where the files go.
        examples: SpanExamples. The split the cache was made from, with texts
            and answers; only a span task needs it.
        threshold: float, str or None. Of a span task: `na_prob` above it is
            no answer; `"exact"`, which is also what None means, or `"f1"`
            takes the one with the best exact match or F1 on this split.

    Raises:
        ArgumentError: the cache is another task's, or of another encoder or
            plan of windows than the head was trained on, or not of
            `examples`; there is a threshold, and the task has no spans; the
            threshold is neither a number nor a metric's name.
        CacheError: a shard of the cache is damaged.
        RunError: the files are there and were made with something else.
    """
    task = tasks.spec_of(task)
    threshold = _checked_threshold(task, threshold)
    _check_belongs(task, head, cache)
    settings: dict[str, Any] = {
        "head": fileio.file_digest(head.model_path),
        "cache": cache.manifest.identity,
    }
    if task.traits.needs_examples and (
        examples is None or examples.digest != settings["cache"]["data"]
    ):
        raise ArgumentError(
            f"examples: expected those that {cache.directory} was made from"
        )
    return kind_of(task.kind).evaluate(
        task,
        cache.manifest.identity["split"],
        examples,
        pathlib.Path(directory),
        settings,
        lambda: _predict_from_cache(
            head.load_model(), cache, task.traits.per_token
        ),
        threshold,
    )


def evaluate_snapshot(
    task: str | TaskSpec,
    snapshot: Snapshot,
    examples: Examples | SpanExamples,
    directory: str | os.PathLike,
    threshold: float | str | None = None,
) -> Evaluation:
    """Scores a fine-tuned encoder with its own head on a split.

    Writes and reads the same files as `evaluate_head`. Contexts are cut as
    they were in training, whatever plan of windows the examples have.

    Args:
        task: TaskSpec, or its name. Gives metrics and label names.
        snapshot: Snapshot. What `finetune` gave.
        examples: Examples, or SpanExamples of a span task. The split.
        directory: str or path. Where the files go.
        threshold: float, str or None. As `evaluate_head`.

    Raises:
        ArgumentError: there is a threshold, and the task has no spans; it is
            neither a number nor a metric's name.
        RunError: the files are there and were made with something else.
    """
    task = tasks.spec_of(task)
    threshold = _checked_threshold(task, threshold)
    settings = {"snapshot": snapshot.digest(), "data": examples.digest}

    def predict() -> SystemOutputs:
        encoder, model = snapshot.load_model()
        cut = examples
        if isinstance(examples, SpanExamples) and snapshot.windows:
            cut = dataclasses.replace(examples, windows=snapshot.windows)
        tokens = tokenize_examples(
            cut, encoder, snapshot.max_tokens, apart=snapshot.task.is_apart
        )
        outputs = predict_scores(model, tokens, backbone=encoder.backbone)
        return SystemOutputs(tokens.ids, tokens.labels, outputs, tokens.offsets)

    return kind_of(task.kind).evaluate(
        task,
        examples.split,
        examples,
        pathlib.Path(directory),
        settings,
        predict,
        threshold,
    )


def _predict_from_cache(
    model: keras.Model, cache: HiddenStateCache, per_token: bool
) -> SystemOutputs:
    ids: list[str] = []
    offsets: list[np.ndarray] = []
    lengths = cache.lengths() if per_token else np.empty(0, np.int64)
    outputs: np.ndarray | None = None
    at_once = _TOKENS if per_token else _TEXTS
    for batch, found in _outputs(model, cache, at_once):
        if outputs is None:
            tokens = (int(lengths.max()),) if per_token else ()
            shape = (len(cache), *tokens, found.shape[-1])
            outputs = np.full(shape, MASKED_LOGIT, np.float32)
        rows = slice(len(ids), len(ids) + len(found))
        if per_token:
            outputs[rows, : found.shape[1]] = found
            if "offsets" in batch:
                offsets += [
                    places[:length]
                    for places, length in zip(
                        batch["offsets"].numpy(), lengths[rows], strict=True
                    )
                ]
        else:
            outputs[rows] = found
        ids += [name.decode("utf-8") for name in batch["id"].numpy()]
    # A cache has at least one row.
    assert outputs is not None
    return SystemOutputs(
        ids, cache.labels(), outputs, offsets if offsets else None
    )


def _outputs(
    model: keras.Model, cache: HiddenStateCache, batch_size: int
) -> Iterator[tuple[dict[str, tf.Tensor], np.ndarray]]:
    """Batches of a cache, in its order, with the model's outputs."""
    batches = cache.batches(batch_size, dtype=cache.dtype)
    # `Model.predict_on_batch` would trace anew for every length of a batch; of
    # a function that is called TensorFlow warns where it was made often.
    forward = tf.function(
        lambda inputs: model(inputs, training=False), autograph=False
    ).get_concrete_function(_model_inputs(batches.element_spec))
    with (
        naming_damage(cache),
        progress_bar("predict", len(cache), "examples") as bar,
    ):
        for batch in batches:
            yield batch, forward(_model_inputs(batch)).numpy()
            bar.advance(len(batch["label"]))


def _model_inputs(batch: dict[str, Any]) -> tuple[Any, Any]:
    """What a head takes of a batch, or of what describes one."""
    hidden_states = batch["hidden_states"]
    if "scales" in batch:
        hidden_states = (hidden_states, batch["scales"])
    return hidden_states, batch["mask"]


def _check_belongs(
    task: TaskSpec, head: TrainedHead, cache: HiddenStateCache
) -> None:
    identity = cache.manifest.identity
    if identity["task"] != task.name:
        raise ArgumentError(
            f"cache: {cache.directory} is of task {identity['task']}, expected "
            f"{task.name}"
        )
    origins = [
        one.get(IMPORTED) or {} for one in (identity, head.cache_identity)
    ]
    for name in ("encoder", "layers"):
        found, wanted = (origin.get(name) for origin in origins)
        if found != wanted:
            raise ArgumentError(
                f"cache: {cache.directory} has hidden states "
                f"{_came_from(name, found)}, the head was trained on those "
                f"{_came_from(name, wanted)}"
            )
    # How many pairs there are is each split's own.
    found, wanted = (
        tasks.APART if PAIRS in one else tasks.JOINT
        for one in (identity, head.cache_identity)
    )
    if found != wanted:
        raise ArgumentError(
            f"cache: {cache.directory} has pairs read {found}, the head was "
            f"trained on pairs read {wanted}"
        )
    names = ("task", "encoder", "tokenizer", "layers", "max_tokens")
    for name in (*names, *_OF_A_KIND):
        found, wanted = identity.get(name), head.cache_identity.get(name)
        if found != wanted:
            raise ArgumentError(
                f"cache: {cache.directory} has {name} {found}, the head was "
                f"trained with {wanted}"
            )


def _came_from(name: str, value: Any) -> str:
    """What imported hidden states are said to be of."""
    if value is None:
        return "of an encoder of bvkeras"
    if name == "encoder":
        return f"imported from {value!r}"
    return f"of the layers {', '.join(value)}"


def _checked_threshold(
    task: TaskSpec, threshold: float | str | None
) -> float | str | None:
    if not task.traits.has_threshold:
        if threshold is not None:
            raise ArgumentError(
                f"threshold: expected a task of questions, got {task.name}"
            )
        return None
    if threshold is None:
        return task.metrics[0]
    if isinstance(threshold, str) and threshold not in task.metrics:
        raise ArgumentError(
            "threshold: expected a number or one of "
            f"{', '.join(task.metrics)}; got {threshold!r}"
        )
    return threshold
