"""The computation of an export: text in, answer out."""

from collections.abc import Sequence

import tensorflow as tf

from bvkeras.encoders.inference import InferenceEncoder
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.ops.text_pairs import join_pairs, pair_mask, split_pairs
from bvkeras.serving.kinds import kind_of
from bvkeras.serving.served_task import ServedTask
from bvkeras.serving.text_pieces import text_pieces

_BATCH = {
    name: tf.TensorSpec((None, None), tf.int32)
    for name in ("token_ids", "segment_ids", "padding_mask")
}


class ServedModel:
    """One encoder, its tokenizer and any number of heads, as signatures.

    Args:
        encoder: FastEncoder or KerasEncoder, of all hidden states.
        tokenizer: Tokenizer.
        tasks: sequence of ServedTask, with different names.
    """

    def __init__(
        self,
        encoder: InferenceEncoder,
        tokenizer: Tokenizer,
        tasks: Sequence[ServedTask],
    ):
        # Each is traced once, for all signatures.
        self._encoder = tf.function(
            encoder, input_signature=[_BATCH], autograph=False
        )
        self._text_graph = tf.function(text_pieces(tokenizer), autograph=False)
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
            kind = kind_of(task.kind)
            yield task, kind.answer(task, logits, texts, places)

    def _logits(self, tasks, batch):
        """Each task with its logits, of one pass through the encoder.

        Of tasks that read pairs apart, and others, one pass each.
        """
        passes = {}
        for task in tasks:
            if task.is_apart not in passes:
                encode = self._encode_apart if task.is_apart else self._encode
                passes[task.is_apart] = (*encode(batch), {})
            states, mask, stacked = passes[task.is_apart]
            # One copy for all heads, and in each a few large operations.
            if task.layers not in stacked:
                chosen = [states[i] for i in task.layers]
                stacked[task.layers] = tf.stack(chosen, axis=2)
            positions = mask
            if positions is None:
                positions = kind_of(task.kind).positions(batch)
            yield task, self._heads[task.name](stacked[task.layers], positions)

    def _encode(self, batch):
        """The hidden states of rows; which tokens count, the kind says."""
        return self._encoder(batch), None

    def _encode_apart(self, batch):
        """The hidden states of pairs read apart, and whose tokens they are."""
        rows = split_pairs(batch)
        states = [join_pairs(state) for state in self._encoder(rows)]
        return states, pair_mask(rows["padding_mask"])

    def _batch(self, task, texts):
        """Token ids for the encoder, and where they come from."""
        return kind_of(task.kind).batch(
            task, texts, self._text_graph, self._tokenizer
        )

    def _from_tokens(self, batch):
        outputs = {}
        for task, logits in self._logits(self._tasks, batch):
            answer = kind_of(task.kind).token_answer(task, logits)
            outputs |= _named(answer, task, len(self._tasks) > 1)
        return outputs

    def _hidden_states(self, texts):
        task = self._tasks[0]
        batch, places = self._batch(task, texts)
        row = kind_of(task.kind).rows(batch, places)
        if task.is_apart:
            # All first texts, then all second ones.
            batch, row = split_pairs(batch), tf.tile(row, [2])
        return {
            "hidden_states": tf.stack(self._encoder(batch), axis=2),
            "row": row,
            **batch,
        }


def _named(answer, task, with_task):
    """An answer's outputs, under the task's name where there are several."""
    if not with_task:
        return answer
    return {f"{task.name}/{name}": value for name, value in answer.items()}
