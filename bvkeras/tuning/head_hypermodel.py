"""The hypermodel `HeadHyperModel`."""

import functools
import math
from collections.abc import Sequence

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.cache.format import DTYPES
from bvkeras.cache.part import CachePart
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.metric_direction import goodness
from bvkeras.tasks.setting_checks import one_of
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import (
    build_head,
    check_cache_task,
    check_pooler,
    check_token_pooling,
    fold_targets,
    standardize_start,
)
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw
from bvkeras.training.target_scale import TargetScale
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.held_out import (
    further_split,
    held_out_score,
    held_out_split,
    objective,
)
from bvkeras.tuning.layer_names import parsed_layers
from bvkeras.tuning.spaces import HeadSpace, values_of

_ORDER_SEED = 0
_SCORED_AT_ONCE = 64
_MEMORY_SHARE = 0.5


class HeadHyperModel(keras_tuner.HyperModel):
    """Pooled heads on a cache, to be tuned by any of KerasTuner's tuners.

    A trial trains one head on a part of the cache and is scored on the rest
    of it by the task's first metric, when it has made its last pass. The
    order of the batches is the same for all trials, whatever their seeds, so
    that `bvkeras.tuning.stacked_tuner.StackedTuner` can train many at once
    and come to the same. A regression's models learn standardised scores;
    `fold_targets` gives a trained one's outputs the user's units.

    Args:
        task: TaskSpec.
        cache: HiddenStateCache of the training split.
        space: HeadSpace. Defaults to `None`: `HeadSpace()`.
        held_out: float. Part of the rows that scores. Defaults to `0.2`.
        patience: int or None. A trial ends after so many passes without a
            better score; its score is that of its last pass. Defaults to
            `None`: never.
        dtype: str or None. Type the hidden states are read in. Defaults to
            `None`: the stored one, bfloat16 for int8.

    Attributes:
        objective: keras_tuner.Objective. What to give a tuner.

    Raises:
        ArgumentError: the cache is another task's, or too small to be split,
            or an argument is out of its range.

    Example:
        ```python
        model = HeadHyperModel(bvkeras.tasks.get("sst2"), cache)
        tuner = keras_tuner.RandomSearch(
            model, objective=model.objective, max_trials=10
        )
        tuner.search()
        ```
    """

    def __init__(
        self,
        task: TaskSpec,
        cache: HiddenStateCache,
        space: HeadSpace | None = None,
        *,
        held_out: float = 0.2,
        patience: int | None = None,
        dtype: str | None = None,
    ):
        super().__init__(name="head")
        check_cache_task(task, cache)
        if patience is not None and patience < 1:
            raise ArgumentError(
                f"patience: expected at least 1, got {patience}"
            )
        self.task = task
        self.cache = cache
        self.space = space or HeadSpace()
        self.patience = patience
        self.dtype = dtype
        self.objective = objective(task)
        for pooling in values_of(self.space.token_pooling):
            check_token_pooling(task, pooling)
        for pooler in values_of(self.space.pooler):
            check_pooler(task, pooler)
        for layers in values_of(self.space.layers):
            _check_layers(cache, layers)
        if dtype is not None:
            one_of(*DTYPES).require("dtype", dtype)
        self._fraction = held_out
        self._splits = held_out_split(len(cache), held_out)

    @functools.cached_property
    def scale(self) -> TargetScale:
        """The scale the scores of a regression are trained in."""
        return TargetScale.of(self.task, self.parts(None)[0].labels())

    def fold_targets(self, model: keras.Model) -> None:
        """Gives a trained model's outputs the user's units."""
        fold_targets(model, self.scale)

    def declare_hyperparameters(self, hp):
        self.space.declare(hp)

    def settings(self, hp: keras_tuner.HyperParameters) -> HeadSettings:
        """The settings of a trial."""
        return HeadSettings.declared(self.space, hp)

    def build(self, hp):
        settings = self.settings(hp)
        train, _ = self.parts(settings.layers)
        model = build_head(self.task, train, settings.config)
        standardize_start(model, self.scale)
        model.compile(
            adamw(
                settings.learning_rate,
                self.total_steps(settings),
                settings.weight_decay,
                rates={model.projection.name: settings.projection_rate},
            ),
            kind_of(self.task.kind).loss(),
            jit_compile=False,
        )
        # A step that makes the optimizer's variables is traced twice.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        epochs: int | None = None,
        initial_epoch: int = 0,
        verbose: int = 0,
    ) -> dict[str, float]:
        """Trains a head and scores it.

        Args:
            hp: HyperParameters of the trial.
            model: what `build` gave for them.
            callbacks: sequence of Keras callbacks.
            epochs: int or None. What the Hyperband tuner gives and `hp` says,
                too; otherwise it is a setting of the space.
            initial_epoch: int. As `epochs`.
            verbose: int. As of `model.fit`.

        Returns:
            dict: the objective's score; `loss`, the mean of the last pass;
            `epochs`, the passes made.

        Raises:
            ArgumentError: `epochs` is not what `hp` says.
        """
        settings = self.settings(hp)
        asked = (epochs or settings.epochs, initial_epoch)
        if asked != (settings.epochs, settings.first_epoch):
            raise ArgumentError(
                f"epochs: is a setting of the space, {settings.epochs} here, "
                f"got {epochs}"
            )
        train, held_out = self.parts(settings.layers)
        scores: list[float] = []
        for epoch in range(settings.first_epoch, settings.epochs):
            history = model.fit(
                self.batches(train, settings.batch_size, epoch),
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,
                verbose=verbose,
                callbacks=list(callbacks),
            )
            last = epoch + 1 == settings.epochs
            if last or self.patience:
                scores.append(self._score(model, held_out))
            if self.out_of_patience(scores):
                break
        return {
            self.objective.name: scores[-1],
            "loss": history.history["loss"][0],
            "epochs": epoch + 1,
        }

    def parts(
        self, layers: tuple[int, ...] | None
    ) -> tuple[CachePart, CachePart]:
        """The rows trained on and those that score, with some layers.

        Raises:
            ArgumentError: the cache does not have these layers.
        """
        train, held_out = self._splits
        return (
            CachePart(self._data, train, layers),
            CachePart(self._data, held_out, layers),
        )

    def on_part(self, part: int) -> "HeadHyperModel":
        """The same on other rows, without patience; the cache is shared.

        Args:
            part: int. As of `held_out.further_split`.
        """
        other = HeadHyperModel(
            self.task,
            self.cache,
            self.space,
            held_out=self._fraction,
            dtype=self.dtype,
        )
        other._splits = further_split(len(self.cache), self._fraction, part)
        other._data = self._data
        return other

    def batches(
        self, train: CachePart, batch_size: int, epoch: int
    ) -> tf.data.Dataset:
        """The batches of one pass, those of like length together.

        Labels of a regression are standardised.
        """
        random = np.random.default_rng([_ORDER_SEED, epoch])
        return self.scale.standardized_batches(
            train.as_dataset(
                batch_size,
                shuffle=True,
                seed=int(random.integers(1 << 31)),
                bucket=True,
                dtype=self.dtype,
            )
        )

    def scored_batches(self, held_out: CachePart) -> tf.data.Dataset:
        """The held-out rows, those of like length together."""
        return held_out.as_dataset(
            _SCORED_AT_ONCE, bucket=True, dtype=self.dtype
        )

    def total_steps(self, settings: HeadSettings) -> int:
        """Optimizer steps of a trial that is not ended before its time."""
        steps = math.ceil(len(self._splits[0]) / settings.batch_size)
        return steps * (settings.epochs - settings.first_epoch)

    def out_of_patience(self, scores: Sequence[float]) -> bool:
        """Whether a trial ends before its time, after these scores."""
        metric = self.task.metrics[0]
        return out_of_patience(
            [goodness(metric, score) for score in scores], self.patience
        )

    def _score(self, model: keras.Model, held_out: CachePart) -> float:
        batches = self.scored_batches(held_out)
        forward = tf.function(
            lambda *inputs: model(inputs, training=False),
            batches.element_spec[0],
            autograph=False,
        ).get_concrete_function()
        outputs, labels = [], []
        for inputs, batch_labels in batches:
            outputs.append(forward(*inputs).numpy())
            labels.append(batch_labels.numpy())
        return held_out_score(
            self.task,
            self.scale.restored(np.concatenate(outputs)),
            np.concatenate(labels),
        )

    @functools.cached_property
    def _data(self) -> HiddenStateBatches:
        """The cache, in memory if it fits: all trials read it again."""
        return self.cache.load_if_it_fits(_MEMORY_SHARE)


def _check_layers(cache: HiddenStateCache, text: str) -> None:
    last = cache.num_layers - 1
    if not all(0 <= layer <= last for layer in parsed_layers(text) or ()):
        raise ArgumentError(
            f"layers: expected numbers from 0 to {last} of {cache.directory}, "
            f"got {text!r}"
        )


def out_of_patience(scores: Sequence[float], patience: int | None) -> bool:
    """Whether the last `patience` scores are no higher than one before."""
    if patience is None or len(scores) <= patience:
        return False
    return max(scores[-patience:]) <= max(scores[:-patience])
