"""Score against trained parameters, as a picture."""

from bvkeras.evaluation.comparison import (
    ENCODER,
    HEAD,
    REGRESSION,
    Comparison,
    SystemResult,
)
from bvkeras.reports.figures import line_style, new_figure, style_numbers
from bvkeras.reports.picture import Picture

# After the name of a system of several stop points.
_EPOCHS = ", epoch "


def parameter_picture(comparison: Comparison) -> Picture:
    """Each system's score against the parameters trained for it.

    Args:
        comparison: Comparison.

    Returns:
        Picture. Parameters are on a logarithmic axis; a run of several stop
        points has their epochs beside the marks.
    """
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    rows, shown = [], set()
    notes: dict[tuple[int, float], list[str]] = {}
    several = len({s.epochs for s in comparison.systems if s.kind == HEAD}) > 1
    styles = style_numbers(comparison.systems)
    for number, system in zip(styles, comparison.systems, strict=True):
        score = comparison.main_score(system)
        place = (system.trained_parameters, score)
        axes.plot(
            *([value] for value in place),
            label=None if number in shown else _label(system, several),
            **(line_style(number) | {"linestyle": ""}),
        )
        shown.add(number)
        if several and system.kind in (ENCODER, HEAD, REGRESSION):
            notes.setdefault(place, []).append(f"{system.epochs:g}")
        rows.append([system.name, *place[:1], system.total_parameters, score])
    # One text a place: of several on top of each other none can be read.
    for place, epochs in notes.items():
        axes.annotate(
            ", ".join(dict.fromkeys(epochs)),
            place,
            xytext=(9, 0),
            textcoords="offset points",
            fontsize="small",
            verticalalignment="center",
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


def _label(system: SystemResult, several: bool) -> str:
    return system.name.split(_EPOCHS)[0] if several else system.name
