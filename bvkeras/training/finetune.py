"""Fine-tuning an encoder for fractions and multiples of an epoch."""

import contextlib
import dataclasses
import functools
import math
import os
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf

from bvkeras import fileio, tasks
from bvkeras.cache.format import WINDOWS_SCHEMA
from bvkeras.data.example_checks import check_examples
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_batches import (
    bucketed_batches,
    token_budget_batches,
    tokenize_examples,
)
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, DataError, DivergedError
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.ops.span_logits import MASKED_LOGIT
from bvkeras.printable import one_line
from bvkeras.progress import progress_bar
from bvkeras.schema import (
    COUNT,
    OBJECT,
    POSITIVE,
    SECONDS,
    TEXT,
    record_of,
)
from bvkeras.tasks.description import task_from_record, task_to_record
from bvkeras.tasks.finetune_config import FinetuneConfig
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.window_plan import WindowPlan
from bvkeras.training.closed_form import fit_features
from bvkeras.training.freezing import (
    check_freeze_layers,
    freeze,
    untrained_parameters,
)
from bvkeras.training.head import HISTORY_SCHEMA
from bvkeras.training.inference import inference_function
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw
from bvkeras.training.parted_step import PartedStep
from bvkeras.training.replicas import Replicas, lost_worker
from bvkeras.training.sample_weights import weights_digest
from bvkeras.training.state import (
    load_state,
    read_progress,
    save_state,
    seed_dropout,
    state_variables,
)
from bvkeras.training.target_scale import (
    AS_THEY_ARE,
    TargetScale,
    target_settings,
)

_HEAD_FILE = "head.safetensors"
_STATE_FILE = "state.safetensors"
_SNAPSHOT_FILE = "snapshot.json"
_STATE_SCHEMA = record_of(
    frozen_parameters=COUNT,
    step=COUNT,
    seconds=SECONDS,
    history=HISTORY_SCHEMA,
    settings=OBJECT,
)
_SCHEMA = {
    "allOf": [
        _STATE_SCHEMA,
        record_of(
            epochs=SECONDS,
            parameters=COUNT,
            task=OBJECT,
            settings=record_of(
                {"windows": WINDOWS_SCHEMA}, task=TEXT, max_tokens=POSITIVE
            ),
        ),
    ]
}
_HISTORY_RECORDS = 200
# Rows a model of pairs apart starts from: more tell hardly more.
_START_ROWS = 1000
_INPUT_SIGNATURE = {
    name: tf.TensorSpec((None, None), tf.int32)
    for name in ("token_ids", "segment_ids", "padding_mask")
}


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """An encoder as it was at one stop point, with its task's head.

    Attributes:
        directory: path. `encoder/` in it opens with `load_backbone`.
        task: TaskSpec. What it was fine-tuned for.
        epochs: float. Epochs trained when it was taken.
        max_tokens: int. Longer examples were cut.
        windows: WindowPlan, or None. How contexts were cut; of a span task.
        seconds: float. Training time up to there.
        parameters: int. Parameters of the task's head.
        history: list of `{"step", "loss"}`, one for every few steps; of
            regression the loss of standardised scores.
        frozen_parameters: int. Parameters of the encoder that were not
            trained: those frozen, and BERT's pooler where the task has no use
            for it (spans, the mean as sentence pooling).
    """

    directory: pathlib.Path
    task: TaskSpec
    epochs: float
    max_tokens: int
    windows: WindowPlan | None
    seconds: float
    parameters: int
    history: list[dict[str, float]]
    frozen_parameters: int

    @property
    def encoder_directory(self) -> pathlib.Path:
        """Where the encoder lies, in keras-hub's layout."""
        return self.directory / "encoder"

    def digest(self) -> str:
        """SHA-256 of the settings it comes from, with the stop point."""
        record = fileio.read_json(self.directory / _SNAPSHOT_FILE, _SCHEMA)
        return fileio.value_digest([record["settings"], record["step"]])

    @classmethod
    def open(cls, directory: str | os.PathLike) -> "Snapshot":
        """Opens a finished snapshot.

        Raises:
            DataError: `directory` is not one, or it is damaged.
        """
        directory = pathlib.Path(directory)
        path = directory / _SNAPSHOT_FILE
        if not path.exists():
            raise DataError(
                f"{directory} is not a fine-tuning snapshot: it has no "
                f"{_SNAPSHOT_FILE}"
            )
        record = fileio.read_json(path, _SCHEMA)
        windows = record["settings"].get("windows")
        return cls(
            directory,
            task_from_record(record["task"], path),
            record["epochs"],
            record["settings"]["max_tokens"],
            windows and WindowPlan(**windows),
            record["seconds"],
            record["parameters"],
            record["history"],
            record["frozen_parameters"],
        )

    def load_model(self) -> tuple[Encoder, keras.Model]:
        """The fine-tuned encoder and the model that predicts with it."""
        encoder = load_backbone(self.encoder_directory, dropout=0.0)
        model = finetuning_model(
            encoder.backbone,
            self.task.num_labels,
            per_token=self.task.traits.per_token,
            answers_only=self.task.traits.has_windows,
            sentence_pooling=encoder.sentence_pooling,
            apart=self.task.is_apart,
        )
        _load_head(self.directory, model)
        return encoder, model


