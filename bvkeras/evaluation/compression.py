"""Compression: how many times fewer parameters are trained."""

from bvkeras.errors import ArgumentError


def compression(encoder_parameters: int, trained_parameters: int) -> float:
    """How many times fewer parameters are trained than the encoder has.

    This compares what is trained and kept for a task. The encoder still runs
    to make the hidden states, so serving needs encoder and head together.

    Args:
        encoder_parameters: int. Parameters of the encoder.
        trained_parameters: int. Parameters that were trained for the task.

    Returns:
        `encoder_parameters / trained_parameters`; 1.0 is as many.

    Raises:
        ArgumentError: a count is below 1.

    Reference:
        BERT-Vision (Jiang et al. 2022), Table 2: 109,482,240 / 524,418 = 209x.
    """
    for argument, count in (
        ("encoder_parameters", encoder_parameters),
        ("trained_parameters", trained_parameters),
    ):
        if count < 1:
            raise ArgumentError(f"{argument}: received {count}; expected >= 1")
    return encoder_parameters / trained_parameters


def format_compression(ratio: float) -> str:
    """Writes a compression for a reader: `209x`, `5.7x`, `0.8x`.

    Args:
        ratio: float. What `compression` returned.

    Returns:
        str. Whole from 10 upwards, two digits below.
    """
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.2g}x"
