"""`bvkeras errors`: where two systems err, of labels, scores or answers."""

import argparse
import pathlib

from bvkeras.cli import options as shared
from bvkeras.errors import ArgumentError
from bvkeras.printable import say
from bvkeras.tasks.kind import Kind

# As in evaluation/word_counts.py, which is slow to import.
_WORDS = ("tokens", "letters")

SUMMARY = (
    "compare two systems' predictions of the same examples: where each errs, "
    "and how surely they differ"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `bvkeras errors`."""
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
        type=shared.task,
        help="take the texts from this task; of squad_v2 the questions",
    )
    parser.add_argument("--split", help="of which split (validation)")
    shared.add_data(parser)
    parser.add_argument(
        "--texts",
        type=pathlib.Path,
        help="take the texts from this table, which has the same index",
    )
    parser.add_argument(
        "--text-index",
        metavar="COLUMN",
        help="its column with the index (what it is called in the predictions)",
    )
    parser.add_argument(
        "--words",
        choices=_WORDS,
        help="what of a text is a word: tokens, what blanks part; letters, as "
        "many as stand together, no numbers and signs (tokens)",
    )
    parser.add_argument(
        "--text-columns",
        type=shared.names,
        default=("text",),
        help="its columns with texts, as premise,hypothesis (text)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=50,
        help="at most so many differing examples are written (50)",
    )
    shared.add_seed(parser)
    parser.add_argument(
        "--output-dir",
        type=pathlib.Path,
        help="where errors.md, errors.json and differences.tsv are written",
    )


def run(options: argparse.Namespace) -> None:
    """Compares, prints the Markdown of it, and writes it where asked to.

    Raises:
        BvkerasError: an argument, a file of predictions or the data cannot be
            used.
    """
    if (options.task is not None) and (options.texts is not None):
        raise ArgumentError("--task, --texts: expected one of them")
    # Without a task the files say themselves of what kind their rows are.
    kind = Kind.CLASSES if options.task is None else options.task.kind
    say(_REPORTS[kind](options), end="")


def _report(options: argparse.Namespace) -> str:
    from bvkeras.evaluation import error_analysis, error_report, outcomes

    if options.task is None and options.first.suffix == ".json":
        raise ArgumentError(
            f"--task: expected squad_v2 with answers such as {options.first}, "
            "got none"
        )
    if options.text_index is not None and options.texts is None:
        raise ArgumentError("--text-index: expected --texts with it, got none")
    spec = options.task
    regression = options.regression
    if regression is None and spec is not None:
        regression = spec.is_regression
    first, second = (
        outcomes.read_outcomes(
            path,
            options.columns,
            regression,
            None if spec is None else spec.several_labels,
        )
        for path in (options.first, options.second)
    )
    texts = _texts_of(first, options)
    words = options.words or _WORDS[0]
    if options.output_dir is None:
        analysis = error_analysis.analyze_errors(
            first, second, options.names, texts, words
        )
    else:
        analysis = error_report.report_errors(
            first,
            second,
            options.output_dir,
            names=options.names,
            texts=texts,
            words=words,
            samples=options.samples,
            seed=options.seed or 0,
        )
    return error_report.format_error_report(analysis)


def _span_report(options: argparse.Namespace) -> str:
    from bvkeras.data.left_out import write_left_out
    from bvkeras.data.sources import load_examples
    from bvkeras.data.span_examples import SpanExamples
    from bvkeras.evaluation.spans import error_report as span_error_report
    from bvkeras.evaluation.spans import errors as span_errors
    from bvkeras.evaluation.spans.answers_file import read_answers

    for name in ("columns", "regression", "text_index", "words"):
        if getattr(options, name) is not None:
            raise ArgumentError(
                f"--{name.replace('_', '-')}: not with --task "
                f"{options.task.name}"
            )
    spec = options.task
    examples = load_examples(
        spec,
        options.split or spec.evaluation_splits[0],
        options.data_dir,
        skip_bad=options.skip_bad,
    )
    assert isinstance(examples, SpanExamples)
    first, second = (
        read_answers(path, examples) for path in (options.first, options.second)
    )
    if options.output_dir is not None:
        write_left_out(examples, options.output_dir)
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
    return span_error_report.format_span_error_report(analysis)


def _tag_report(options: argparse.Namespace) -> str:
    from bvkeras.evaluation.tokens import error_report as tag_error_report
    from bvkeras.evaluation.tokens import errors as tag_errors
    from bvkeras.evaluation.tokens.entity_metrics import learned_scheme
    from bvkeras.evaluation.tokens.tagged_words_file import read_tagged

    for name in ("columns", "regression", "text_index", "words"):
        if getattr(options, name) is not None:
            raise ArgumentError(
                f"--{name.replace('_', '-')}: not with --task "
                f"{options.task.name}"
            )
    # The files have the words and their labels.
    first, second = map(read_tagged, (options.first, options.second))
    scheme = learned_scheme(options.task.label_names)
    if options.output_dir is None:
        analysis = tag_errors.analyze_tag_errors(
            first, second, scheme, options.names
        )
    else:
        analysis = tag_error_report.report_tag_errors(
            first,
            second,
            scheme,
            options.output_dir,
            names=options.names,
            samples=options.samples,
            seed=options.seed or 0,
        )
    return tag_error_report.format_tag_error_report(analysis)


# Predictions of what kinds are compared by which report.
_REPORTS = {
    Kind.CLASSES: _report,
    Kind.LABELS: _report,
    Kind.SCORE: _report,
    Kind.SPAN: _span_report,
    Kind.TOKENS: _tag_report,
}


def _texts_of(outcomes, options: argparse.Namespace) -> list[list[str]]:
    """The texts of examples, as columns, as far as they are known."""
    ids = outcomes.ids
    if options.task is not None:
        from bvkeras.data.examples import Examples
        from bvkeras.data.sources import load_examples
        from bvkeras.evaluation.task_labels import check_labels

        spec = options.task
        split = options.split or spec.evaluation_splits[0]
        examples = load_examples(spec, split, options.data_dir)
        assert isinstance(examples, Examples)
        check_labels(outcomes, spec, examples)
        return examples.texts_of(ids)
    if options.texts is None:
        return []

    from bvkeras.evaluation.outcomes import read_table

    table, header = read_table(options.texts)
    index = options.text_index
    if index is None:
        index = (options.columns or {}).get("index", "index")
    wanted = [index, *options.text_columns]
    for name in wanted:
        if name not in header:
            option = "--text-index" if name == index else "--text-columns"
            raise ArgumentError(
                f"{option}: {options.texts} has no column {name!r}; it "
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
