"""The computation of an export: text in, answer out."""

from collections.abc import Sequence

import tensorflow as tf

from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.evaluation.outputs import CHOSEN_FROM
from bvkeras.serving import packing, span_graph
from bvkeras.serving.served_task import ServedTask
from bvkeras.serving.text_graph import TextGraph
from bvkeras.tasks.kind import LABEL_SEPARATOR

_BATCH = {
    name: tf.TensorSpec((None, None), tf.int32)
    for name in ("token_ids", "segment_ids", "padding_mask")
}


class ServedModel:
    """One encoder, its tokenizer and any number of heads, as signatures.

    Args:
        encoder: FastEncoder of all hidden states.
        tokenizer: WordPiece.
        tasks: sequence of ServedTask, with different names.
    """

    def __init__(
        self,
        encoder: FastEncoder,
        tokenizer: WordPiece,
        tasks: Sequence[ServedTask],
    ):
        # Each is traced once, for all signatures.
        self._encoder = tf.function(
            encoder, input_signature=[_BATCH], autograph=False
        )
        self._text_graph = tf.function(TextGraph(tokenizer), autograph=False)
        self._tokenizer = tokenizer
        self._tasks = list(tasks)
        self._heads = {
            task.name: tf.function(task.head, autograph=False) for task in tasks
        }

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """All signatures by name, traced.

        One for each task; `all`, the answers of all tasks, if there are
        several; `serving_default`, the same as the only task's or as `all`;
        `tokens`, all answers from token ids; `hidden_states`.
        """
        traced = {task.name: self.answers(task) for task in self._tasks}
        default = self._tasks[0].name
        if len(self._tasks) > 1:
            default = "all"
            names = dict.fromkeys(
                name for task in self._tasks for name in task.input_names
            )
            traced["all"] = self._traced(self._answers(self._tasks), names)
        traced["serving_default"] = traced[default]
        traced["tokens"] = self._traced(
            self._from_tokens, _BATCH, (None, None), tf.int32
        )
        traced["hidden_states"] = self._traced(
            self._hidden_states, self._tasks[0].input_names
        )
        return traced

    def answers(
        self, task: ServedTask
    ) -> tf.types.experimental.ConcreteFunction:
        """What a task's signature computes, traced alone."""
        return self._traced(self._answers([task]), task.input_names)

    def _traced(self, function, names, shape=(None,), dtype=tf.string):
        specs = {name: tf.TensorSpec(shape, dtype, name) for name in names}
        return tf.function(
            lambda **inputs: function(inputs), autograph=False
        ).get_concrete_function(**specs)

    def _answers(self, tasks):
        """From texts to the answers of some tasks.

        Tasks that take the same texts, cut in the same way, share one pass
        through the encoder.
        """
        together = {}
        for task in tasks:
            together.setdefault(task.encoding, []).append(task)

        def answers(texts):
            outputs = {}
            for group in together.values():
                for task, answer in self._group_answers(group, texts):
                    outputs |= _named(answer, task, len(tasks) > 1)
            return outputs

        return answers

    def _group_answers(self, group, texts):
        batch, places = self._batch(group[0], texts)
        for task, logits in self._logits(group, batch):
            if not task.is_span:
                yield task, _label_answer(task, logits)
                continue
            windows, pieces, num_questions = places
            span = span_graph.best_spans(
                logits, windows, pieces.offsets, num_questions
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
            yield task, {"answer": text, **span}

    def _logits(self, tasks, batch):
        """Each task with its logits, of one pass through the encoder."""
        states, stacked = self._encoder(batch), {}
        for task in tasks:
            # One copy for all heads, and in each a few large operations.
            if task.layers not in stacked:
                chosen = [states[i] for i in task.layers]
                stacked[task.layers] = tf.stack(chosen, axis=2)
            yield task, self._heads[task.name](stacked[task.layers], batch)

    def _batch(self, task, texts):
        """Token ids for the encoder, and of spans where they come from."""
        first = texts[task.input_names[0]]
        num_rows = tf.shape(first)[0]
        if not task.is_span and task.num_texts == 1:
            pieces = self._text_graph(first)
            rows = packing.Rows(pieces.row_splits[:-1], pieces.lengths)
            rows = packing.truncated(rows, task.max_tokens)
            return packing.pack(pieces.ids, rows, self._tokenizer), None
        second = texts[task.input_names[1]]
        check = tf.debugging.Assert(
            tf.equal(num_rows, tf.shape(second)[0]),
            [f"{' and '.join(task.input_names)}: expected as many of both"],
        )
        with tf.control_dependencies([check]):
            both = tf.concat([first, second], 0)
        pieces = self._text_graph(both, offsets=task.is_span)
        if task.is_span:
            windows = span_graph.make_windows(
                pieces, num_rows, task.max_tokens, task.windows
            )
            batch = packing.pack(pieces.ids, windows.rows, self._tokenizer)
            return batch, (windows, pieces, num_rows)
        begins, lengths = pieces.row_splits[:-1], pieces.lengths
        rows = packing.Rows(
            *(begins[:num_rows], lengths[:num_rows]),
            *(begins[num_rows:], lengths[num_rows:]),
        )
        rows = packing.truncated(rows, task.max_tokens)
        return packing.pack(pieces.ids, rows, self._tokenizer), None

    def _from_tokens(self, batch):
        outputs = {}
        for task, logits in self._logits(self._tasks, batch):
            if task.is_span:
                answer = {
                    "start_logits": logits[:, :, 0],
                    "end_logits": logits[:, :, 1],
                }
            else:
                answer = _label_answer(task, logits)
            outputs |= _named(answer, task, len(self._tasks) > 1)
        return outputs

    def _hidden_states(self, texts):
        batch, places = self._batch(self._tasks[0], texts)
        rows = tf.range(tf.shape(batch["token_ids"])[0])
        return {
            "hidden_states": tf.stack(self._encoder(batch), axis=2),
            "row": rows if places is None else places[0].questions,
            **batch,
        }


def _label_answer(task, logits):
    """A label with its probability, several, or a regression's score."""
    if task.label_names is None:
        return {"score": logits[:, 0]}
    if task.several_labels:
        probabilities = tf.sigmoid(logits)
        return {
            "labels": _joined(task.label_names, probabilities >= CHOSEN_FROM),
            "probabilities": probabilities,
        }
    probabilities = tf.nn.softmax(logits)
    index = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return {
        "label": tf.gather(tf.constant(task.label_names), index),
        "label_index": index,
        "probabilities": probabilities,
        "score": tf.reduce_max(probabilities, axis=-1),
    }


def _joined(names, chosen):
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


def _named(answer, task, with_task):
    """An answer's outputs, under the task's name where there are several."""
    if not with_task:
        return answer
    return {f"{task.name}/{name}": value for name, value in answer.items()}
