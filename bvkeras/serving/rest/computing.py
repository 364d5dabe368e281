"""What a batch's thread does: outputs of parts of requests."""

import logging
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bvkeras.serving.rest.job import Outputs, Part
from bvkeras.serving.rest.one_line import graph_reason
from bvkeras.serving.rest.request_error import RequestError

_LOG = logging.getLogger(__name__)


def compute(batch: Sequence[Part]) -> list[Outputs | RequestError]:
    """Outputs of each part, or why there are none.

    Args:
        batch: sequence of Part. With one key.
    """
    if len(batch) > 1:
        try:
            together = _compute_together(batch)
        except tf.errors.InvalidArgumentError:
            # One is at fault: the others shall have their answers.
            together = None
        except Exception as error:
            return [_failed(error)] * len(batch)
        if together is not None:
            return [*together]
    return [_compute(part) for part in batch]


def _compute(part: Part) -> Outputs | RequestError:
    if part.job.is_over:
        return RequestError(504, "nobody waits for an answer")
    try:
        outputs = part.job.version.run(part.signature, part.inputs)
    except tf.errors.InvalidArgumentError as error:
        reason = graph_reason(error.message)
        return RequestError(400, f"the model refuses the inputs: {reason}")
    except Exception as error:
        return _failed(error)
    if part.job.version.splits(part.signature) and not _is_by_row(
        outputs, len(part.rows)
    ):
        return _failed(ValueError(f"{part.signature}: outputs without rows"))
    return outputs


def _failed(error: Exception) -> RequestError:
    _LOG.exception("a batch failed", exc_info=error)
    return RequestError(500, "the server failed to compute an answer")


def _is_by_row(outputs: Outputs, num_rows: int) -> bool:
    return all(
        value.ndim and len(value) == num_rows for value in outputs.values()
    )


def _compute_together(batch: Sequence[Part]) -> list[Outputs] | None:
    """Outputs of each part; None if the outputs cannot be told apart."""
    version, signature = batch[0].job.version, batch[0].signature
    if len({part.signature for part in batch}) > 1:
        # They are of one batch because there is one.
        shared = version.together(signature)
        assert shared is not None
        signature = shared
    inputs = {
        name: np.concatenate([part.inputs[name] for part in batch])
        for name in batch[0].inputs
    }
    outputs = version.run(signature, inputs)
    ends = np.cumsum([len(part.rows) for part in batch])
    if not _is_by_row(outputs, ends[-1]):
        return None
    return [
        version.pick(
            part.signature,
            {
                name: value[end - len(part.rows) : end]
                for name, value in outputs.items()
            },
        )
        for part, end in zip(batch, ends, strict=True)
    ]
