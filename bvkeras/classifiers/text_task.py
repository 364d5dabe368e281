"""What every text-in, answer-out object does: the class `TextTask`."""

import abc
import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.writer import write_cache
from bvkeras.classifiers import containers
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_examples import TokenExamples
from bvkeras.encoders import hub
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.printable import say
from bvkeras.serving.runs import MODEL_FILE, served_task
from bvkeras.serving.saved_model import export
from bvkeras.serving.served_task import ServedTask
from bvkeras.serving.text_model import TextModel
from bvkeras.tasks.own_settings import fitting_tokens, own_settings
from bvkeras.tasks.pairs import APART, JOINT, check_pairs
from bvkeras.tasks.settings import WEIGHTED_HEAD, TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.finetune import finetune
from bvkeras.training.head import TrainedHead, train_head

TRAININGS = ("frozen", "fine_tuned")

_FORMAT_VERSION = 1
_OPTIONS = ("encoder_training", "text", "max_tokens", "pairs", "seed")
# Rows whose tokens are counted to choose the longest input.
_COUNTED_ROWS = 10_000


class TextTask(abc.ABC):
    """An encoder with a pooled head for texts and labels of one's own.

    Use `TextClassifier`, `TextRegressor`, `TokenClassifier` or `AnswerFinder`.

    Args:
        encoder: str or path. What `bvkeras.load_backbone` opens.
        encoder_training: str. `"frozen"`: the encoder stays as it came, its
            hidden states are computed once, and the head trains in seconds.
            `"fine_tuned"`: the encoder is trained first. Defaults to
            `"frozen"`.
        text: str, sequence of two str, or None. Names of the columns with
            texts, where tables are given. Defaults to those that hold texts.
        name: str. Name of the task: of the signature of an export. Defaults
            to `"texts"`.
        max_tokens: int, or None. Longer texts are cut. Defaults to what cuts
            at most one text in twenty, from 32 to 256.
        pairs: str. How the encoder reads two texts: `"joint"`, in one row, or
            `"apart"`, each by itself. Defaults to `"joint"`.
        seed: int. Seed of everything random. Defaults to `0`.
        **settings: those of `bvkeras.tasks.TaskSettings`, side by side, that
            replace those chosen by the number of texts and the size of the
            encoder, such as `learning_rate`, `epochs`, `units`, `head_epochs`.

    Raises:
        ArgumentError: an argument has no possible value.
        BackboneError: the encoder cannot be opened.
    """

    # Attributes that are saved with those of every task.
    _KEPT: tuple[str, ...] = ()
    # Of columns of texts that have none.
    _NAMES: tuple[str, str] = ("text", "text_b")

    def __init__(
        self,
        encoder: str | os.PathLike,
        *,
        encoder_training: str = "frozen",
        text: str | Sequence[str] | None = None,
        name: str = "texts",
        max_tokens: int | None = None,
        pairs: str = JOINT,
        seed: int = 0,
        **settings: Any,
    ):
        check_pairs(pairs)
        if encoder_training not in TRAININGS:
            raise ArgumentError(
                f"encoder_training: expected one of {', '.join(TRAININGS)}, "
                f"got {encoder_training!r}"
            )
        # Refused at once: what they replace is known with the texts.
        own_settings(1)[0].replaced(**settings)
        self.encoder_training = encoder_training
        self.text = (text,) if isinstance(text, str) else text
        self.name = name
        self.max_tokens = max_tokens
        self.pairs = pairs
        self.seed = seed
        self.settings = settings
        self._preset = hub.pinned(encoder)
        self._as_it_came = load_backbone(self._preset, dropout=0.0)
        self._model: _Trained | None = None

    @classmethod
    def from_preset(cls, encoder: str | os.PathLike, **options: Any):
        """A model on an encoder; see the class for what it takes."""
        return cls(encoder, **options)

    @abc.abstractmethod
    def _learned(self, labels: list) -> dict[str, Any]:
        """What training labels say of the task: fields of `TaskSpec`."""

    @abc.abstractmethod
    def _numbers(self, spec: TaskSpec, labels: list) -> Any:
        """Labels as numbers, of the type and shape that `Kind` says."""

    @abc.abstractmethod
    def _predicted(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        """Answers of the model, as the numbers that labels are."""

    def fit(
        self,
        x: Any,
        y: Any = None,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: Sequence[float] | None = None,
        class_weight: Mapping[Any, float] | None = None,
        epochs: float | None = None,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        directory: str | os.PathLike | None = None,
    ) -> keras.callbacks.History:
        """Trains on texts and their labels.

        Args:
            x: texts: a list, array or column of str; a tuple of two of them,
                for pairs; a DataFrame, a dict of columns, a
                `datasets.Dataset`, a `tf.data.Dataset` of texts or of texts
                and labels.
            y: labels, one a text; or the name of the table's column. Not
                needed with a `tf.data.Dataset` of both. Classes may be
                several a text; see `TextClassifier`.
            validation_data: pair of x and y, or None. Scored after each pass
                of the head.
            sample_weight: sequence of float, or None. What an error on each
                text counts. Defaults to 1 each.
            class_weight: mapping of labels to float, or None. What an error
                on texts of each class counts. Of classes only.
            epochs: float, or None. Passes over the texts, of the encoder if
                it is fine-tuned, and otherwise of the head. Defaults to what
                suits their number.
            callbacks: sequence of Keras callbacks, or None. Of the head's
                training.
            directory: str, path or None. Keeps every step: stopped, the same
                call goes on there. Defaults to a folder that is gone
                afterwards.

        Returns:
            `keras.callbacks.History` of the head: `loss`, and where there is
            validation data its scores as `val_…`, one for each pass.

        Raises:
            ArgumentError: something is not what it should be; names the
                argument and the row.
            RunError: `directory` holds something else.
        """
        texts, labels = self._read(x, y)
        if not labels:
            raise ArgumentError("x: expected at least one text, got none")
        if validation_data is not None and not (
            isinstance(validation_data, tuple | list)
            and len(validation_data) == 2
        ):
            raise ArgumentError(
                "validation_data: expected a pair of x and y, got "
                f"{type(validation_data).__name__}"
            )
        settings = self._settings(texts, epochs)
        spec = TaskSpec(
            name=self.name,
            title=self.name,
            text_columns=texts.names or self._NAMES[: len(texts.columns)],
            label_column=y if isinstance(y, str) else "label",
            paper_settings=settings,
            small_settings=settings,
            source="memory",
            pairs=self.pairs,
            **self._learned(labels),
        )
        numbers = self._numbers(spec, labels)
        weights = self._weights(spec, numbers, sample_weight, class_weight)
        examples = {"train": self._examples(spec, "train", texts, numbers)}
        if validation_data is not None:
            held_out, labels = self._read(*validation_data)
            examples["validation"] = self._examples(
                spec, "validation", held_out, self._numbers(spec, labels)
            )
        with _directory(directory) as folder:
            encoder = self._trained_encoder(
                spec, settings, examples["train"], weights, folder
            )
            caches = {
                split: write_cache(
                    encoder,
                    spec,
                    part,
                    folder / "cache" / split,
                    max_tokens=settings.finetune.max_tokens,
                )
                for split, part in examples.items()
            }
            head = train_head(
                spec,
                caches["train"],
                folder / "head",
                settings.head,
                weights=weights,
                validation_cache=caches.get("validation"),
                callbacks=callbacks or (),
            )
            self._model = _Trained.of(encoder, head)
        history = keras.callbacks.History()
        history.history = head.epoch_history
        return history

    def predict(self, x: Any) -> np.ndarray | list:
        """The answer to each text.

        Args:
            x: as `fit` takes it, without labels.

        Raises:
            ArgumentError: `x` is not what it should be.
            RunError: it was not trained yet.
        """
        return self._answers(x)["label"]

    def evaluate(self, x: Any, y: Any = None) -> dict[str, float]:
        """Scores on texts and labels, by the task's metrics.

        Args:
            x: as `fit` takes it.
            y: as `fit` takes it.

        Returns:
            dict of metric to score.

        Raises:
            ArgumentError: something is not what it should be, or a label was
                not among those of training.
            RunError: it was not trained yet.
        """
        texts, labels = self._read(x, y)
        return compute_metrics(
            self.task.metrics,
            self._numbers(self.task, labels),
            self._predicted(self._answers(texts)),
        )

    @property
    def task(self) -> TaskSpec:
        """What it was trained for.

        Raises:
            RunError: it was not trained yet.
        """
        return self._trained().head.task

    def save(self, directory: str | os.PathLike) -> None:
        """Saves encoder and head; `bvkeras.load` opens them.

        Args:
            directory: str or path. Appears whole or not at all. A model saved
                there before is replaced.

        Raises:
            ArgumentError: `directory` holds something else.
            RunError: it was not trained yet.
        """
        trained = self._trained()
        directory = pathlib.Path(directory)
        if directory.exists() and not (directory / MODEL_FILE).is_file():
            raise ArgumentError(
                f"directory: {directory} is no saved model, expected a new "
                "folder or one"
            )
        with fileio.atomic_directory(directory) as temporary:
            trained.encoder.save(temporary / "encoder")
            head = temporary / "head"
            head.mkdir()
            trained.model.save(head / "head.keras")
            fileio.write_json(head / "head.json", trained.record)
            fileio.write_json(
                temporary / MODEL_FILE,
                {
                    "format_version": _FORMAT_VERSION,
                    "class": type(self).__name__,
                    **{name: getattr(self, name) for name in _OPTIONS},
                    "settings": self.settings,
                    **self._saved(),
                },
            )

    def export(
        self, directory: str | os.PathLike, dtype: str = "float32"
    ) -> pathlib.Path:
        """Exports a SavedModel: text in, answer out, without bvkeras.

        Args:
            directory: str or path. Gets a new numbered version.
            dtype: str. As `bvkeras.serving.export`.

        Returns:
            Path of the version, for `bvkeras serve`.

        Raises:
            ArgumentError: an argument cannot be used.
            RunError: it was not trained yet.
        """
        trained = self._trained()
        return export(trained.encoder, [trained.served], directory, dtype=dtype)

    def summary(self) -> None:
        """Prints the task, the encoder, and the parameters.

        Raises:
            RunError: it was not trained yet.
        """
        trained = self._trained()
        encoder = trained.encoder.backbone.count_params()
        own = trained.head.parameters
        tuned = encoder if self.encoder_training == "fine_tuned" else 0
        rows = {
            "task": f"{self.name}, {trained.served.kind.value}",
            "labels": self._described_labels(),
            "encoder": f"{trained.encoder.name}, {self.encoder_training}",
            "longest input": f"{trained.served.max_tokens} tokens",
            "trained parameters": f"{own + tuned:,}, of the head {own:,}",
            "total parameters": f"{encoder + own:,}",
        }
        for name, value in rows.items():
            say(f"{name + ':':20} {value}")

    @classmethod
    def open(
        cls, directory: pathlib.Path, record: Mapping[str, Any]
    ) -> "TextTask":
        """What `save` wrote; use `bvkeras.load`.

        Args:
            directory: path.
            record: mapping. What the model's own file says.

        Raises:
            DataError: something in `directory` is damaged.
            KeyError, TypeError: something in `record` is.
        """
        options = {name: record[name] for name in _OPTIONS}
        text = options["text"]
        model = cls(
            directory / "encoder",
            **{**options, "text": text and tuple(text)},
            **{name: record[name] for name in cls._KEPT},
            **record["settings"],
        )
        head = TrainedHead.open(directory / "head")
        model.name = head.task.name
        model._model = _Trained.of(model._as_it_came, head)
        return model

    def _described_labels(self) -> str:
        return ", ".join(self.task.label_names or ("a score",))

    def _saved(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._KEPT}

    def _read(self, x, y) -> tuple[containers.Texts, list]:
        if isinstance(x, tf.data.Dataset) and y is None:
            x, labels = containers.split_dataset(x)
        elif y is None:
            raise ArgumentError("y: expected labels, one a text, got none")
        else:
            labels = containers.read_labels(y, x)
        texts = containers.read_texts(
            x, self.text, y if isinstance(y, str) else None
        )
        if len(labels) != len(texts.columns[0]):
            raise ArgumentError(
                f"y: expected {len(texts.columns[0])} labels, one a text, got "
                f"{len(labels)}"
            )
        return texts, labels

    def _examples(
        self,
        spec: TaskSpec,
        split: str,
        texts: containers.Texts,
        labels: Any,
    ) -> Examples | SpanExamples | TokenExamples:
        """What the steps of training take, of what `_numbers` gives."""
        first, *second = map(tuple, texts.columns)
        return Examples(
            spec.name,
            split,
            tuple(map(str, range(len(first)))),
            first,
            second[0] if second else None,
            labels,
        )

    def _fitting_tokens(self, quantile_95: float) -> int:
        return fitting_tokens(quantile_95)

    def _own_settings(
        self, num_rows: int, max_tokens: int
    ) -> tuple[TaskSettings, TaskSettings]:
        return own_settings(num_rows, max_tokens)

    def _settings(self, texts: containers.Texts, epochs) -> TaskSettings:
        max_tokens = self.max_tokens
        columns = texts.columns
        limit = self._as_it_came.backbone.max_sequence_length
        if max_tokens is None:
            first, *second = [column[:_COUNTED_ROWS] for column in columns]
            if second and self.pairs == APART:
                # Each text has a row of its own.
                first = first + second.pop()
            rows = self._as_it_came.tokenizer.pack(
                first, second[0] if second else None, max_tokens=limit
            )
            lengths = [len(ids) for ids, _ in rows]
            max_tokens = min(
                self._fitting_tokens(float(np.quantile(lengths, 0.95))), limit
            )
        base, small = self._own_settings(len(columns[0]), max_tokens)
        is_small = self._as_it_came.hidden_dim < 768
        settings = small if is_small else base
        if self.pairs == APART:
            settings = settings.replaced(**WEIGHTED_HEAD)
        settings = settings.replaced(seed=self.seed, **self.settings)
        if epochs is None:
            return settings
        if self.encoder_training == "fine_tuned":
            return settings.replaced(epochs=float(epochs))
        if epochs != int(epochs) or epochs < 1:
            raise ArgumentError(
                f"epochs: expected a whole number from 1 up for the head of a "
                f"frozen encoder, got {epochs}"
            )
        return settings.replaced(head_epochs=int(epochs))

    def _weights(self, spec, numbers, sample_weight, class_weight):
        if sample_weight is None and class_weight is None:
            return None
        weights = np.ones(len(numbers), np.float32)
        if sample_weight is not None:
            given = np.asarray(sample_weight, np.float32)
            if given.shape != weights.shape or not (given >= 0).all():
                raise ArgumentError(
                    f"sample_weight: expected {len(weights)} numbers from 0 "
                    f"up, one a text, got shape {given.shape}"
                )
            weights *= given
        if class_weight is not None:
            if spec.label_names is None:
                raise ArgumentError(
                    "class_weight: expected classes, not scores"
                )
            if spec.several_labels:
                raise ArgumentError(
                    "class_weight: expected one class a text, not several "
                    "labels; sample_weight is what an error on a text counts"
                )
            of_class = np.ones(len(spec.label_names), np.float32)
            for label, weight in class_weight.items():
                if str(label) not in spec.label_names:
                    raise ArgumentError(
                        f"class_weight: no class {label!r}, expected some of "
                        f"{', '.join(spec.label_names)}"
                    )
                of_class[spec.label_names.index(str(label))] = weight
            weights *= of_class[numbers]
        return weights

    def _trained_encoder(self, spec, settings, examples, weights, folder):
        if self.encoder_training == "frozen":
            return self._as_it_came
        config = settings.finetune
        encoder = load_backbone(self._preset, dropout=config.dropout)
        snapshot = finetune(
            encoder,
            spec,
            examples,
            folder / "finetune",
            config,
            weights=weights,
        )[0]
        encoder = load_backbone(snapshot.encoder_directory, dropout=0.0)
        encoder.name = self._as_it_came.name
        return encoder

    def _answers(self, x: Any) -> dict[str, np.ndarray]:
        trained = self._trained()
        texts = x
        if not isinstance(x, containers.Texts):
            label = self.task.label_column
            assert isinstance(label, str)
            texts = containers.read_texts(x, self.text, label)
        return trained.texts.predict(*texts.columns)

    def _trained(self) -> "_Trained":
        if self._model is None:
            raise RunError(f"{type(self).__name__}: it was not trained yet")
        return self._model


@dataclasses.dataclass(frozen=True)
class _Trained:
    """An encoder and a head on it, in memory."""

    encoder: Encoder
    head: TrainedHead
    model: keras.Model
    record: dict[str, Any]
    served: ServedTask
    texts: TextModel

    @classmethod
    def of(cls, encoder: Encoder, head: TrainedHead) -> "_Trained":
        """Reads a head; its folder is not needed afterwards."""
        model = head.load_model()
        served = served_task(head, model)
        return cls(
            encoder,
            head,
            model,
            fileio.read_json(head.directory / "head.json"),
            served,
            TextModel.of(encoder, served),
        )


@contextlib.contextmanager
def _directory(directory: str | os.PathLike | None) -> Iterator[pathlib.Path]:
    if directory is not None:
        yield pathlib.Path(directory)
        return
    with tempfile.TemporaryDirectory(prefix="bvkeras-") as folder:
        yield pathlib.Path(folder)
