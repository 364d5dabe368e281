"""Training a pooled head on a cache of hidden states."""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bvkeras import fileio, tasks
from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.format import IDENTITY_SCHEMA
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.errors import ArgumentError, DataError, DivergedError
from bvkeras.models.pooling_model import PoolingModel
from bvkeras.models.saved import load_head_model
from bvkeras.models.weighted_probe import WeightedProbe
from bvkeras.progress import Bar, progress_bar
from bvkeras.schema import (
    COUNT,
    NUMBER,
    OBJECT,
    SECONDS,
    TEXT,
    list_of,
    record_of,
    table_of,
)
from bvkeras.tasks.description import task_from_record, task_to_record
from bvkeras.tasks.head_config import HeadConfig
from bvkeras.tasks.kind import WEIGHTED, Kind
from bvkeras.tasks.pairs import APART, JOINT
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.closed_form import closed_form, probe_arguments
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw
from bvkeras.training.sample_weights import weights_digest
from bvkeras.training.state import (
    load_state,
    read_progress,
    save_state,
    state_variables,
)
from bvkeras.training.target_scale import (
    AS_THEY_ARE,
    TargetScale,
    target_settings,
)

# Kinds of heads.
POOLED = "pooled"
REGRESSION = "regression"

RESULT_FILE = "head.json"

_MODEL_FILE = "head.keras"
_STATE_FILE = "state.safetensors"
HISTORY_SCHEMA = list_of(record_of(step=COUNT, loss=NUMBER))
_EPOCHS_SCHEMA = table_of(list_of({"type": ["number", "null"]}))
_STATE_SCHEMA = record_of(
    epoch=COUNT,
    seconds=SECONDS,
    history=HISTORY_SCHEMA,
    epoch_history=_EPOCHS_SCHEMA,
    settings=OBJECT,
)
RESULT_SCHEMA = record_of(
    seconds=SECONDS,
    parameters=COUNT,
    history=HISTORY_SCHEMA,
    epoch_history=_EPOCHS_SCHEMA,
    settings=record_of(cache=IDENTITY_SCHEMA, head=TEXT),
    task=OBJECT,
)
_STEPS_A_RECORD = 20
_MEMORY_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class TrainedHead:
    """A head that has been trained, on disk.

    Attributes:
        directory: path. `head.keras` in it opens with
            `keras.models.load_model` once bvkeras is imported; it predicts,
            and is compiled again to be trained on.
        seconds: float. Training time.
        parameters: int. Parameters trained.
        history: list of `{"step", "loss"}`; of regression the loss of
            standardised scores.
        cache_identity: dict. The identity of the cache it was trained on.
        task: TaskSpec. What it was trained for.
        epoch_history: dict of `loss` and, where there was a validation cache,
            `val_loss`, to one number an epoch.
    """

    directory: pathlib.Path
    seconds: float
    parameters: int
    history: list[dict[str, float]]
    cache_identity: dict[str, Any]
    task: TaskSpec
    epoch_history: dict[str, list[float]]

    @property
    def model_path(self) -> pathlib.Path:
        """The saved Keras model."""
        return self.directory / _MODEL_FILE

    @classmethod
    def open(cls, directory: str | os.PathLike) -> "TrainedHead":
        """Opens a finished head.

        Raises:
            DataError: `directory` does not hold one, or it is damaged.
        """
        directory = pathlib.Path(directory)
        path = directory / RESULT_FILE
        if not path.exists():
            raise DataError(
                f"{directory} is not a trained head: it has no {RESULT_FILE}"
            )
        record = fileio.read_json(path, RESULT_SCHEMA)
        return cls(
            directory,
            record["seconds"],
            record["parameters"],
            record["history"],
            record["settings"]["cache"],
            task_from_record(record["task"], path),
            record["epoch_history"],
        )

    def load_model(self) -> keras.Model:
        """The head as a Keras model.

        Raises:
            DataError: the file is damaged, or no pooled head.
        """
        return load_head_model(self.model_path)


