"""How each kind of task is served: `kind_of` finds the object."""

import abc
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.evaluation.outputs import CHOSEN_FROM
from bvkeras.ops.span_logits import answer_positions
from bvkeras.serving import packing, span_graph, token_graph
from bvkeras.serving.text_pieces import TextPieces
from bvkeras.tasks.kind import LABEL_SEPARATOR, Kind

if TYPE_CHECKING:
    from bvkeras.serving.served_task import ServedTask

Tensors = dict[str, tf.Tensor]


class ServedKind(abc.ABC):
    """What an export computes for a kind of task, before and after its head.

    Attributes:
        heads: tuple of str. Names of the heads that a description may have.
        columns: tuple of str. Outputs that are columns of a table of answers,
            before the probabilities.
        ragged: tuple of str. Outputs with several values a text, `"start"`
            among them, which is `token_graph.NO_PLACE` after the last of a
            text with fewer than others.
    """

    heads: tuple[str, ...]
    columns: tuple[str, ...]
    ragged: tuple[str, ...] = ()

    @abc.abstractmethod
    def batch(
        self,
        task: "ServedTask",
        texts: Tensors,
        text_graph: TextPieces,
        tokenizer: Tokenizer,
    ) -> tuple[Tensors, Any]:
        """Token ids for the encoder, and where they come from.

        Args:
            task: ServedTask.
            texts: dict of input name to its string tensor `(rows,)`.
            text_graph: TextPieces, or the same as a `tf.function`.
            tokenizer: Tokenizer.

        Returns:
            What the encoder is given, and what `answer` and `rows` need
            besides.
        """

    @abc.abstractmethod
    def rows(self, batch: Tensors, places: Any) -> tf.Tensor:
        """Which of the texts each row of a batch is of, int32 `(batch,)`."""

    @abc.abstractmethod
    def positions(self, batch: Tensors) -> tf.Tensor:
        """The tokens a head reads, or gives outputs for: its mask.

        Args:
            batch: dict. What the encoder is given.

        Returns:
            bool tensor `(batch, tokens)`.
        """

    @abc.abstractmethod
    def answer(
        self, task: "ServedTask", logits: tf.Tensor, texts: Tensors, places: Any
    ) -> Tensors:
        """What a client is told of its texts, by the names of outputs."""

    @abc.abstractmethod
    def token_answer(self, task: "ServedTask", logits: tf.Tensor) -> Tensors:
        """What a client is told that gave token ids."""


class ServedTexts(ServedKind):
    """One answer a text, or a pair of them."""

    heads = (
        *("EncoderHead", "PoolingClassifier", "PoolingRegressor"),
        *("LinearProbe", "WeightedProbe"),
    )

    def batch(
        self,
        task: "ServedTask",
        texts: Tensors,
        text_graph: TextPieces,
        tokenizer: Tokenizer,
    ) -> tuple[Tensors, Any]:
        if task.num_texts == 1:
            pieces = text_graph(texts[task.input_names[0]])
            rows = packing.Rows(pieces.row_splits[:-1], pieces.lengths)
        else:
            both, num_rows = _both_texts(task, texts)
            pieces = text_graph(both, offsets=False)
            begins, lengths = pieces.row_splits[:-1], pieces.lengths
            rows = packing.Rows(
                *(begins[:num_rows], lengths[:num_rows]),
                *(begins[num_rows:], lengths[num_rows:]),
            )
        rows = packing.truncated(
            rows, task.max_tokens, tokenizer.special_tokens, task.is_apart
        )
        return packing.pack(pieces.ids, rows, tokenizer, task.is_apart), None

    def rows(self, batch: Tensors, places: Any) -> tf.Tensor:
        return tf.range(tf.shape(batch["token_ids"])[0])

    def positions(self, batch: Tensors) -> tf.Tensor:
        return tf.cast(batch["padding_mask"], tf.bool)

    def answer(
        self, task: "ServedTask", logits: tf.Tensor, texts: Tensors, places: Any
    ) -> Tensors:
        return self.token_answer(task, logits)


class ServedClasses(ServedTexts):
    """A class with its probability, and those of the others."""

    columns = ("label", "score")

    def token_answer(self, task: "ServedTask", logits: tf.Tensor) -> Tensors:
        probabilities = tf.nn.softmax(logits)
        index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return {
            "label": tf.gather(tf.constant(task.label_names), index),
            "label_index": index,
            "probabilities": probabilities,
            "score": tf.reduce_max(probabilities, axis=-1),
        }


class ServedLabels(ServedTexts):
    """All labels that are as likely as not, or more."""

    columns = ("labels",)

    def token_answer(self, task: "ServedTask", logits: tf.Tensor) -> Tensors:
        probabilities = tf.sigmoid(logits)
        return {
            "labels": _joined(
                task.label_names or (), probabilities >= CHOSEN_FROM
            ),
            "probabilities": probabilities,
        }


