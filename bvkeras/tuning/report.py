"""The report of a search, to be read by people and by programs."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bvkeras import fileio
from bvkeras.tuning.result import TrialResult, best_results

_SHOWN_TRIALS = 10
_FULL_SEARCH = 100


def write_report(
    directory: str | os.PathLike,
    *,
    title: str,
    metric: str,
    what: str,
    results: Sequence[TrialResult],
    held_out_rows: int,
    training_rows: int,
    best_files: Mapping[str, pathlib.Path],
    scores: Mapping[str, Mapping[str, float]],
    seconds: float,
    settings: Mapping[str, Any],
    plots: Mapping[str, str],
) -> pathlib.Path:
    """Writes `report.md` and `report.json`, atomically.

    Args:
        directory: str or path. The search's.
        title: str. The task's name in tables.
        metric: str. What the score is.
        what: str. What was searched: `"head"` or `"encoder"`.
        results: sequence of TrialResult, at least one with a score.
        held_out_rows: int. Training rows that chose.
        training_rows: int. Training rows, those included.
        best_files: mapping of name to path, below `directory`.
        scores: mapping of split to metrics of what was trained with the best
            settings on all training rows.
        seconds: float. Time of the search.
        settings: mapping. The space and the oracle, as JSON.
        plots: mapping of title to file name in `plots/`.

    Returns:
        Path of `report.md`.
    """
    directory = pathlib.Path(directory)
    ranked = best_results(results)
    files = {
        "all trials": "trials.csv",
        **{title: f"plots/{name}" for title, name in plots.items()},
        **{
            name: path.relative_to(directory).as_posix()
            for name, path in best_files.items()
        },
    }
    failed = len(results) - len(ranked)
    lines = [
        f"# {title}: search for the best {what}",
        "",
        f"{len(results)} trials in {seconds:,.0f} seconds"
        + (f", {failed} of which failed." if failed else ".")
        + _cost_of_more(len(results), seconds),
        "",
        f"**How the winner was chosen.** By {metric} on {held_out_rows:,} of "
        f"the {training_rows:,} training rows, held out of every trial and "
        f"the same for all. The highest of {len(ranked)} scores is more than "
        "to expect on new rows"
        + (
            "; an encoder that was fine-tuned on these rows makes them easier "
            "still."
            if what == "head"
            else "."
        ),
        "",
        *_score_lines(what, ranked[0], metric, scores),
        "",
        f"## The best {min(_SHOWN_TRIALS, len(ranked))} trials",
        "",
        *_table(ranked[:_SHOWN_TRIALS], metric),
        "",
        "## Files",
        "",
        *(f"- {name}: [{path}]({path})" for name, path in files.items()),
        "",
        "## Space",
        "",
        "```json",
        json.dumps(settings, indent=2),
        "```",
        "",
    ]
    record = {
        "task": title,
        "searched": what,
        "metric": metric,
        "trials": len(results),
        "failed": failed,
        "seconds": seconds,
        "held_out_rows": held_out_rows,
        "training_rows": training_rows,
        "best": {
            "trial": ranked[0].trial,
            "held_out_score": ranked[0].score,
            "settings": ranked[0].settings,
        },
        "scores": scores,
        "space": settings,
        "files": files,
    }
    fileio.write_json(directory / "report.json", record)
    fileio.write_text(directory / "report.md", "\n".join(lines))
    return directory / "report.md"


def _cost_of_more(trials, seconds):
    """What a hundred trials would take, after fewer."""
    if trials >= _FULL_SEARCH:
        return ""
    minutes = seconds / trials * _FULL_SEARCH / 60
    return (
        f" At {seconds / trials:,.1f} seconds a trial, {_FULL_SEARCH} would "
        f"take about {minutes:,.0f} minutes."
    )


def _score_lines(what, best, metric, scores):
    lines = [f"Trial {best.trial} won: {metric} {best.score:.4f} held out."]
    for split, metrics in scores.items():
        text = ", ".join(f"{n} {value:.4f}" for n, value in metrics.items())
        lines += [
            "",
            f"**On {split.replace('_', ' ')}**, which the search never saw and "
            f"which was scored once, by the {what} trained with these "
            f"settings on all training rows: {text}.",
        ]
    return lines


def _table(results, metric):
    names = dict.fromkeys(name for r in results for name in r.settings)
    header = ["trial", metric, *names]
    rows = [
        [
            result.trial,
            f"{result.score:.4f}",
            *(_short(result.settings.get(name)) for name in names),
        ]
        for result in results
    ]
    return [
        "| " + " | ".join(cells) + " |"
        for cells in (header, ["---"] * len(header), *rows)
    ]


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