def build_head(
    task: TaskSpec,
    cache: HiddenStateBatches,
    config: HeadConfig | None = None,
    **settings: Any,
) -> PoolingModel | WeightedProbe:
    """The pooled head for a task, of the size a cache asks for.

    Its bias starts at the mean of the cache's scores, or at the logarithm of
    its classes' frequencies. Starting at zero, the projection would have to
    learn that constant as a sum over tokens, which grows with their number.
    By default the projection starts at zero: a random start gives every
    example an output of its own, a sum over thousands of features, which a
    projection that moves slowly does not unlearn. Of spans, a bias that all
    tokens share changes nothing, and stays at zero.

    With `pooler="weighted"` it starts at the regression on the means of the
    cache's hidden states.

    Args:
        task: TaskSpec. Classifier, regressor, or finder of spans.
        cache: HiddenStateBatches of the training split. Gives tokens,
            layers, features, and the labels the bias starts from.
        config: HeadConfig, or None. Of it the rates, passes and batches do
            not count here. Defaults to `HeadConfig()`.
        **settings: fields of HeadConfig that replace those of `config`.

    Raises:
        ArgumentError: a setting is out of its range.
    """
    config = dataclasses.replace(config or HeadConfig(), **settings)
    check_token_pooling(task, config.token_pooling)
    check_pooler(task, config.pooler)
    if config.pooler == WEIGHTED:
        return _weighted_head(task, cache, config)
    arguments = {
        "units": config.units,
        "num_layers": cache.num_layers,
        "hidden_dim": cache.hidden_dim,
        "dropout": config.dropout,
        "pooler": config.pooler,
        "kernel_initializer": keras.initializers.GlorotUniform(config.seed),
        "projection_initializer": projection_start(config),
        "seed": config.seed,
        "name": "head",
    }
    if config.token_pooling == "flatten" and not task.traits.per_token:
        arguments["sequence_length"] = cache.max_tokens
    kind = kind_of(task.kind)
    model = kind.head(task, arguments)
    model.bias.assign(kind.starting_bias(task, cache))
    return model


def _weighted_head(
    task: TaskSpec, cache: HiddenStateBatches, config: HeadConfig
) -> WeightedProbe:
    model = WeightedProbe(
        **probe_arguments(task, cache),
        dropout=config.dropout,
        seed=config.seed,
    )
    start = closed_form(task, cache, config.seed).regression
    model.kernel.assign(start.kernel)
    model.bias.assign(start.bias)
    return model


def standardize_start(model: keras.Model, scale: TargetScale) -> None:
    """Makes of a new head one for standardised scores.

    Args:
        model: what `build_head` gave; changed in place.
        scale: TargetScale. That of the training rows.
    """
    if isinstance(model, WeightedProbe):
        weights = (model.kernel, model.bias)
        scaled = scale.unfolded(*(weight.numpy() for weight in weights))
        for weight, value in zip(weights, scaled, strict=True):
            weight.assign(value)
        return
    # The projection starts at zero, or anywhere.
    model.bias.assign(scale.standardized(model.bias.numpy()))


def fold_targets(model: keras.Model, scale: TargetScale) -> None:
    """Gives a trained head's outputs the user's units, in its weights.

    Args:
        model: PoolingModel, trained on standardised scores; changed in place.
        scale: TargetScale. That of the training rows.
    """
    weights = (model.projection, model.bias)
    folded = scale.folded(*(weight.numpy() for weight in weights))
    for weight, value in zip(weights, folded, strict=True):
        weight.assign(value)


def check_token_pooling(task: TaskSpec, token_pooling: str) -> None:
    """Refuses a way to pool tokens that a task's head does not have.

    Raises:
        ArgumentError: it is the mean, for outputs of tokens.
    """
    known = task.traits.token_poolings
    if token_pooling not in known:
        raise ArgumentError(
            f"token_pooling: expected {', '.join(known)} of {task.name}, whose "
            f"outputs are of tokens, got {token_pooling!r}"
        )


