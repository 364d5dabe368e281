"""An error analysis of answers as errors.json, errors.md and a table."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from bvkeras.data.span_question import SpanQuestion
from bvkeras.evaluation.error_report import together_table, write_examples
from bvkeras.evaluation.markdown_table import markdown_table
from bvkeras.evaluation.spans.errors import (
    SpanErrorAnalysis,
    analyze_span_errors,
    differing_questions,
)
from bvkeras.fileio import write_json, write_text


def report_span_errors(
    questions: Sequence[SpanQuestion],
    first: Sequence[str],
    second: Sequence[str],
    directory: str | os.PathLike,
    *,
    names: Sequence[str] = ("first", "second"),
    samples: int = 50,
    seed: int = 0,
) -> SpanErrorAnalysis:
    """Compares two systems' answers and writes what comes of it, atomically.

    `errors.md`, `errors.json`, and `differences.tsv`: questions to which the
    two answer otherwise, with id, question, gold answers and both answers.
    Tabs and line breaks become blanks there.

    Args:
        questions: sequence of n `SpanQuestion`.
        first: sequence of n str. One system's answers; empty for none.
        second: sequence of n str. The other's.
        directory: str or path.
        names: sequence of two str. Names of the systems.
        samples: int. At most so many questions are written.
        seed: int. Seed of their choice.

    Raises:
        ArgumentError: `samples` is below 0, there is no question, or not one
            answer for each.
        OSError: a file cannot be written.
    """
    directory = pathlib.Path(directory)
    analysis = analyze_span_errors(questions, first, second, names)
    rows = differing_questions(first, second, samples, seed)
    write_json(directory / "errors.json", dataclasses.asdict(analysis))
    write_text(directory / "errors.md", format_span_error_report(analysis))
    write_examples(
        directory / "differences.tsv",
        ["id", "question", "gold answers", *names],
        [
            [
                questions[row].id,
                questions[row].question,
                " | ".join(
                    dict.fromkeys(a.text for a in questions[row].answers)
                ),
                first[row],
                second[row],
            ]
            for row in rows
        ],
    )
    return analysis


def format_span_error_report(analysis: SpanErrorAnalysis) -> str:
    """The text of `errors.md`; scores in percent.

    Args:
        analysis: SpanErrorAnalysis.

    Returns:
        str. Markdown.
    """
    systems = analysis.systems
    names = [system.name for system in systems]
    parts = [
        f"# Errors of {names[0]} and {names[1]}",
        f"{analysis.questions:,} questions about {analysis.paragraphs:,} "
        "paragraphs. Scores are EM / F1 in percent; right and wrong are by "
        "EM.",
        _score_table("", names, [system.scores for system in systems]),
        markdown_table(["", *names], _system_rows(systems)),
        "## Together",
        *_together(analysis, *names),
        "## By the length of the answer",
        _score_table(
            "words of the first answer",
            names,
            [system.by_answer for system in systems],
        ),
        "## By the length of the context",
        _score_table(
            "words of the context",
            names,
            [system.by_context for system in systems],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def span_error_note(analysis: SpanErrorAnalysis) -> str:
    """One line on how the two systems differ, for a report's notes."""
    first, second = (system.name for system in analysis.systems)
    return (
        f"{second} less {first}, question by question, in points: "
        f"{_differences(analysis)}; McNemar on EM: "
        f"p = {analysis.pair['p_value']:.3g}."
    )


def _score_table(column, names, scores):
    return markdown_table(
        [column, "questions", *names],
        [
            [
                part,
                f"{counts['questions']:,}",
                *(
                    f"{100 * system[part]['exact']:.1f} / "
                    f"{100 * system[part]['f1']:.1f}"
                    for system in scores
                ),
            ]
            for part, counts in scores[0].items()
        ],
    )


def _system_rows(systems):
    yield [
        "answered by nothing, of all",
        *(f"{100 * system.empty_share:.1f}%" for system in systems),
    ]
    for name in ("right", "wrong"):
        yield [
            f"questions answered by nothing, {name}",
            *(f"{getattr(system, f'empty_{name}'):,}" for system in systems),
        ]
    for text in ("context", "question"):
        for name in ("right", "wrong"):
            means = [getattr(s, f"words_{name}")[text] for s in systems]
            yield [
                f"mean words of the {text}, answered {name}",
                *("-" if mean is None else f"{mean:.1f}" for mean in means),
            ]


def _together(analysis, first, second):
    pair = analysis.pair
    yield together_table(pair, "questions", analysis.questions, first, second)
    yield (
        f"The same answer, as scores compare texts, to "
        f"{pair['agreement']:.3f} of the questions. {second} less {first}, in "
        f"points: {_differences(analysis)}; paired, from a bootstrap over "
        "paragraphs. McNemar's exact test of EM, which takes questions about "
        f"one paragraph as independent: p = {pair['p_value']:.3g}."
    )


def _differences(analysis):
    pair = analysis.pair
    texts = []
    for name, key in (("EM", "exact"), ("F1", "f1")):
        text = f"{name} {100 * pair[f'{key}_difference']:+.1f}"
        interval = pair[f"{key}_interval"]
        if interval is not None:
            low, high = (100 * end for end in interval)
            text += f" (95% {low:+.1f} to {high:+.1f})"
        texts.append(text)
    return ", ".join(texts)
