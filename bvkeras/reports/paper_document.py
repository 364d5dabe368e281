"""The paper's tables as a report."""

from collections.abc import Sequence

from bvkeras import tasks
from bvkeras.evaluation.compression import format_compression
from bvkeras.reports.document import Document, Section, Table
from bvkeras.reports.paper_tables import (
    AVERAGE,
    GLUE_AVERAGE,
    Difference,
    PaperTables,
    Score,
)
from bvkeras.reports.picture import Picture
from bvkeras.reports.published import (
    PUBLISHED_COMPRESSION,
    PUBLISHED_MODELS,
    PUBLISHED_TASKS,
    published_note,
    published_scores,
)
from bvkeras.reports.run_group import KINDS

_MEGABYTE = 1e6


def paper_document(
    tables: PaperTables, pictures: Sequence[Picture] = ()
) -> Document:
    """Tables 1 and 2 of runs beside the published ones.

    Args:
        tables: PaperTables.
        pictures: sequence of Picture. What `paper_pictures` gave.

    Returns:
        Document.
    """
    return Document(
        "Fine-tuned encoder against pooled head",
        [
            _scores(tables, pictures),
            _differences(tables),
            _compression(tables),
            _parameters(tables),
            _what_differs(tables),
            _runs(tables),
        ],
    )


def _scores(tables: PaperTables, pictures: Sequence[Picture]) -> Section:
    columns = [*tables.tasks, *tables.averages]
    rows = []
    for variant in tables.variants:
        for kind, name in KINDS.items():
            if kind not in variant.scores:
                continue
            scores = variant.scores[kind]
            rows.append(
                [
                    variant.name,
                    name,
                    *(_score_text(scores.get(column)) for column in columns),
                ]
            )
    for model in PUBLISHED_MODELS:
        cells = [_published_text(column, model) for column in columns]
        if any(cell != "-" for cell in cells):
            rows.append(["published", model, *cells])
    notes = [
        note
        for name in (*tables.tasks, "glue_average")
        if (note := published_note(name))
    ]
    return Section(
        "Table 1: scores",
        texts=[
            "Each task's main metric on its development set; mean ± standard "
            "deviation over seeds, of one seed the score alone. Averages of "
            "other tasks do not compare: each says how many it is over.",
            "Published rows are the paper's, of BERT-base and BERT-large "
            "fine-tuned on the full training sets: they are comparable with "
            "a row above only where that is its encoder and its data.",
        ],
        table=Table(
            ["encoder", "system", *(_heading(tables, c) for c in columns)],
            rows,
        ),
        items=notes,
        pictures=list(pictures),
    )


def _differences(tables: PaperTables) -> Section:
    rows = []
    for variant in tables.variants:
        for name in [*tables.tasks, *tables.averages]:
            difference = variant.differences.get(name)
            if difference is not None:
                rows.append(
                    [
                        variant.name,
                        _title(name) + _of_tasks(difference.score.num_tasks),
                        *_difference_cells(difference),
                    ]
                )
    return Section(
        "Head less encoder",
        texts=[
            "Score of the pooled head less that of the encoder it reads, seed "
            "by seed. The interval over seeds is Student's, of their mean: "
            "would other seeds say the same? That over examples is a paired "
            "bootstrap of the mean: would other examples?"
        ],
        table=Table(
            [
                *("encoder", "task", "by seed", "mean"),
                *("95% over seeds", "95% over examples"),
            ],
            rows,
        ),
    )


def _compression(tables: PaperTables) -> Section:
    rows = []
    for variant in tables.variants:
        for kind, by_task in variant.compressions.items():
            parts = list(by_task.values())
            performance = variant.performance[kind]
            rows.append(
                [
                    variant.name,
                    KINDS[kind],
                    _range([p.compression for p in parts], format_compression),
                    "-" if performance is None else f"{performance:.1f}%",
                    _range([p.trained_parameters for p in parts], _count),
                    _range([p.total_parameters for p in parts], _count),
                    _range([p.trained_bytes for p in parts], _megabytes),
                    _range([p.total_bytes for p in parts], _megabytes),
                    ", ".join(_title(task) for task in by_task),
                ]
            )
    rows += [
        ["published", model, compression, performance, *"----", data or "-"]
        for model, compression, performance, data in PUBLISHED_COMPRESSION
    ]
    return Section(
        "Table 2: compression",
        texts=[
            "Compression is the encoder's parameters over those trained for a "
            "task; performance the average score relative to the fine-tuned "
            "encoder's. The encoder still runs: inference needs the total. "
            "Bytes are of float32. Several tasks: lowest to highest.",
        ],
        table=Table(
            [
                *("encoder", "system", "compression", "performance"),
                *("trained parameters", "total parameters"),
                *("trained, MB", "total, MB", "tasks"),
            ],
            rows,
        ),
    )


