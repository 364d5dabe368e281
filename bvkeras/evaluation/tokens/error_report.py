"""An error analysis of tags as errors.json, errors.md and a table."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from bvkeras.evaluation.error_report import together_table, write_examples
from bvkeras.evaluation.markdown_table import markdown_table
from bvkeras.evaluation.tokens.errors import (
    ERRORS,
    TagErrorAnalysis,
    analyze_tag_errors,
    differing_sentences,
)
from bvkeras.evaluation.tokens.tagged_words_file import TaggedAnswers
from bvkeras.fileio import write_json, write_text
from bvkeras.tasks.tag_scheme import TagScheme

_MOST_CONFUSED = 20


def report_tag_errors(
    first: TaggedAnswers,
    second: TaggedAnswers,
    scheme: TagScheme,
    directory: str | os.PathLike,
    *,
    names: Sequence[str] = ("first", "second"),
    samples: int = 50,
    seed: int = 0,
) -> TagErrorAnalysis:
    """Compares two systems' tags and writes what comes of it, atomically.

    `errors.md`, `errors.json`, and `differences.tsv`: sentences that the two
    tag otherwise, with the entities in brackets.

    Args:
        first: TaggedAnswers.
        second: TaggedAnswers. Of the same sentences, in the same order.
        scheme: TagScheme. Of the tags.
        directory: str or path.
        names: sequence of two str. Names of the systems.
        samples: int. At most so many sentences are written.
        seed: int. Seed of their choice.

    Raises:
        ArgumentError: `samples` is below 0.
        DataError: the two are not of the same sentences.
        OSError: a file cannot be written.
    """
    directory = pathlib.Path(directory)
    analysis = analyze_tag_errors(first, second, scheme, names)
    rows = differing_sentences(first, second, samples, seed)
    write_json(directory / "errors.json", dataclasses.asdict(analysis))
    write_text(directory / "errors.md", format_tag_error_report(analysis))
    write_examples(
        directory / "differences.tsv",
        ["id", "labels", *names],
        [
            [
                first.ids[row],
                *(
                    bracketed(first.words[row], tags[row], scheme)
                    for tags in (
                        first.labels,
                        first.predictions,
                        second.predictions,
                    )
                ),
            ]
            for row in rows.tolist()
        ],
    )
    return analysis


def bracketed(
    words: Sequence[str], tags: Sequence[str], scheme: TagScheme
) -> str:
    """A sentence as `[Ada Lovelace](PER) met him in [London](LOC)`.

    Args:
        words: sequence of str.
        tags: sequence of str, one a word.
        scheme: TagScheme. Of the tags.
    """
    shown = list(words)
    for kind, first, last in scheme.entities(tags):
        shown[first] = f"[{shown[first]}"
        shown[last] = f"{shown[last]}]({kind})"
    return " ".join(shown)


def format_tag_error_report(analysis: TagErrorAnalysis) -> str:
    """The text of `errors.md`.

    Args:
        analysis: TagErrorAnalysis.

    Returns:
        str. Markdown.
    """
    systems = analysis.systems
    names = [system.name for system in systems]
    parts = [
        f"# Errors of {names[0]} and {names[1]}",
        f"{analysis.sentences:,} sentences, {analysis.words:,} words, "
        f"{analysis.entities:,} entities. An entity is right if its words and "
        "its type are.",
        markdown_table(
            ["", *names],
            [
                [
                    metric.replace("_", " "),
                    *(f"{system.scores[metric]:.3f}" for system in systems),
                ]
                for metric in systems[0].scores
            ],
        ),
        "## What is wrong",
        markdown_table(
            ["entities", *names],
            [
                [what, *(f"{system.errors[what]:,}" for system in systems)]
                for what in ERRORS
            ],
        ),
        *_confused(systems),
        "## By type",
        _by_type(systems),
        "## Together",
        *_together(analysis, *names),
    ]
    return "\n\n".join(parts) + "\n"


def tag_error_note(analysis: TagErrorAnalysis) -> str:
    """One line on how the two systems differ, for a report's notes."""
    first, second = (system.name for system in analysis.systems)
    pair = analysis.pair
    return (
        f"{second} less {first}: {_difference(pair)}; McNemar on the labelled "
        f"entities: p = {pair['p_value']:.3g}."
    )


def _confused(systems):
    rows = [
        [system.name, labelled, given, f"{count:,}"]
        for system in systems
        for labelled, given, count in system.confused[:_MOST_CONFUSED]
    ]
    if rows:
        yield markdown_table(["system", "type", "taken for", "entities"], rows)


def _by_type(systems):
    kinds = sorted({kind for system in systems for kind in system.by_type})
    rows = []
    for kind in kinds:
        for system in systems:
            found = system.by_type.get(kind)
            if found is None:
                continue
            rows.append(
                [
                    kind,
                    system.name,
                    f"{found['labelled']:,}",
                    f"{found['predicted']:,}",
                    *(
                        f"{found[f'entity_{name}']:.3f}"
                        for name in ("precision", "recall", "f1")
                    ),
                ]
            )
    return markdown_table(
        [
            *("type", "system", "labelled", "given"),
            *("precision", "recall", "F1"),
        ],
        rows,
    )


def _together(analysis, first, second):
    pair = analysis.pair
    if analysis.entities:
        yield together_table(pair, "entities", analysis.entities, first, second)
    yield (
        f"The same tag for {pair['agreement']:.3f} of the words. {second} less "
        f"{first}: {_difference(pair)}; paired, from a bootstrap over "
        "sentences. McNemar's exact test of the labelled entities, which takes "
        f"those of one sentence as independent: p = {pair['p_value']:.3g}."
    )


def _difference(pair):
    low, high = pair["interval"]
    return (
        f"entity F1 {pair['difference']:+.4f} (95% {low:+.4f} to {high:+.4f})"
    )
