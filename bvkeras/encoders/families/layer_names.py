"""What the tensors of a transformer layer are called in a checkpoint."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class LayerNames:
    """Names after a layer's prefix, without `.weight` and `.bias`.

    Attributes:
        query, key, value: str. What attention makes of its input.
        attention_output: str. After attention's heads.
        attention_norm: str. LayerNorm after attention.
        intermediate, output: str. The feed-forward network.
        output_norm: str. LayerNorm after it.
    """

    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"