def _parameters(tables: PaperTables) -> Section:
    rows = [
        [
            variant.name,
            _title(task),
            KINDS[kind],
            _count(part.trained_parameters),
            _count(part.total_parameters),
            format_compression(part.compression),
            f"{part.trained_bytes:,}",
            f"{part.total_bytes:,}",
        ]
        for variant in tables.variants
        for task in tables.tasks
        for kind, by_task in variant.compressions.items()
        if (part := by_task.get(task))
    ]
    return Section(
        "Parameters of each task",
        table=Table(
            [
                *("encoder", "task", "system", "trained parameters"),
                *("total parameters", "compression"),
                *("trained bytes", "total bytes"),
            ],
            rows,
        ),
    )


def _what_differs(tables: PaperTables) -> Section:
    rows = []
    for variant in tables.variants:
        for task, group in variant.groups.items():
            settings = group.first.settings
            limit = settings.get("limit")
            rows.append(
                [
                    variant.name,
                    _title(task),
                    f"{group.first.examples.get('train', 0):,}"
                    + (" (limited)" if limit is not None else ""),
                    f"{group.first.examples[group.first.main_split]:,}",
                    f"{group.epochs:g}",
                    _setting(settings, "learning_rate"),
                    _setting(settings, "max_tokens"),
                    _setting(settings, "units"),
                    _setting(settings, "head_epochs"),
                    _setting(settings, "cache_dtype"),
                ]
            )
    return Section(
        "Data and settings",
        texts=[
            "What differs from the published runs: those had BERT-base and "
            "BERT-large (768 and 1,024 features, 13 and 25 hidden states), "
            "all training rows, one epoch of fine-tuning and one of the head."
        ],
        table=Table(
            [
                *("encoder", "task", "training rows", "rows scored", "epochs"),
                *("rate", "tokens", "head units", "head epochs", "cache"),
            ],
            rows,
        ),
    )


def _runs(tables: PaperTables) -> Section:
    return Section(
        "Runs",
        table=Table(
            ["encoder", "task", "seed", "made", "bvkeras", "directory"],
            [
                [
                    variant.name,
                    _title(task),
                    str(seed),
                    run.created,
                    run.versions.get("bvkeras", "-"),
                    group.directories[seed].name,
                ]
                for variant in tables.variants
                for task, group in variant.groups.items()
                for seed, run in group.runs.items()
            ],
        ),
    )


def _heading(tables: PaperTables, column: str) -> str:
    for variant in tables.variants:
        if column in variant.groups:
            metric = variant.groups[column].first.main_metric
            return f"{_title(column)}, {metric}"
    return column


def _title(name: str) -> str:
    return tasks.get(name).title if name in tasks.names() else name


def _score_text(score: Score | None) -> str:
    if score is None:
        return "-"
    text = f"{score.mean:.3f}"
    if score.deviation is not None:
        text += f" ± {score.deviation:.3f}"
    return text + _of_tasks(score.num_tasks)


def _of_tasks(count: int) -> str:
    """What stands after an average, which is of no use without it."""
    return f" ({count} tasks)" if count > 1 else ""


def _published_text(column: str, model: str) -> str:
    if column == AVERAGE:
        return "-"
    average = column == GLUE_AVERAGE
    score = published_scores("glue_average" if average else column).get(model)
    if score is None:
        return "-"
    return f"{score:.3f}" + _of_tasks(PUBLISHED_TASKS if average else 1)


def _difference_cells(difference: Difference) -> list[str]:
    by_seed = difference.score.by_seed
    return [
        ", ".join(f"{by_seed[seed]:+.3f}" for seed in sorted(by_seed)),
        f"{difference.score.mean:+.4f}",
        _interval(difference.seed_interval),
        _interval(difference.examples_interval),
    ]


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "{:+.4f} to {:+.4f}".format(*interval)


def _range(values: list, form) -> str:
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"


def _count(number: int) -> str:
    return f"{number:,}"


def _megabytes(number: int) -> str:
    return f"{number / _MEGABYTE:,.3g}"


def _setting(settings, name) -> str:
    value = settings.get(name, "-")
    return f"{value:g}" if isinstance(value, float) else str(value)
