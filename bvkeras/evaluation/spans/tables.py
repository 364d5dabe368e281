"""A span task's part of the report: tables and notes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bvkeras.data.span_examples import SpanExamples
from bvkeras.evaluation.bootstrap import bootstrap_error
from bvkeras.evaluation.spans.baselines import (
    ALWAYS_EMPTY,
    span_baselines,
)
from bvkeras.evaluation.spans.evaluation import SpanEvaluation
from bvkeras.evaluation.spans.lengths import (
    answer_length_parts,
    context_length_parts,
)
from bvkeras.tasks.window_plan import WindowPlan

# Questions in the official files.
_OFFICIAL = {
    "train": {130_319: "SQuAD 2.0", 87_599: "SQuAD 1.1"},
    "validation": {11_873: "SQuAD 2.0", 10_570: "SQuAD 1.1"},
}


def span_tables(
    examples: SpanExamples,
    train: SpanExamples,
    evaluations: Mapping[str, SpanEvaluation],
    compared: Sequence[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    """What a report shows besides exact match and F1 of all questions.

    Args:
        examples: SpanExamples. The split that was scored.
        train: SpanExamples. The training split, for the baselines.
        evaluations: mapping of system to its `SpanEvaluation`.
        compared: sequence of pairs of systems, of which the differences
            (first minus second) are shown, besides those to the baseline.

    Returns:
        list of tables: dict with `title`, `note`, `columns`, and `rows`, each
        a list of cells, str or number.
    """
    tables = _Tables(examples, train, evaluations)
    return [
        tables.scores(),
        tables.differences(compared),
        tables.by_answer(),
        tables.by_context(),
        tables.thresholds(),
    ]


def source_notes(examples: Mapping[str, SpanExamples]) -> list[str]:
    """Where the questions are from, and whether that is the official set."""
    notes = []
    for split, part in examples.items():
        note = (
            f"{split}: {len(part):,} questions about {len(part.articles):,} "
            f"articles, from {part.source}."
        )
        if part.skipped:
            note += f" {part.skipped:,} malformed ones were left out of it."
        if split in _OFFICIAL and split != "train":
            if len(part) in _OFFICIAL[split]:
                note += f" That is {_OFFICIAL[split][len(part)]}'s own size."
            else:
                note += (
                    " That is not the official set of 11,873 questions about "
                    "35 articles: these are no SQuAD 2.0 dev scores."
                )
        notes.append(note)
    return notes


def window_note(plan: WindowPlan, max_tokens: int) -> str:
    """How contexts were cut.

    Args:
        plan: WindowPlan.
        max_tokens: int. Most tokens of a window.
    """
    return (
        f"Windows of at most {max_tokens:,} tokens; {plan.stride:,} tokens, or "
        "half of the room if that is less, from one to the next; questions "
        f"cut to {plan.question_tokens:,} tokens."
    )


def threshold_note(
    held_out: SpanExamples | None, split: str, metric: str
) -> str:
    """How the threshold of no answer was chosen.

    Args:
        held_out: SpanExamples, or None. The questions it was chosen on; None
            if it was chosen on the scored ones themselves.
        split: str. The split that was scored.
        metric: str. What it was chosen for, `"exact"` or `"f1"`.
    """
    best = {"exact": "the best exact match", "f1": "the best F1"}[metric]
    if held_out is None:
        return (
            f"The threshold of no answer was chosen on {split} itself, for "
            f"{best}, as the official script's sweep does: the scores "
            "are too good by what that gains."
        )
    titles = ", ".join(sorted(held_out.articles))
    return (
        f"The threshold of no answer was chosen for {best} on "
        f"{len(held_out):,} questions about whole articles of the training "
        f"file ({titles}), on which nothing was trained. {split} was scored "
        "once."
    )


class _Tables:
    """The tables of one split; scores in percent."""

    def __init__(self, examples, train, evaluations):
        self.evaluations = evaluations
        self.questions = questions = examples.questions
        self.has_answer = np.array([bool(q.answers) for q in questions])
        # Questions about one paragraph are drawn together.
        self.groups = [question.context for question in questions]
        self.baselines = span_baselines(examples, train)

    def scores(self) -> dict[str, Any]:
        rows = []
        for name, result in self.evaluations.items():
            rows.append(self._row(name, result.exact, result.f1))
            rows[-1] += self._text_cells(result.text_exact, result.text_f1)
        for name, (exact, f1) in self.baselines.items():
            rows.append(self._row(name, exact, f1))
            rows[-1] += self._text_cells(exact, f1)
        return {
            "title": "Questions with an answer, and without",
            "note": (
                "In percent. ± is one standard error from a bootstrap over "
                "paragraphs. HasAns and NoAns: the questions that have an "
                "answer, and those that have none. The last two columns: of "
                "the former, the best text whatever the threshold says."
            ),
            "columns": [
                *("system", "EM", "±", "F1", "±"),
                *("HasAns EM", "HasAns F1", "NoAns EM"),
                *("HasAns EM, no answer off", "HasAns F1, no answer off"),
            ],
            "rows": rows,
        }

    def differences(self, compared) -> dict[str, Any]:
        empty = self.baselines[ALWAYS_EMPTY]
        rows = [
            self._difference(f"{name} − {ALWAYS_EMPTY}", result, *empty)
            for name, result in self.evaluations.items()
        ]
        for name, other_name in compared:
            other = self.evaluations[other_name]
            rows.append(
                self._difference(
                    f"{name} − {other_name}",
                    self.evaluations[name],
                    *(other.exact, other.f1),
                )
            )
        return {
            "title": "Differences",
            "note": "In points, with the standard error of the difference.",
            "columns": ["difference", "EM", "±", "F1", "±"],
            "rows": rows,
        }

    def by_answer(self) -> dict[str, Any]:
        return self._breakdown(
            "By the length of the answer",
            "words of the first answer",
            answer_length_parts(self.questions),
        )

    def by_context(self) -> dict[str, Any]:
        return self._breakdown(
            "By the length of the context",
            "words of the context",
            context_length_parts(self.questions),
        )

    def thresholds(self) -> dict[str, Any]:
        return {
            "title": "Thresholds",
            "note": (
                "`na_prob` above the threshold is no answer. The best ones "
                "are those a sweep over the scored questions themselves "
                "would choose."
            ),
            "columns": [
                *("system", "threshold", "best EM", "at", "best F1", "at"),
            ],
            "rows": [
                [
                    name,
                    round(result.threshold, 4),
                    _percent(result.best_exact.score),
                    round(result.best_exact.threshold, 4),
                    _percent(result.best_f1.score),
                    round(result.best_f1.threshold, 4),
                ]
                for name, result in self.evaluations.items()
            ],
        }

    def _row(self, name, exact, f1):
        cells = [name]
        for values in (exact, f1):
            cells.append(_percent(values.mean()))
            cells.append(_percent(bootstrap_error(values, self.groups)))
        has, has_not = self.has_answer, ~self.has_answer
        cells += [_mean(exact[has]), _mean(f1[has]), _mean(exact[has_not])]
        return cells

    def _text_cells(self, exact, f1):
        return [_mean(values[self.has_answer]) for values in (exact, f1)]

    def _difference(self, name, result, exact, f1):
        cells = [name]
        for values in (result.exact - exact, result.f1 - f1):
            cells.append(_percent(values.mean()))
            cells.append(_percent(bootstrap_error(values, self.groups)))
        return cells

    def _breakdown(self, title, column, parts):
        return {
            "title": title,
            "note": "EM / F1 in percent.",
            "columns": [column, "questions", *self.evaluations],
            "rows": [
                [
                    name,
                    int(rows.sum()),
                    *(
                        f"{_mean(result.exact[rows])} / "
                        f"{_mean(result.f1[rows])}"
                        for result in self.evaluations.values()
                    ),
                ]
                for name, rows in parts.items()
            ],
        }


def _percent(value):
    return round(100 * float(value), 1)


def _mean(values):
    return _percent(values.mean()) if len(values) else "-"
