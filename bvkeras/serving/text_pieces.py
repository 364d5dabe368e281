"""Texts to pieces for a served model, whatever its tokenizer is."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.serving.text_graph import Pieces, TextGraph

# Takes a string tensor `(texts,)`, and whether offsets are wanted.
TextPieces = Callable[..., Pieces]


def text_pieces(tokenizer: Tokenizer) -> TextPieces:
    """What takes texts apart: a graph, or Python where there is no graph.

    Args:
        tokenizer: Tokenizer. Of a `WordPiece` a graph, which can be exported;
            of any other a call of the tokenizer, in this process alone.
    """
    if isinstance(tokenizer, WordPiece):
        return TextGraph(tokenizer)

    def apart(texts: np.ndarray) -> tuple[np.ndarray, ...]:
        decoded = [text.decode("utf-8", "replace") for text in texts]
        words = tokenizer.encode_words(decoded)
        splits = np.cumsum([0, *(len(text.ids) for text in words)])
        return (
            np.concatenate([[], *(text.ids for text in words)]).astype("int32"),
            splits.astype("int32"),
            np.concatenate(
                [np.zeros((0, 2)), *(text.offsets for text in words)]
            ).astype("int32"),
            np.concatenate([[], *(text.continued for text in words)]) > 0,
        )

    def pieces(texts: tf.Tensor, offsets: bool = False) -> Pieces:
        types = (tf.int32, tf.int32, tf.int32, tf.bool)
        ids, splits, places, continued = tf.numpy_function(
            apart, [tf.convert_to_tensor(texts)], types
        )
        ids.set_shape([None])
        splits.set_shape([None])
        places.set_shape([None, 2])
        continued.set_shape([None])
        if not offsets:
            return Pieces(ids, splits)
        return Pieces(ids, splits, places, continued)

    return pieces
