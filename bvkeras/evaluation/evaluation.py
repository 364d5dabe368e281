"""What a system reached on one split."""

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a system reached on one split.

    Attributes:
        metrics: dict of metric to score.
        seconds: float. Time the predictions took.
        predictions_path: path of the predictions.
    """

    metrics: dict[str, float]
    seconds: float
    predictions_path: pathlib.Path
