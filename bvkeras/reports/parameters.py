"""Score against trained parameters, as a picture."""

from bvkeras.evaluation.comparison import Comparison
from bvkeras.reports.figures import line_style, new_figure
from bvkeras.reports.picture import Picture


def parameter_picture(comparison: Comparison) -> Picture:
    """Each system's score against the parameters trained for it.

    Args:
        comparison: Comparison.

    Returns:
        Picture. Parameters are on a logarithmic axis.
    """
    figure = new_figure(8, 2.6 + 0.3 * len(comparison.systems))
    axes = figure.subplots()
    rows = []
    for number, system in enumerate(comparison.systems):
        score = comparison.main_score(system)
        style = line_style(number) | {"linestyle": "", "markersize": 8}
        # Where two have the same place, both are seen.
        axes.plot(
            [system.trained_parameters],
            [score],
            label=system.name,
            markerfacecolor="none",
            markeredgewidth=1.8,
            **style,
        )
        rows.append(
            [
                system.name,
                system.trained_parameters,
                system.total_parameters,
                score,
            ]
        )
    axes.set_xscale("log")
    axes.margins(0.15)
    axes.set_xlabel("trained parameters (log scale)")
    axes.set_ylabel(f"{comparison.main_metric} on {comparison.main_split}")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return Picture(
        name="parameters",
        title="Score against trained parameters",
        figure=figure,
        columns=[
            *("system", "trained parameters", "total parameters"),
            comparison.main_metric,
        ],
        rows=rows,
    )
