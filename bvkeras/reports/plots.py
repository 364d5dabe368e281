"""Two figures of a run: its scores beside their cost, and training losses."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.axes
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.comparison import Comparison
from bvkeras.reports.figures import COLOURS, new_figure, style_numbers

_BASELINE_COLOUR = "#444444"
_NAME_WIDTH = 22
_PANELS_A_ROW = 2


def comparison_figure(comparison: Comparison) -> Figure:
    """Draws a bar for each system: its score, and its trained parameters.

    The score is by the main metric on the main split; accuracy has a bar of
    one standard error each way. Parameters are on a logarithmic axis.

    Args:
        comparison: `Comparison`.

    Returns:
        `Figure` with two axes, scores and parameters.
    """
    systems = comparison.systems
    split, metric = comparison.main_split, comparison.main_metric
    figure = new_figure(10, 1.9 + 0.6 * len(systems))
    figure.suptitle(f"{comparison.title}: {comparison.backbone}")
    score_axes, count_axes = figure.subplots(
        1, 2, sharey=True, width_ratios=(3, 2)
    )
    rows = range(len(systems))
    colours = [
        COLOURS[number % len(COLOURS)] for number in style_numbers(systems)
    ]

    scores = [comparison.main_score(system) for system in systems]
    errors = [
        comparison.standard_error(split, metric, score) for score in scores
    ]
    bars = score_axes.barh(
        rows,
        scores,
        height=0.65,
        color=colours,
        xerr=None if None in errors else errors,
        error_kw={"capsize": 3, "elinewidth": 1},
    )
    # White behind the labels: the baseline's line may run through one.
    score_axes.bar_label(
        bars,
        [f"{score:.3f}" for score in scores],
        padding=5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    baseline = comparison.baseline.get(split, {}).get(metric)
    shown = [0.0, *scores] + ([] if baseline is None else [baseline])
    # Space for the value labels, on the side where they stand.
    span = max(shown) - min(shown) or 1.0
    score_axes.set_xlim(
        min(shown) - (0.2 * span if min(shown) < 0 else 0),
        max(shown) + 0.2 * span,
    )
    score_axes.axvline(0, color="black", linewidth=0.8)
    if baseline is not None:
        line = score_axes.axvline(
            baseline, color=_BASELINE_COLOUR, linestyle="--", linewidth=1
        )
        figure.legend(
            [line],
            [f"always {comparison.baseline_name}: {baseline:.3f}"],
            loc="outside lower left",
            frameon=False,
        )
    score_axes.set_yticks(
        rows, [textwrap.fill(system.name, _NAME_WIDTH) for system in systems]
    )
    score_axes.invert_yaxis()
    count = comparison.examples[split]
    score_axes.set_title("Score", fontsize="medium")
    score_axes.set_xlabel(
        f"{metric} on {split.replace('_', ' ')} ({count:,} rows)"
        + ("" if None in errors else ", ± standard error")
    )

    counts = [system.trained_parameters for system in systems]
    bars = count_axes.barh(rows, counts, height=0.65, color=colours)
    count_axes.bar_label(bars, [f"{count:,}" for count in counts], padding=4)
    count_axes.set_xscale("log")
    count_axes.set_xlim(1, max(10, *counts) ** 1.5)
    count_axes.set_title("Trained parameters", fontsize="medium")
    count_axes.set_xlabel("number of parameters (log scale)")
    count_axes.tick_params(axis="y", length=0)
    return figure


def training_figure(
    histories: Mapping[str, Sequence[Mapping[str, float | None]]],
) -> Figure:
    """Draws the training loss of each system against its steps.

    The raw losses are a thin line, their running mean over a twentieth of the
    steps a thick one. Losses that are not finite are left out.

    Args:
        histories: dict of system name to a list of records. Each has `loss`
            and `step`, or `epoch` where there is no `step`.

    Returns:
        `Figure` with one axes for each system, all of the same loss range.

    Raises:
        ArgumentError: there is no history, or a record lacks its keys.
    """
    if not histories:
        raise ArgumentError("histories: received none; expected at least 1")
    columns = min(_PANELS_A_ROW, len(histories))
    rows = math.ceil(len(histories) / columns)
    figure = new_figure(5 * columns, 0.6 + 3 * rows)
    figure.suptitle("Training loss")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for number, (name, records) in enumerate(histories.items()):
        axes = panels[number]
        axes.set_title(name, fontsize="medium")
        axes.set_ylabel("loss")
        axes.tick_params(labelleft=True)
        _draw_losses(axes, name, records, COLOURS[number % len(COLOURS)])
    for axes in list(panels)[len(histories) :]:
        axes.remove()
    return figure


def _draw_losses(
    axes: matplotlib.axes.Axes,
    name: str,
    records: Sequence[Mapping[str, float | None]],
    colour: str,
) -> None:
    unit = "step" if records and "step" in records[0] else "epoch"
    for row, record in enumerate(records):
        if unit not in record or "loss" not in record:
            raise ArgumentError(
                f"histories of {name!r}: record {row} has the keys "
                f"{', '.join(record)}; expected {unit} and loss"
            )
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    values = np.array(
        [(record[unit], record["loss"]) for record in records], dtype=float
    ).reshape(-1, 2)
    steps, losses = values[np.isfinite(values[:, 1])].T
    if not steps.size:
        axes.text(0.5, 0.5, "no finite loss", transform=axes.transAxes)
        return
    window = max(1, len(losses) // 20)
    if window == 1:
        axes.plot(
            steps, losses, color=colour, marker="o", markersize=3, label="loss"
        )
    else:
        # A record is the mean since the one before it.
        spacing = round(float(np.median(np.diff(steps))))
        ones = np.ones(window)
        # Dividing by the count keeps the mean right at both ends.
        mean = np.convolve(losses, ones, "same") / np.convolve(
            np.ones_like(losses), ones, "same"
        )
        axes.plot(
            steps,
            losses,
            color=colour,
            linewidth=0.6,
            alpha=0.35,
            label=_span(spacing, unit),
        )
        axes.plot(
            steps,
            mean,
            color=colour,
            linewidth=2,
            label=_span(window * spacing, unit),
        )
    axes.legend(frameon=False, loc="upper right")


def _span(count: int, unit: str) -> str:
    return f"each {unit}" if count == 1 else f"mean of {count} {unit}s"