def snapshot_directory(
    directory: str | os.PathLike, epochs: float
) -> pathlib.Path:
    """Where `finetune` puts the snapshot of a stop point."""
    return pathlib.Path(directory) / f"epoch_{epochs:g}"


def finetune(
    encoder: Encoder,
    task: str | TaskSpec,
    examples: Examples | SpanExamples | TokenExamples,
    directory: str | os.PathLike,
    config: FinetuneConfig | None = None,
    *,
    start: Snapshot | None = None,
    save_every_seconds: float = 60.0,
    weights: np.ndarray | None = None,
    accumulate: int = 1,
    strategy: tf.distribute.Strategy | None = None,
    **settings: Any,
) -> list[Snapshot]:
    """Trains encoder and head, and keeps a snapshot at every stop point.

    One run: the learning rate warms up over a part of all steps up to the last
    stop point and decays to zero there, so a snapshot at an earlier point is
    one of a run still under way. Interrupted, the same call goes on from the
    last saved state, at most `save_every_seconds` back, and comes to the same
    weights.

    Scores of a regression are standardised by the training rows' mean and
    deviation; a snapshot's head gives them in their own units.

    Args:
        encoder: Encoder. Its backbone is trained in place, with the dropout
            it was loaded with; its `sentence_pooling` is what stands for a
            text (not of spans).
        task: TaskSpec, or its name. Gives the loss and the number of outputs.
        examples: Examples or SpanExamples. The training split.
        directory: str or path. Gets `epoch_<stop>/` for each stop point, and
            the state of the run while it is under way.
        config: FinetuneConfig, or None: what `settings` say. What it freezes
            stays frozen in `encoder`; the head never is, nor BERT's pooler
            wherever it is used: not for spans, nor with the mean as sentence
            pooling.
        start: Snapshot. Its head is the starting point, for training an
            encoder on that was opened from it. Defaults to a new head.
        save_every_seconds: float. How often the state is saved.
        weights: float array `(examples,)`, or None. What an error on each
            example counts; not of spans. Defaults to `None`: 1 each.
        accumulate: int. In how many turns a batch is computed: more need less
            memory and come to the same step, but for rounding and dropout.
            Defaults to `1`.
        strategy: tf.distribute strategy, or None. `MirroredStrategy`, or
            `MultiWorkerMirroredStrategy`, made before anything else of
            TensorFlow is used; all processes make this call, with a
            `directory` that they share. A batch of `batch_size` examples is
            dealt to all devices; rate, steps and snapshots are those of one,
            and a run goes on with any number of them. The encoder is loaded
            outside of the strategy's scope. Defaults to `None`: one device.
        **settings: fields of FinetuneConfig that replace those of `config`:
            `learning_rate=2e-5`, `epochs=(0.5, 1)`.

    Returns:
        list of Snapshot, in the order of the stop points.

    Raises:
        ArgumentError: a setting is out of its range, no example of the task
            is given, or `freeze_layers` is not a number of layers that the
            encoder has.
        DataError: a label is none of the task's; names the example.
        DivergedError: the loss became infinite. The snapshots of earlier stop
            points go with the run: `directory` is free for another rate.
        RunError: `directory` holds a run with other settings, encoder,
            sentence pooling or data, another process is using it, or one of
            several hosts is gone.
    """
    task = tasks.spec_of(task)
    check_examples(task, examples)
    if accumulate < 1:
        raise ArgumentError(
            f"accumulate: expected at least 1, got {accumulate}"
        )
    directory = pathlib.Path(directory)
    replicas = Replicas(strategy)
    config = (
        dataclasses.replace(config, **settings)
        if config
        else FinetuneConfig(**settings)
    )
    encoder.check_max_tokens(config.max_tokens)
    check_freeze_layers(encoder.backbone, config.freeze_layers)
    record = {
        "task": task.name,
        "label_names": task.label_names and list(task.label_names),
        "encoder": encoder.digest(),
        "data": examples.digest,
        "start": start and start.digest(),
        **dataclasses.asdict(config),
        "epochs": list(config.epochs),
        **examples.window_identity,
        "encoder_dropout": encoder.backbone.dropout,
        "weights": weights_digest(weights, len(examples)),
        # Outputs of tokens need nothing that stands for a whole text.
        "sentence_pooling": (
            None if task.traits.per_token else encoder.sentence_pooling
        ),
        **target_settings(task),
    }
    paths = [snapshot_directory(directory, stop) for stop in config.epochs]
    # One process writes; the others read what it wrote.
    held = fileio.directory_lock(directory) if replicas.is_chief else None
    with held or contextlib.nullcontext():
        if replicas.is_chief:
            fileio.remove_leftovers(directory)
        for path in directory.glob(f"epoch_*/{_SNAPSHOT_FILE}"):
            found = fileio.read_json(path, _SCHEMA)["settings"]
            fileio.require_same(path.parent, found, record)
        if not all((path / _SNAPSHOT_FILE).exists() for path in paths):
            try:
                _train(
                    encoder,
                    task,
                    examples,
                    directory,
                    config,
                    record,
                    start,
                    save_every_seconds,
                    weights,
                    accumulate,
                    replicas,
                )
                replicas.wait_for_all()
            except DivergedError:
                # A run that can never end: what it left would only refuse
                # the one with a lower rate.
                if replicas.is_chief:
                    for path in paths:
                        shutil.rmtree(path, ignore_errors=True)
                    (directory / _STATE_FILE).unlink(missing_ok=True)
                raise
            except tf.errors.OpError as error:
                if replicas.several_hosts:
                    raise lost_worker(error) from None
                raise
        if replicas.is_chief:
            (directory / _STATE_FILE).unlink(missing_ok=True)
    return [Snapshot.open(path) for path in paths]


