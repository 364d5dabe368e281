"""Counts a request's tokens before anything is computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras.data.token_windows import window_steps
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.serving.rest.request_size import RequestSize
from bvkeras.serving.rest.token_ids import TokenIds
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.pairs import APART


class TokenCounter:
    """Tokens of a request, as the graph of an export will cut and pad it.

    The graph's own counts are known only once it has run, and by then its
    memory is taken.

    Args:
        tasks: dict of name to a description of `ServedTask.describe`. Empty
            for a graph that bvkeras did not write. Defaults to none.
        tokenizer: Tokenizer, or None. The export's; with `tasks`.
        encoder: dict, or None. The encoder's sizes; with `tasks`.
    """

    def __init__(
        self,
        tasks: Mapping[str, Mapping[str, Any]] | None = None,
        tokenizer: Tokenizer | None = None,
        encoder: Mapping[str, Any] | None = None,
    ):
        self._tokenizer = tokenizer
        tasks = tasks or {}
        self._ids = None
        if tasks:
            heads = [task.get("head") or {} for task in tasks.values()]
            self._ids = TokenIds.of(encoder or {}, heads)
        own = {name: [_encoding(task)] for name, task in tasks.items()}
        # Tasks that are alike in it share a pass.
        every = list(dict.fromkeys(one for [one] in own.values()))
        self._encodings = {
            **own,
            **{"all": every, "serving_default": every},
            # Is asked with the first task's texts.
            "hidden_states": every[:1],
        }

    def count(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> RequestSize:
        """Tokens of a request; of an unknown graph's texts, their bytes.

        Args:
            signature: str.
            inputs: dict of name to an array whose first axis is rows; texts
                are bytes in UTF-8.

        Raises:
            RequestError: there are token ids that the encoder has not, or
                more of them in a row than it takes.
        """
        encodings = self._encodings.get(signature)
        if encodings:
            return self._count_texts(encodings, inputs)
        if self._ids is not None and signature == "tokens":
            self._ids.check(inputs)
        return RequestSize.of_lengths(
            np.max([_lengths(array) for array in inputs.values()], axis=0)
        )

    def _count_texts(self, encodings, inputs) -> RequestSize:
        pieces = {
            name: self._num_pieces(inputs[name])
            for name in {name for names, *_ in encodings for name in names}
        }
        sizes = [
            self._sizes([pieces[name] for name in names], *how)
            for names, *how in encodings
        ]
        counts, lengths = zip(*sizes, strict=True)
        return RequestSize(np.stack(counts), np.stack(lengths))

    def _num_pieces(self, texts: np.ndarray) -> np.ndarray:
        assert self._tokenizer is not None
        ids = self._tokenizer.encode([text.decode("utf-8") for text in texts])
        return np.array([len(one) for one in ids])

    def _sizes(
        self,
        pieces: Sequence[np.ndarray],
        max_tokens: int,
        windows: tuple[int, int] | None,
        in_windows: bool,
        is_apart: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of each row, and tokens of its longest."""
        assert self._tokenizer is not None
        count = self._tokenizer.special_tokens.count
        if in_windows:
            room = max_tokens - count(1)
            overlap, stride = window_steps(room)
            counts = (np.maximum(pieces[0] - overlap, 1) + stride - 1) // stride
            return counts, np.minimum(pieces[0], room) + count(1)
        if is_apart:
            # Each text is a sequence of its own.
            lengths = np.minimum(np.max(pieces, axis=0) + count(1), max_tokens)
            return np.full_like(lengths, len(pieces)), lengths
        if windows is None:
            lengths = np.minimum(sum(pieces) + count(len(pieces)), max_tokens)
            return np.ones_like(lengths), lengths
        stride, question_tokens = windows
        question, context = pieces
        question = np.minimum(question, question_tokens)
        # The graph refuses a question that leaves no room.
        room = np.maximum(max_tokens - count(2) - question, 2)
        stride = np.minimum(stride, room // 2)
        # As `span_graph.make_windows` has it.
        counts = (np.maximum(context - room, 0) + stride - 1) // stride + 1
        lengths = question + np.minimum(context, room) + count(2)
        return counts, lengths


def _encoding(task: Mapping[str, Any]) -> tuple:
    numbers, windows = [task["max_tokens"]], task["windows"]
    if windows is not None:
        windows = (windows["stride"], windows["question_tokens"])
        numbers += windows
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError(f"received {numbers}, expected positive integers")
    return (
        *(tuple(task["inputs"]), task["max_tokens"], windows),
        Kind(task["kind"]).traits.in_windows,
        task["pairs"] == APART,
    )


def _lengths(array: np.ndarray) -> np.ndarray:
    """What stands for the tokens of each row of an input."""
    rows = array.reshape(len(array), -1)
    if array.dtype == object:
        return np.array([sum(map(len, row)) for row in rows])
    # Numbers with a fraction are no tokens.
    per_row = rows.shape[1] if array.dtype.kind in "iu" else 1
    return np.full(len(rows), per_row)
