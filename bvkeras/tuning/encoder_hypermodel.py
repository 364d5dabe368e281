"""The hypermodel `EncoderHyperModel`."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from bvkeras.data.examples import Examples
from bvkeras.data.token_batches import bucketed_batches, tokenize_examples
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.errors import ArgumentError
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.tasks.finetune_config import FinetuneConfig
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.finetune import predict_scores, start_pairs
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw
from bvkeras.training.state import seed_dropout
from bvkeras.training.target_scale import TargetScale
from bvkeras.tuning.held_out import held_out_score, held_out_split, objective
from bvkeras.tuning.spaces import EncoderSpace

# Tasks whose encoders the paper tunes on a tenth of the training rows.
_BIG_TASKS = ("mnli", "qnli", "qqp", "sst2")
_BIG_SHARE = 0.1
_ROWS_SEED = 0
_INPUTS = ("token_ids", "segment_ids", "padding_mask")


class EncoderHyperModel(keras_tuner.HyperModel):
    """Fine-tuning of an encoder, to be tuned by any of KerasTuner's tuners.

    A trial fine-tunes the encoder on a part of the training rows, as
    `bvkeras.finetune` does, and is scored on the rest of them by the task's
    first metric. A regression's models learn standardised scores;
    `fold_targets` gives a trained one's outputs the user's units.

    Args:
        task: TaskSpec.
        backbone: str. What `load_backbone` opens.
        examples: Examples. The training split.
        space: EncoderSpace. Defaults to `None`: `EncoderSpace()`.
        max_tokens: int or None. Longer examples are cut. Defaults to `None`:
            the task's number for the encoder.
        rows_share: float or None. Part of the rows that is used at all,
            chosen at random, the same for all searches. Defaults to `None`: a
            tenth for MNLI, QNLI, QQP and SST-2 as in the paper, all for the
            others.
        held_out: float. Part of those that scores. Defaults to `0.2`.
        dropout: float or None. Dropout of the encoder and in front of its
            head. Defaults to `None`: the task's number for the encoder.
        compute_dtype: str. Keras dtype policy. Defaults to `"float32"`.
        sentence_pooling: str or None. As of `load_backbone`. Defaults to
            `None`: the encoder's own.

    Attributes:
        objective: keras_tuner.Objective. What to give a tuner.
        training_rows: int. Rows that are trained on.
        held_out_rows: int. Rows that score.

    Raises:
        ArgumentError: an argument is out of its range, or there are too few
            examples to be split.

    Example:
        ```python
        model = EncoderHyperModel(task, "bert_base_en_uncased", examples)
        tuner = keras_tuner.RandomSearch(
            model, objective=model.objective, max_trials=10
        )
        tuner.search()
        ```
    """

    def __init__(
        self,
        task: TaskSpec,
        backbone: str,
        examples: Examples,
        space: EncoderSpace | None = None,
        *,
        max_tokens: int | None = None,
        rows_share: float | None = None,
        held_out: float = 0.2,
        dropout: float | None = None,
        compute_dtype: str = "float32",
        sentence_pooling: str | None = None,
    ):
        super().__init__(name="encoder")
        if rows_share is None:
            rows_share = _BIG_SHARE if task.name in _BIG_TASKS else 1.0
        if not 0 < rows_share <= 1:
            raise ArgumentError(
                f"rows_share: expected a number above 0 and at most 1, got "
                f"{rows_share}"
            )
        if sentence_pooling is not None:
            check_sentence_pooling(sentence_pooling)
        self.task = task
        self.backbone = backbone
        self.space = space or EncoderSpace()
        self.compute_dtype = compute_dtype
        self.sentence_pooling = sentence_pooling
        self.objective = objective(task)
        self._given: dict[str, Any] = {
            "max_tokens": max_tokens,
            "dropout": dropout,
        }
        rows = max(2, round(rows_share * len(examples)))
        examples = examples.limit(rows, _ROWS_SEED)
        self._parts = [
            examples.take(part)
            for part in held_out_split(len(examples), held_out)
        ]
        self.training_rows, self.held_out_rows = map(len, self._parts)

    @functools.cached_property
    def scale(self) -> TargetScale:
        """The scale the scores of a regression are trained in."""
        return TargetScale.of(self.task, self._parts[0].labels)

    def fold_targets(self, model: keras.Model) -> None:
        """Gives a trained model's outputs the user's units."""
        layer = model.get_layer("logits")
        layer.set_weights(self.scale.folded(*layer.get_weights()))

    @property
    def max_tokens(self) -> int:
        """Longer examples are cut."""
        return self._own_config.max_tokens

    @property
    def dropout(self) -> float:
        """Dropout of the encoder and in front of its head."""
        return self._own_config.dropout

    def config(self, hp: keras_tuner.HyperParameters) -> FinetuneConfig:
        """The settings of a trial."""
        return dataclasses.replace(self._own_config, **self.space.declare(hp))

    def open_encoder(self) -> Encoder:
        """The encoder as it came, to be fine-tuned."""
        return load_backbone(
            self.backbone,
            dropout=self.dropout,
            dtype=self.compute_dtype,
            sentence_pooling=self.sentence_pooling,
        )

    def declare_hyperparameters(self, hp):
        self.space.declare(hp)

    def build(self, hp):
        config = self.config(hp)
        encoder = self.open_encoder()
        model = finetuning_model(
            encoder.backbone,
            self.task.num_labels,
            dropout=config.dropout,
            seed=config.seed,
            sentence_pooling=encoder.sentence_pooling,
            apart=self.task.is_apart,
        )
        seed_dropout(model, config.seed)
        model.compile(
            adamw(
                config.learning_rate,
                self._steps(config),
                warmup_fraction=config.warmup_fraction,
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
        verbose: int = 0,
    ) -> dict[str, float]:
        """Fine-tunes an encoder and scores it.

        Args:
            hp: HyperParameters of the trial.
            model: what `build` gave for them.
            callbacks: sequence of Keras callbacks. All passes are one epoch
                for them.
            verbose: int. As of `model.fit`.

        Returns:
            dict: the objective's score; `loss`, the mean of all steps;
            `epochs`, the passes made.
        """
        config = self.config(hp)
        train, held_out = self._tokens
        if self.task.is_apart:
            start_pairs(model, self.task, train, config.seed, self.scale)
        steps = self._steps(config)
        labels = self.scale.standardized(self._parts[0].labels)

        def batches() -> Iterator:
            for indices in self._batches(train.lengths, config, steps):
                yield train.batch(indices), labels[indices]

        dataset = tf.data.Dataset.from_generator(
            batches,
            output_signature=(
                {
                    name: tf.TensorSpec((None, None), tf.int32)
                    for name in _INPUTS
                },
                kind_of(self.task.kind).label_signature(self.task),
            ),
        ).apply(tf.data.experimental.assert_cardinality(steps))
        history = model.fit(
            dataset.prefetch(2),
            shuffle=False,
            verbose=verbose,
            callbacks=list(callbacks),
        )
        return {
            self.objective.name: held_out_score(
                self.task,
                self.scale.restored(predict_scores(model, held_out)),
                self._parts[1].labels,
            ),
            "loss": history.history["loss"][0],
            "epochs": config.epochs[-1],
        }

    def _steps(self, config: FinetuneConfig) -> int:
        steps_per_epoch = math.ceil(self.training_rows / config.batch_size)
        return max(1, round(config.epochs[-1] * steps_per_epoch))

    def _batches(self, lengths, config, steps) -> Iterator[np.ndarray]:
        """The rows of each step, in the order `finetune` has them."""
        epochs = (
            bucketed_batches(lengths, config.batch_size, config.seed, epoch)
            for epoch in itertools.count()
        )
        return itertools.islice(itertools.chain.from_iterable(epochs), steps)

    @functools.cached_property
    def _own_config(self) -> FinetuneConfig:
        """The task's settings for the encoder, but for what was given."""
        hidden_dim = load_backbone(self.backbone, dropout=0.0).hidden_dim
        given = {k: v for k, v in self._given.items() if v is not None}
        own = self.task.settings_for(hidden_dim).finetune
        return dataclasses.replace(own, **given)

    @functools.cached_property
    def _tokens(self):
        """Both parts as token ids."""
        encoder = load_backbone(self.backbone, dropout=0.0)
        return [
            tokenize_examples(
                part, encoder, self.max_tokens, apart=self.task.is_apart
            )
            for part in self._parts
        ]