def predict_scores(
    model: keras.Model,
    tokens: TokenizedExamples,
    max_batch_tokens: int = 4096,
    backbone: keras.Model | None = None,
) -> np.ndarray:
    """The model's outputs for every example, in the examples' order.

    Args:
        model: what `Snapshot.load_model` returned.
        tokens: TokenizedExamples.
        max_batch_tokens: int. Most tokens a batch has, padding included.
        backbone: keras.Model. The encoder in the model, to be computed as
            `bvkeras.encoders.inference.inference_encoder` does. Defaults to
            the model's own layers.

    Returns:
        float32 array `(examples, outputs)`; of a model with outputs for every
        token `(examples, tokens, outputs)`, where `tokens` is the longest
        example, and shorter ones have `MASKED_LOGIT` after their end.
    """
    compute: Callable = functools.partial(model, training=False)
    if backbone is not None:
        compute = inference_function(model, backbone)
    forward = tf.function(
        lambda inputs: compute(inputs),
        input_signature=[_INPUT_SIGNATURE],
        autograph=False,
    ).get_concrete_function()
    per_token = len(model.output_shape) == 3
    shape = (int(tokens.lengths.max()),) if per_token else ()
    scores = np.full(
        (len(tokens), *shape, model.output_shape[-1]), MASKED_LOGIT, np.float32
    )
    with progress_bar("predict", len(tokens), "examples") as bar:
        for indices in token_budget_batches(tokens.lengths, max_batch_tokens):
            batch = tokens.batch(indices)
            outputs = forward(tf.nest.map_structure(tf.constant, batch)).numpy()
            if per_token:
                scores[indices, : outputs.shape[1]] = outputs
            else:
                scores[indices] = outputs
            bar.advance(len(indices))
    return scores


