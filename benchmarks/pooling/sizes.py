"""Sizes that are timed; nothing here needs TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a step.

    Attributes:
        batch: int.
        tokens: int. Of each example.
        layers: int.
        features: int. Of a layer's hidden state.
        units: int. Of the pooling.
        outputs: int. Logits of a token.
        per_position: bool. A head on sentences, with weights for each
            position; otherwise one on spans, with weights all tokens share.
    """

    batch: int
    tokens: int
    layers: int
    features: int
    units: int
    outputs: int = 2
    per_position: bool = True

    def __str__(self) -> str:
        return (
            f"B{self.batch} T{self.tokens} L{self.layers} E{self.features} "
            f"units {self.units}"
        )

    @property
    def hidden_numbers(self) -> int:
        """Numbers in the hidden states."""
        return self.batch * self.tokens * self.layers * self.features

    @property
    def step_flops(self) -> int:
        """Of the two products, forward and of dW; nothing twice."""
        return 2 * 2 * self.hidden_numbers * self.units


SHAPES = (
    Shape(16, 128, 13, 768, 16),
    Shape(16, 128, 13, 768, 64),
    Shape(16, 128, 7, 384, 16),
    Shape(4, 384, 13, 768, 384, per_position=False),
)
# As many numbers as the first two shapes have, in wider rows.
WIDE_SHAPES = (
    Shape(16, 96, 13, 1024, 16),
    Shape(16, 96, 13, 1024, 64),
)
MEMORY_SHAPE = Shape(16, 384, 13, 768, 384, per_position=False)
