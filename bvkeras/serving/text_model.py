"""Text in, answer out, in this process: the class `TextModel`."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bvkeras.data.token_batches import token_budget_batches
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.inference import inference_encoder
from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.tokens.entity_metrics import learned_scheme
from bvkeras.serving import layout, loading
from bvkeras.serving.inspection import inspect
from bvkeras.serving.native_signatures import native_signatures
from bvkeras.serving.ragged_rows import join_rows
from bvkeras.serving.runs import open_run
from bvkeras.serving.served_model import ServedModel
from bvkeras.serving.served_task import ServedTask
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.tag_scheme import TagScheme

# What a batch may hold, padding included. A token of English text has about
# four characters; too low a guess only makes batches smaller.
_BATCH_TOKENS = 4096
_CHARACTERS_A_TOKEN = 4


class TextModel:
    """One task's answers to texts, from a run, a saved model or an export.

    It computes what the export of the same head computes.

    Attributes:
        name: str. The task's.
        kind: str. `"classification"`, `"multilabel"`, `"regression"`,
            `"span"` or `"tokens"`.
        input_names: tuple of str. What `predict` takes: `text`, or `text` and
            `text_b`, or `question` and `context`.
        label_names: tuple of str, or None. Names of the classes or labels.
        max_tokens: int. Longer texts are cut.
        text_columns: tuple of str. Columns of the table it was trained on; of
            an export, `input_names`.
        tag_scheme: TagScheme, or None. Of tags: how those of the table it was
            trained on mark entities; of an export, how models learn them.

    Example:
        model = TextModel.open("runs/reviews")
        model.predict(["a joy from start to end"])["label"]
    """

    def __init__(
        self,
        name: str,
        description: dict[str, Any],
        answer: Callable[..., dict[str, tf.Tensor]],
        text_columns: Sequence[str] | None = None,
        tag_scheme: TagScheme | None = None,
    ):
        self.name = name
        self.kind: str = description["kind"]
        self.input_names = tuple(description["inputs"])
        names = description["label_names"]
        self.label_names = None if names is None else tuple(names)
        self.max_tokens: int = description["max_tokens"]
        self.text_columns = tuple(text_columns or self.input_names)
        if tag_scheme is None and self.kind == Kind.TOKENS.value:
            tag_scheme = learned_scheme(self.label_names)
        self.tag_scheme = tag_scheme
        self._answer = answer

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        task: ServedTask,
        dtype: str = "float32",
        text_columns: Sequence[str] | None = None,
        tag_scheme: TagScheme | None = None,
    ) -> "TextModel":
        """A model of an encoder and a head on it.

        Args:
            encoder: Encoder.
            task: ServedTask. Its head was trained on this encoder.
            dtype: str. What the encoder computes in, `"float32"` or
                `"bfloat16"`. Defaults to `"float32"`.
            text_columns: sequence of str, or None. As the attribute.
            tag_scheme: TagScheme, or None. As the attribute.
        """
        forward = inference_encoder(encoder.backbone, compute_dtype=dtype)
        model = ServedModel(forward, encoder.tokenizer, [task])
        description = task.describe(encoder.backbone.count_params())
        answer = model.answers(task)
        return cls(task.name, description, answer, text_columns, tag_scheme)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike,
        *,
        task: str | None = None,
        system: str = "head",
        epochs: float | None = None,
        encoder: str | os.PathLike | None = None,
        dtype: str = "float32",
    ) -> "TextModel":
        """Opens a run, a saved model, a head, a snapshot, or an export.

        Args:
            path: str or path. What `bvkeras run`, `finetune`, `train`,
                `export` or `save` of a classifier wrote.
            task: str, or None. Which of an export's; not needed if there is
                one.
            system: str. As `bvkeras.serving.export_runs`. Defaults to
                `"head"`.
            epochs: float, or None. As there.
            encoder: str, path or None. As there.
            dtype: str. As `of`; an export has its own.

        Raises:
            ArgumentError: an argument does not fit.
            DataError: there is nothing to open, or it is damaged; or an
                export that `bvkeras inspect` warns of.
        """
        path = pathlib.Path(path)
        if (path / layout.GRAPH).is_file() or layout.versions(path):
            return cls._of_export(path, task)
        served, opened, spec = open_run(path, system, epochs, encoder)
        if task not in (None, served.name):
            raise ArgumentError(
                f"task: {path} answers {served.name}, not {task}"
            )
        return cls.of(opened, served, dtype, spec.text_columns, spec.tag_scheme)

    @classmethod
    def _of_export(cls, path: pathlib.Path, task: str | None) -> "TextModel":
        version = layout.version_directory(path)
        inspection = inspect(version)
        if inspection.unusual:
            raise DataError(
                f"{version} has {len(inspection.unusual)} unusual parts; see "
                f"bvkeras inspect {version}"
            )
        tasks = layout.read_description(version)["tasks"]
        if task is None and len(tasks) == 1:
            task = next(iter(tasks))
        if task is None or task not in tasks:
            raise ArgumentError(
                f"task: {version} has {', '.join(tasks)}, got {task}"
            )
        loaded = loading.load(version)
        native = native_signatures(inspection, loaded.signatures)
        if native is not None:
            return cls(task, tasks[task], native[task])

        def answer(**texts):
            # By way of what was loaded: its weights live as long as that.
            return loaded.signatures[task](**texts)

        return cls(task, tasks[task], answer)

    def predict(self, *texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Answers texts, in their order.

        Args:
            *texts: sequences of str, one for each of `input_names`, of one
                length.

        Returns:
            dict of arrays with one row a text. Of classes `label` (str),
            `label_index`, `probabilities` `(rows, classes)` and `score`, the
            highest of them; of several labels a text `labels` (str, those of
            one half or more, `|` between) and `probabilities`
            `(rows, labels)`, each by itself; of regression `score`; of spans
            `answer` (str), `start`, `end` (characters of the context),
            `score` and `no_answer_probability`; of tags `entity` and `type`
            (str), `start`, `end` (characters of the text) and `score`, each
            `(rows, entities)`, with `start` -1 after a text's last.

        Raises:
            ArgumentError: another number of texts, of different lengths, or
                something that is no str; names the row.
        """
        if len(texts) != len(self.input_names):
            raise ArgumentError(
                f"texts: {self.name} takes {' and '.join(self.input_names)}, "
                f"got {len(texts)} of them"
            )
        columns = [list(column) for column in texts]
        count = len(columns[0])
        for name, column in zip(self.input_names, columns, strict=True):
            if len(column) != count:
                raise ArgumentError(
                    f"{name}: expected {count} texts, got {len(column)}"
                )
            for row, text in enumerate(column):
                if not isinstance(text, str):
                    raise ArgumentError(
                        f"{name}: row {row} is {type(text).__name__}, "
                        "expected str"
                    )
        # An empty batch gives the answer's types and shapes.
        batches = [np.zeros(0, np.int64)]
        if count:
            characters = np.sum([[len(t) for t in c] for c in columns], axis=0)
            batches = token_budget_batches(
                np.minimum(
                    characters // _CHARACTERS_A_TOKEN + 3, self.max_tokens
                ),
                _BATCH_TOKENS,
            )
        answers: dict[str, list] = {}
        for rows in batches:
            inputs = {
                name: tf.constant([column[row] for row in rows], tf.string)
                for name, column in zip(self.input_names, columns, strict=True)
            }
            for name, values in self._answer(**inputs).items():
                answers.setdefault(name, []).append(values.numpy())
        order = np.argsort(np.concatenate(batches), kind="stable")
        return {
            name: _texts(join_rows(values)[order])
            for name, values in answers.items()
        }


def _texts(values: np.ndarray) -> np.ndarray:
    """Bytes as str; numbers as they are."""
    if values.dtype != object:
        return values
    texts = [value.decode("utf-8") for value in values.ravel()]
    return np.array(texts, object).reshape(values.shape)
