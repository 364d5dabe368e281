"""The table a run's report is about, and what must be said of it."""

from bvkeras.evaluation.comparison import Comparison
from bvkeras.evaluation.compression import format_compression
from bvkeras.evaluation.metric_direction import goodness


def score_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """A report's main table: one row a system.

    Args:
        comparison: Comparison.

    Returns:
        The header, and the rows of cells; a cell may have lines.
    """
    columns = list(
        dict.fromkeys(
            (split, metric)
            for system in comparison.systems
            for split, metrics in system.scores.items()
            for metric in metrics
        )
    )
    one_split = len({split for split, _ in columns}) == 1
    header = [
        "system",
        *(
            metric if one_split else f"{split.replace('_', ' ')} {metric}"
            for split, metric in columns
        ),
        "trained parameters",
        "total parameters",
        "compression",
        "seconds per step",
    ]
    rows = [
        [
            system.name,
            *(
                _score_cell(comparison, system.scores, *column)
                for column in columns
            ),
            f"{system.trained_parameters:,}",
            f"{system.total_parameters:,}",
            format_compression(system.compression),
            "\n".join(
                f"{step} {seconds:,.1f}"
                for step, seconds in system.seconds.items()
            ),
        ]
        for system in comparison.systems
    ]
    if comparison.baseline:
        scores = [
            _score_cell(comparison, comparison.baseline, *column)
            for column in columns
        ]
        name = comparison.baseline_name.removeprefix("the ")
        rows.append([name, *scores, "0", "0", "-", "-"])
    return header, rows


def score_notes(comparison: Comparison) -> list[str]:
    """What a reader of the table must know.

    Args:
        comparison: Comparison.

    Returns:
        list of str.
    """
    notes = []
    heads = [
        f"{system.name} ({format_compression(system.compression)})"
        for system in comparison.systems
        if system.compression > 2
    ]
    if heads:
        notes.append(
            "So many times fewer parameters are trained than the encoder "
            f"has: {', '.join(heads)}. The encoder still runs: total "
            "parameters say what serving needs."
        )
    baseline = comparison.baseline.get(comparison.main_split, {}).get(
        comparison.main_metric
    )
    for system in comparison.systems:
        if baseline is not None and goodness(
            comparison.main_metric, comparison.main_score(system)
        ) <= goodness(comparison.main_metric, baseline):
            notes.append(
                f"{system.name}: no better than always answering "
                f"{comparison.baseline_name} ({baseline:.3f})."
            )
    if any("accuracy" in s for s in comparison.systems[0].scores.values()):
        counts = ", ".join(
            f"{comparison.examples[split]:,} rows of {split}"
            for split in comparison.systems[0].scores
        )
        notes.append(
            f"± is one standard error, sqrt(p(1-p)/n), from the {counts}; "
            "noise from the seed comes on top."
        )
    return notes


def _score_cell(
    comparison: Comparison,
    scores: dict[str, dict[str, float]],
    split: str,
    metric: str,
) -> str:
    score = scores.get(split, {}).get(metric)
    if score is None:
        return "-"
    error = comparison.standard_error(split, metric, score)
    return f"{score:.3f}" if error is None else f"{score:.3f} ± {error:.3f}"