def check_pooler(task: TaskSpec, pooler: str) -> None:
    """Refuses a pooler that a task's head does not have.

    Raises:
        ArgumentError: it is of whole texts, for outputs of tokens; or of one
            text, for pairs apart.
    """
    if pooler not in task.poolers:
        what = "are pairs apart" if task.is_apart else "have outputs of tokens"
        raise ArgumentError(
            f"pooler: expected {' or '.join(task.poolers)} of {task.name}, "
            f"whose texts {what}, got {pooler!r}"
        )


def check_cache_task(task: TaskSpec, cache: HiddenStateCache) -> None:
    """Refuses the hidden states of another task, whose labels are others.

    Raises:
        ArgumentError: the cache was made for another task, or one of that
            name with other labels.
    """
    found = cache.manifest.identity["task"]
    if found != task.name:
        raise ArgumentError(
            f"cache: {cache.directory} is of task {found}, expected {task.name}"
        )
    found, wanted = cache.manifest.num_labels, None
    if task.several_labels:
        wanted = task.num_labels
    if found != wanted:
        shown = [f"{n} labels" if n else "one label" for n in (found, wanted)]
        raise ArgumentError(
            f"cache: {cache.directory} was made for {shown[0]} a text, "
            f"expected {shown[1]}"
        )
    if (cache.manifest.pairs is not None) != task.is_apart:
        raise ArgumentError(
            f"cache: {cache.directory} has pairs read "
            f"{JOINT if task.is_apart else APART}, expected {task.pairs}"
        )
    found, wanted = cache.manifest.num_tags, None
    if task.kind is Kind.TOKENS:
        wanted = task.num_labels
    if found != wanted:
        shown = [f"{n} tags" if n else "no tags" for n in (found, wanted)]
        raise ArgumentError(
            f"cache: {cache.directory} was made for {shown[0]} of words, "
            f"expected {shown[1]}"
        )


def projection_start(config: HeadConfig) -> keras.initializers.Initializer:
    """The initializer of a head's projection.

    Args:
        config: HeadConfig.
    """
    if config.projection_initializer == "zeros":
        return keras.initializers.Zeros()
    return keras.initializers.GlorotUniform(config.seed)


