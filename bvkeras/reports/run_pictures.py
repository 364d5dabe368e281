"""Every picture of a run's report."""

from bvkeras.evaluation.comparison import Comparison
from bvkeras.reports.layers import layer_picture
from bvkeras.reports.parameters import parameter_picture
from bvkeras.reports.picture import Picture
from bvkeras.reports.plots import comparison_figure, training_figure
from bvkeras.reports.stop_points import stop_point_picture


def run_pictures(comparison: Comparison) -> list[Picture]:
    """The pictures that a run gives something for, in the report's order.

    Args:
        comparison: Comparison.

    Returns:
        list of Picture.
    """
    pictures = [
        _scores(comparison),
        stop_point_picture(comparison),
        parameter_picture(comparison),
        layer_picture(comparison),
        _training(comparison) if comparison.histories else None,
    ]
    return [picture for picture in pictures if picture is not None]


def _scores(comparison: Comparison) -> Picture:
    split, metric = comparison.main_split, comparison.main_metric
    rows = []
    for system in comparison.systems:
        score = comparison.main_score(system)
        error = comparison.standard_error(split, metric, score)
        rows.append(
            [
                system.name,
                score,
                "" if error is None else error,
                system.trained_parameters,
            ]
        )
    return Picture(
        name="scores",
        title="Score and trained parameters of each system",
        figure=comparison_figure(comparison),
        columns=["system", metric, "standard error", "trained parameters"],
        rows=rows,
    )


def _training(comparison: Comparison) -> Picture:
    return Picture(
        name="training",
        title="Training loss",
        figure=training_figure(comparison.histories),
        columns=["system", "step", "epoch", "loss"],
        rows=[
            [
                name,
                record.get("step", ""),
                record.get("epoch", ""),
                "" if record["loss"] is None else record["loss"],
            ]
            for name, records in comparison.histories.items()
            for record in records
        ],
    )
