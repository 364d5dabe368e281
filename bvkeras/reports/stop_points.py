"""Scores over the stop points of fine-tuning, as a picture."""

from bvkeras.evaluation.comparison import (
    ENCODER,
    HEAD,
    REGRESSION,
    Comparison,
    SystemResult,
)
from bvkeras.reports.figures import line_style, new_figure
from bvkeras.reports.picture import Picture

_LINES = {
    ENCODER: "fine-tuned encoder",
    HEAD: "pooled head on it",
    REGRESSION: "regression on its means",
}


def stop_point_picture(comparison: Comparison) -> Picture | None:
    """Score of each kind of system against epochs, and against seconds.

    The seconds of a system are those of all steps it needs up to its score,
    so of a head fine-tuning and extraction too. Spans have no regression.

    Args:
        comparison: Comparison.

    Returns:
        Picture; None if the run has fewer than two stop points.
    """
    lines = {
        kind: sorted(
            (system for system in comparison.systems if system.kind == kind),
            key=lambda system: system.epochs,
        )
        for kind in _LINES
    }
    if len(lines[ENCODER]) < 2:
        return None
    figure = new_figure(10, 4)
    epoch_axes, second_axes = figure.subplots(1, 2, sharey=True)
    rows = []
    for number, (kind, systems) in enumerate(lines.items()):
        if not systems:
            continue
        style = line_style(number)
        scores = [comparison.main_score(system) for system in systems]
        epochs = [system.epochs for system in systems]
        seconds = [_seconds(system) for system in systems]
        epoch_axes.plot(epochs, scores, label=_LINES[kind], **style)
        second_axes.plot(seconds, scores, **style)
        rows += [
            [_LINES[kind], *row]
            for row in zip(epochs, seconds, scores, strict=True)
        ]
    baseline = comparison.baseline.get(comparison.main_split, {}).get(
        comparison.main_metric
    )
    if baseline is not None:
        for axes in (epoch_axes, second_axes):
            axes.axhline(baseline, color="#444444", linewidth=0.8)
        epoch_axes.plot(
            [],
            [],
            color="#444444",
            linewidth=0.8,
            label=f"always {comparison.baseline_name}",
        )
    metric = comparison.main_metric
    epoch_axes.set_xlabel("epochs of fine-tuning")
    epoch_axes.set_ylabel(f"{metric} on {comparison.main_split}")
    second_axes.set_xlabel("seconds of all its steps")
    for axes in (epoch_axes, second_axes):
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return Picture(
        name="stop_points",
        title="Score over the stop points of fine-tuning",
        figure=figure,
        columns=["system", "epochs", "seconds", metric],
        rows=rows,
    )


def _seconds(system: SystemResult) -> float:
    return sum(system.seconds.values())
