"""Token ids that clients send, held against the encoder's sizes."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bvkeras.serving.rest.request_error import RequestError


@dataclasses.dataclass(frozen=True)
class TokenIds:
    """What the signature `tokens` can be asked.

    A graph says the same in terms of its operations, on a CPU; on a GPU an id
    out of range is embedded as zeros.

    Attributes:
        bounds: dict of input name to the number of values it has.
        max_tokens: int. Most tokens of a row.
    """

    bounds: Mapping[str, int]
    max_tokens: int

    @classmethod
    def of(
        cls, encoder: Mapping[str, Any], heads: Iterable[Mapping[str, Any]]
    ) -> "TokenIds":
        """What an encoder and heads of some sizes can be asked.

        Args:
            encoder: dict of the names of `Encoder.config()`.
            heads: iterable of dict. `ServedHead.config` of each.
        """
        lengths = [encoder["max_sequence_length"]]
        lengths += [head.get("sequence_length") for head in heads]
        return cls(
            {
                "token_ids": int(encoder["vocabulary_size"]),
                # One that reads none is given those of two texts.
                "segment_ids": int(encoder.get("num_segments", 2)),
            },
            min(int(length) for length in lengths if length is not None),
        )

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Looks at the inputs of a request.

        Args:
            inputs: dict of name to int array `(rows, tokens)`.

        Raises:
            RequestError: an id is out of range, a row is too long, or the
                inputs differ in shape.
        """
        shapes = {name: array.shape for name, array in inputs.items()}
        if len(set(shapes.values())) > 1:
            received = ", ".join(
                f"{name} {list(shape)}" for name, shape in shapes.items()
            )
            raise RequestError(
                400, f"inputs: expected one shape, received {received}"
            )
        num_tokens = next(iter(shapes.values()))[1]
        if num_tokens > self.max_tokens:
            raise RequestError(
                400,
                f"token_ids: received {num_tokens} tokens a row, expected "
                f"at most {self.max_tokens}: what encoder and heads take",
            )
        for name, bound in self.bounds.items():
            array = inputs[name]
            wrong = np.argwhere((array < 0) | (array >= bound))
            if len(wrong):
                row, place = wrong[0]
                raise RequestError(
                    400,
                    f"{name} of row {row}: received {array[row, place]}, "
                    f"expected 0 to {bound - 1}",
                )
