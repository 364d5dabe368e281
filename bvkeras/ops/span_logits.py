"""Logits of an answer's start and end, where there can be one at all.

A window is `[CLS] question [SEP] context [SEP] padding`. An answer lies in
the context; [CLS] stands for no answer. Everywhere else a logit is replaced
by `MASKED_LOGIT`, which softmax turns into zero, in the loss too, and which no
search for the best span takes.
"""

from typing import Any

import keras
import numpy as np

# Half of the lowest number, so that the sum of a start and an end is one too;
# minus infinity would make NaN of a softmax over nothing else.
MASKED_LOGIT = float(np.finfo(np.float32).min / 2)


def answer_positions(segment_ids: Any) -> Any:
    """Where an answer can start and end.

    Args:
        segment_ids: int tensor `(batch, tokens)`, 1 at the context and the
            [SEP] after it, 0 before and at padding.

    Returns:
        bool tensor `(batch, tokens)`, true at [CLS] and in the context.
    """
    ops = keras.ops
    # The last of the second segment is its [SEP].
    following = ops.pad(segment_ids[:, 1:], ((0, 0), (0, 1)))
    in_context = ops.logical_and(segment_ids > 0, following > 0)
    # `==` of symbolic tensors compares the objects.
    is_first = ops.equal(ops.cumsum(ops.ones_like(segment_ids), axis=1), 1)
    return ops.logical_or(in_context, is_first)


def masked_logits(logits: Any, positions: Any) -> Any:
    """Logits with `MASKED_LOGIT` where there can be no answer.

    Args:
        logits: float tensor `(batch, tokens, 2)`.
        positions: bool tensor `(batch, tokens)`, true where there can be.

    Returns:
        Tensor `(batch, tokens, 2)`; no gradient flows through what is masked.
    """
    positions = keras.ops.expand_dims(positions, -1)
    return keras.ops.where(positions, logits, MASKED_LOGIT)