def _train(
    encoder: Encoder,
    task: TaskSpec,
    examples: Examples | SpanExamples | TokenExamples,
    directory: pathlib.Path,
    config: FinetuneConfig,
    settings: dict[str, Any],
    start: Snapshot | None,
    save_every_seconds: float,
    weights: np.ndarray | None,
    accumulate: int,
    replicas: Replicas,
) -> None:
    learning_rate, seed = config.learning_rate, config.seed
    batch_size, stops = config.batch_size, config.epochs
    state_path = directory / _STATE_FILE
    # Also frees what was frozen before: `HiddenStates` does so to the pooler.
    freeze(encoder.backbone, **config.freezing)
    encoder.start_pooler(seed)
    tokens = tokenize_examples(
        examples, encoder, config.max_tokens, apart=task.is_apart
    )
    model = finetuning_model(
        encoder.backbone,
        task.num_labels,
        dropout=config.dropout,
        seed=seed,
        per_token=task.traits.per_token,
        answers_only=task.traits.has_windows,
        sentence_pooling=encoder.sentence_pooling,
        apart=task.is_apart,
    )
    frozen_parameters = untrained_parameters(encoder.backbone, model)
    seed_dropout(model, seed, replicas.worker)
    scale = TargetScale.of(task, tokens.labels)
    if task.is_apart and start is None and not state_path.exists():
        start_pairs(model, task, tokens, seed, scale)
    labels = scale.standardized(tokens.labels)
    if start is not None:
        _load_head(start.directory, model, scale)
    steps_per_epoch = math.ceil(len(tokens) / batch_size)
    stop_steps = [max(1, round(stop * steps_per_epoch)) for stop in stops]
    optimizer = adamw(
        learning_rate,
        stop_steps[-1],
        warmup_fraction=config.warmup_fraction,
    )
    optimizer.build(model.trainable_variables)
    variables = [*state_variables(model), *optimizer.variables]
    train_step: Callable
    if accumulate == replicas.count == 1:
        train_step = _on_rows(
            _train_step(model, optimizer, task, weights is not None)
        )
    else:
        train_step = PartedStep(
            model, optimizer, kind_of(task.kind), replicas, accumulate
        )

    step, earlier_seconds, history = 0, 0.0, []
    if state_path.exists():
        saved = read_progress(state_path, _STATE_SCHEMA)
        fileio.require_same(directory, saved["settings"], settings)
        load_state(state_path, variables)
        seed_dropout(model, seed, replicas.worker, go_on=True)
        step, history = saved["step"], saved["history"]
        earlier_seconds = saved["seconds"]

    began = saved_at = time.monotonic()
    last_step = stop_steps[-1]
    steps_a_record = max(1, last_step // _HISTORY_RECORDS)
    losses: list[tf.Tensor] = []
    with progress_bar("fine-tune", last_step, "steps", done=step) as bar:
        while step < last_step:
            epoch, first = divmod(step, steps_per_epoch)
            batches = bucketed_batches(tokens.lengths, batch_size, seed, epoch)
            for indices in batches[first : first + last_step - step]:
                losses.append(train_step(tokens, labels, weights, indices))
                step += 1
                note = ""
                if step % steps_a_record == 0 or step in stop_steps:
                    loss = float(np.mean([loss.numpy() for loss in losses]))
                    _check_finite(loss, step, learning_rate)
                    history.append({"step": step, "loss": loss})
                    losses = []
                    note = f"loss {loss:.3f}"
                bar.advance(note=note)
                now = time.monotonic()
                if not replicas.is_chief:
                    continue
                due = now - saved_at > save_every_seconds
                if not due and step not in stop_steps:
                    continue
                record = {
                    "step": step,
                    "seconds": earlier_seconds + now - began,
                    "history": history,
                    "frozen_parameters": frozen_parameters,
                    "settings": settings,
                    "task": task_to_record(task),
                    **scale.as_record(),
                }
                for stop, stop_step in zip(stops, stop_steps, strict=True):
                    if stop_step == step:
                        path = snapshot_directory(directory, stop)
                        _save_snapshot(
                            path, encoder, model, scale, stop, record
                        )
                if step < last_step:
                    save_state(state_path, variables, record)
                saved_at = time.monotonic()


def start_pairs(
    model: keras.Model,
    task: TaskSpec,
    tokens: TokenizedExamples,
    seed: int,
    scale: TargetScale,
) -> None:
    """Starts the dense layer of a model for pairs apart at a regression.

    A random layer would first turn an encoder that can compare texts into one
    that cannot. The regression is on what the layer sees of at most 1,000 of
    the training rows, and costs a pass of the encoder over them.

    Args:
        model: what `finetuning_model` gave for pairs apart; changed in place.
        task: TaskSpec.
        tokens: TokenizedExamples of the training rows.
        seed: int. Of the rows, and of the folds that choose the penalty.
        scale: TargetScale. What the labels are standardised by.

    Reference:
        Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and
        Underperform Out-of-Distribution".
    """
    rows = np.random.default_rng(seed).permutation(len(tokens))[:_START_ROWS]
    part = tokens.take(np.sort(rows).tolist())
    seen = keras.Model(model.input, model.get_layer("compare_pairs").output)
    features = predict_scores(seen, part)[:, np.newaxis]
    found = fit_features(task, features, part.labels, seed)
    kernel, bias = found.kernel, found.bias
    if task.num_labels == 2 and not task.several_labels:
        # The second class's logit, and 0 for the first's.
        kernel = np.hstack([0 * kernel, kernel])
        bias = np.array([0.0, *bias])
    if not scale.is_none:
        kernel, bias = scale.unfolded(kernel, bias)
    model.get_layer("logits").set_weights([kernel, bias])


def _train_step(model, optimizer, task, weighted=False):
    kind = kind_of(task.kind)
    loss_function = kind.loss()
    signature = [_INPUT_SIGNATURE, kind.label_signature(task)]
    if weighted:
        signature.append(tf.TensorSpec((None,), tf.float32))

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs, labels, weights=None):
        sources = [v.value for v in model.trainable_variables]
        # A tape that watches frozen weights, too, would go back to them.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            outputs = kind.loss_outputs(model(inputs, training=True))
            loss = loss_function(labels, outputs, sample_weight=weights)
        gradients = tape.gradient(loss, sources)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return step