def train_head(
    task: str | TaskSpec,
    cache: HiddenStateCache,
    directory: str | os.PathLike,
    config: HeadConfig | None = None,
    *,
    weights: np.ndarray | None = None,
    validation_cache: HiddenStateCache | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> TrainedHead:
    """Trains a head by `model.fit` and saves it.

    Scores of a regression are standardised by the training rows' mean and
    deviation; the saved head gives them in their own units.

    The number of epochs is fixed beforehand; nothing is chosen on the
    development set. Interrupted, the same call goes on after the last
    finished epoch and comes to the same weights.

    With more than one epoch to go, a cache that fits in half of the memory
    that is available is read once and trained on from there. The batches, and
    so the weights, are the same as from disk.

    Args:
        task: TaskSpec, or its name.
        cache: HiddenStateCache of the training split.
        directory: str or path. Gets `head.keras`.
        config: HeadConfig, or None. Defaults to `HeadConfig()`.
        weights: float array `(examples,)`, or None. What an error on each
            example counts. Defaults to `None`: 1 each.
        validation_cache: HiddenStateCache, or None. Its loss is computed
            after each epoch, for `callbacks` and `epoch_history`; nothing
            else depends on it. Defaults to `None`.
        callbacks: sequence of Keras callbacks. Told of every epoch and batch;
            they may stop the training. What they remember is not kept when it
            is interrupted. Defaults to none.
        **settings: fields of HeadConfig that replace those of `config`:
            `units=32`, `epochs=6`.

    Returns:
        TrainedHead.

    Raises:
        ArgumentError: a setting is out of its range, or the cache is another
            task's.
        DivergedError: the loss became infinite; `directory` is free for
            another rate.
        CacheError: a shard of the cache is damaged.
        RunError: `directory` holds a head trained with other settings or on
            another cache, or another process is using it.
    """
    task = tasks.spec_of(task)
    if not isinstance(cache, HiddenStateCache):
        raise ArgumentError(
            f"cache: expected a HiddenStateCache, got {type(cache).__name__}"
        )
    directory = pathlib.Path(directory)
    config = dataclasses.replace(config or HeadConfig(), **settings)
    check_token_pooling(task, config.token_pooling)
    check_pooler(task, config.pooler)
    check_cache_task(task, cache)
    record = {
        "cache": cache.manifest.identity,
        "label_names": task.label_names and list(task.label_names),
        "head": POOLED,
        **dataclasses.asdict(config),
        "weights": weights_digest(weights, len(cache)),
        **target_settings(task),
    }
    result_path = directory / RESULT_FILE
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        if result_path.exists():
            found = fileio.read_json(result_path, RESULT_SCHEMA)["settings"]
            require_same_head(directory, found, record)
        else:
            try:
                with naming_damage(cache):
                    _train(
                        task,
                        cache,
                        directory,
                        config,
                        record,
                        weights,
                        validation_cache,
                        callbacks,
                    )
            except DivergedError:
                # Of no use to anybody, and it would refuse a lower rate.
                (directory / _STATE_FILE).unlink(missing_ok=True)
                raise
        (directory / _STATE_FILE).unlink(missing_ok=True)
    return TrainedHead.open(directory)


def _train(
    task: TaskSpec,
    cache: HiddenStateCache,
    directory: pathlib.Path,
    config: HeadConfig,
    settings: dict[str, Any],
    weights: np.ndarray | None,
    validation_cache: HiddenStateCache | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    state_path = directory / _STATE_FILE
    seed, epochs, batch_size = config.seed, config.epochs, config.batch_size
    keras.utils.set_random_seed(seed)
    model = build_head(task, cache, config)
    scale = TargetScale.of(task, cache.labels())
    standardize_start(model, scale)
    steps_per_epoch = math.ceil(len(cache) / batch_size)
    model.compile(
        adamw(
            config.learning_rate,
            steps_per_epoch * epochs,
            config.weight_decay,
            rates={model.projection.name: config.projection_rate},
        ),
        kind_of(task.kind).loss(),
        # Keras measures what has weights by these alone.
        weighted_metrics=[] if weights is not None else None,
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    variables = [*state_variables(model), *model.optimizer.variables]
    record: dict[str, Any] = {
        "epoch": 0,
        "seconds": 0.0,
        "history": [],
        "epoch_history": {},
        "settings": settings,
    }
    if state_path.exists():
        found = read_progress(state_path, _STATE_SCHEMA)["settings"]
        require_same_head(directory, found, settings)
        record = load_state(state_path, variables)
    history, earlier_seconds = record["history"], record["seconds"]
    began = time.monotonic()
    batches: HiddenStateBatches = cache
    if epochs - record["epoch"] > 1:
        batches = cache.load_if_it_fits(_MEMORY_SHARE)
    validation = {}
    if validation_cache is not None:
        validation["validation_data"] = scale.standardized_batches(
            validation_cache.as_dataset(
                batch_size, dtype=validation_cache.dtype
            )
        )
    told = keras.callbacks.CallbackList(callbacks, model=model)
    epoch_history = record["epoch_history"]
    told.on_train_begin()
    with progress_bar(
        "train head",
        epochs * steps_per_epoch,
        "steps",
        done=record["epoch"] * steps_per_epoch,
    ) as bar:
        for epoch in range(record["epoch"], epochs):
            order_seed = int(
                np.random.default_rng([seed, epoch]).integers(1 << 31)
            )
            fitted = model.fit(
                # As they are stored: the head reads int8 as it is.
                scale.standardized_batches(
                    batches.as_dataset(
                        batch_size,
                        shuffle=True,
                        seed=order_seed,
                        dtype=cache.dtype,
                        weights=weights,
                    )
                ),
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=0,
                callbacks=[
                    _Recorder(
                        bar,
                        history,
                        epoch * steps_per_epoch,
                        config.learning_rate,
                    ),
                    _Teller(told),
                ],
                **validation,
            )
            for name, values in fitted.history.items():
                value = float(values[-1])
                epoch_history.setdefault(name, []).append(
                    value if math.isfinite(value) else None
                )
            record = {
                "epoch": epoch + 1,
                "seconds": earlier_seconds + time.monotonic() - began,
                "history": history,
                "epoch_history": epoch_history,
                "settings": settings,
            }
            save_state(state_path, variables, record)
            if model.stop_training:
                break
    told.on_train_end()
    save_head(directory, task, model, record, scale)


def save_head(
    directory: pathlib.Path,
    task: TaskSpec,
    model: keras.Model,
    record: dict[str, Any],
    scale: TargetScale = AS_THEY_ARE,
) -> None:
    """Writes a head as `TrainedHead` reads it, the record last.

    Args:
        directory: path.
        task: TaskSpec. What it was trained for.
        model: keras.Model, built.
        record: dict. `seconds`, `history`, `epoch_history`, `settings` with
            the identity of the cache, and what else is worth keeping.
    """
    with fileio.atomic_path(directory / _MODEL_FILE) as temporary:
        # Without the optimizer: a third of the size, and nothing but
        # bvkeras' models is needed to open it.
        trained = model.from_config(model.get_config())
        trained.set_weights(model.get_weights())
        if not scale.is_none:
            fold_targets(trained, scale)
        trained.save(temporary)
    fileio.write_json(
        directory / RESULT_FILE,
        {
            **record,
            "parameters": model.count_params(),
            "task": task_to_record(task),
            **scale.as_record(),
        },
    )


def require_same_head(
    directory: pathlib.Path, found: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Refuses a head in `directory` that was trained with other settings.

    Raises:
        RunError: it is of another kind, or was.
    """
    kinds = [{"head": one["head"]} for one in (found, wanted)]
    fileio.require_same(directory, *kinds)
    fileio.require_same(directory, found, wanted)


class _Teller(keras.callbacks.Callback):
    """Passes the events of one `fit` on to callbacks of all of them."""

    def __init__(self, told: keras.callbacks.CallbackList):
        super().__init__()
        self._told = told

    def on_epoch_begin(self, epoch, logs=None):
        self._told.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._told.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._told.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._told.on_train_batch_end(batch, logs)


class _Recorder(keras.callbacks.Callback):
    """Moves the progress bar and keeps the loss of every few steps.

    Of an epoch with fewer steps than that it keeps the loss at its end. Keras
    reports the mean since the epoch began; what is kept is the mean since the
    last record.
    """

    def __init__(
        self,
        bar: Bar,
        history: list,
        first_step: int,
        learning_rate: float,
    ):
        super().__init__()
        self._learning_rate = learning_rate
        self._bar, self._history, self._first = bar, history, first_step
        self._steps, self._recorded_steps, self._recorded_sum = 0, 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        steps, mean = batch + 1, logs["loss"]
        self._steps = steps
        self._bar.advance(note=f"loss {mean:.3f}")
        if steps % _STEPS_A_RECORD == 0:
            since = mean * steps - self._recorded_sum
            loss = since / (steps - self._recorded_steps)
            self._history.append({"step": self._first + steps, "loss": loss})
            self._recorded_steps, self._recorded_sum = steps, mean * steps

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise DivergedError(
                f"learning_rate: the head's loss is {logs['loss']} in epoch "
                f"{epoch + 1}; try a rate below {self._learning_rate:g}"
            )
        if not self._recorded_steps:
            step = self._first + self._steps
            self._history.append({"step": step, "loss": logs["loss"]})