class ServedScores(ServedTexts):
    """A score."""

    columns = ("score",)

    def token_answer(self, task: "ServedTask", logits: tf.Tensor) -> Tensors:
        return {"score": logits[:, 0]}


class ServedSpans(ServedKind):
    """The best span of a context, over all its windows, or no answer."""

    heads = ("EncoderHead", "PoolingSpanModel")
    columns = ("answer", "start", "end", "no_answer_probability")

    def batch(
        self,
        task: "ServedTask",
        texts: Tensors,
        text_graph: TextPieces,
        tokenizer: Tokenizer,
    ) -> tuple[Tensors, Any]:
        both, num_rows = _both_texts(task, texts)
        pieces = text_graph(both, offsets=True)
        assert task.windows is not None
        windows = span_graph.make_windows(
            pieces,
            num_rows,
            task.max_tokens,
            task.windows,
            tokenizer.special_tokens,
        )
        batch = packing.pack(pieces.ids, windows.rows, tokenizer)
        special_tokens = tokenizer.special_tokens
        return batch, (windows, pieces, num_rows, special_tokens)

    def rows(self, batch: Tensors, places: Any) -> tf.Tensor:
        return places[0].questions

    def positions(self, batch: Tensors) -> tf.Tensor:
        return answer_positions(batch["segment_ids"])

    def answer(
        self, task: "ServedTask", logits: tf.Tensor, texts: Tensors, places: Any
    ) -> Tensors:
        windows, pieces, num_questions, special_tokens = places
        span = span_graph.best_spans(
            logits, windows, pieces.offsets, num_questions, special_tokens
        )
        # Read as the tokenizer reads it, whatever bytes they are.
        context = tf.strings.unicode_transcode(
            texts["context"], "UTF-8", "UTF-8", errors="replace"
        )
        text = tf.strings.substr(
            context,
            span["start"],
            span["end"] - span["start"],
            unit="UTF8_CHAR",
        )
        return {"answer": text, **span}

    def token_answer(self, task: "ServedTask", logits: tf.Tensor) -> Tensors:
        return {
            "start_logits": logits[:, :, 0],
            "end_logits": logits[:, :, 1],
        }


class ServedTokens(ServedKind):
    """The entities of a text, over all its windows."""

    heads = ("EncoderHead", "PoolingTagger")
    columns = ()
    ragged = ("entity", "type", "start", "end", "score")

    def batch(
        self,
        task: "ServedTask",
        texts: Tensors,
        text_graph: TextPieces,
        tokenizer: Tokenizer,
    ) -> tuple[Tensors, Any]:
        pieces = text_graph(texts["text"], offsets=True)
        windows = token_graph.make_windows(
            pieces, task.max_tokens, tokenizer.special_tokens
        )
        batch = packing.pack(pieces.ids, windows.rows, tokenizer)
        return batch, (windows, pieces, tokenizer)

    def rows(self, batch: Tensors, places: Any) -> tf.Tensor:
        return places[0].texts

    def positions(self, batch: Tensors) -> tf.Tensor:
        return tf.cast(batch["padding_mask"], tf.bool)

    def answer(
        self, task: "ServedTask", logits: tf.Tensor, texts: Tensors, places: Any
    ) -> Tensors:
        windows, pieces, tokenizer = places
        words = token_graph.find_words(
            logits, windows, pieces, tokenizer, task.max_tokens
        )
        return token_graph.find_entities(
            words, texts["text"], task.label_names or ()
        )

    def token_answer(self, task: "ServedTask", logits: tf.Tensor) -> Tensors:
        return {"logits": logits}


def _both_texts(
    task: "ServedTask", texts: Tensors
) -> tuple[tf.Tensor, tf.Tensor]:
    """All first texts and then all second ones; and how many of each."""
    first, second = (texts[name] for name in task.input_names)
    num_rows = tf.shape(first)[0]
    check = tf.debugging.Assert(
        tf.equal(num_rows, tf.shape(second)[0]),
        [f"{' and '.join(task.input_names)}: expected as many of both"],
    )
    with tf.control_dependencies([check]):
        return tf.concat([first, second], 0), num_rows


def _joined(names: tuple[str, ...], chosen: tf.Tensor) -> tf.Tensor:
    """The names of each row's labels, with a separator between."""
    earlier = tf.cumsum(tf.cast(chosen, tf.int32), axis=1, exclusive=True) > 0
    parts = tf.where(
        chosen,
        tf.where(
            earlier,
            tf.constant([LABEL_SEPARATOR + name for name in names]),
            tf.constant(names),
        ),
        "",
    )
    return tf.strings.reduce_join(parts, axis=1)


_KINDS: dict[Kind, ServedKind] = {
    Kind.CLASSES: ServedClasses(),
    Kind.LABELS: ServedLabels(),
    Kind.SCORE: ServedScores(),
    Kind.SPAN: ServedSpans(),
    Kind.TOKENS: ServedTokens(),
}


def kind_of(kind: Kind) -> ServedKind:
    """How tasks of a kind are served."""
    return _KINDS[kind]