def _on_rows(step: Callable) -> Callable:
    """A step that takes the rows of its batch, as `PartedStep` does."""

    def on_rows(tokens, labels, weights, rows):
        batch = [tokens.batch(rows), labels[rows]]
        if weights is not None:
            batch.append(weights[rows])
        return step(*batch)

    return on_rows


def _check_finite(loss: float, step: int, learning_rate: float) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"learning_rate: the loss is {loss} at step {step}; try a rate "
            f"below {learning_rate:g}"
        )


def _save_snapshot(
    path: pathlib.Path,
    encoder: Encoder,
    model: keras.Model,
    scale: TargetScale,
    epochs: float,
    record: dict[str, Any],
) -> None:
    head = model.get_layer("logits")
    kernel, bias = scale.folded(*head.get_weights())
    with fileio.atomic_directory(path) as temporary:
        encoder.save(temporary / "encoder")
        safetensors.numpy.save_file(
            {"kernel": kernel, "bias": bias},
            temporary / _HEAD_FILE,
        )
        fileio.write_json(
            temporary / _SNAPSHOT_FILE,
            {**record, "epochs": epochs, "parameters": head.count_params()},
        )


def _load_head(
    directory: pathlib.Path,
    model: keras.Model,
    scale: TargetScale = AS_THEY_ARE,
) -> None:
    """Gives a model the head of a snapshot, to be trained on in a scale."""
    path = directory / _HEAD_FILE
    try:
        weights = safetensors.numpy.load_file(path)
        model.get_layer("logits").set_weights(
            scale.unfolded(weights["kernel"], weights["bias"])
        )
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged: {one_line(error)}") from None
