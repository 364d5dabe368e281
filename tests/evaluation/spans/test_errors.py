"""Two systems' answers, against counting by hand."""

import dataclasses
import json

import numpy as np
import pytest

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.spans.error_report import (
    format_span_error_report,
    report_span_errors,
    span_error_note,
)
from bvkeras.evaluation.spans.errors import (
    analyze_span_errors,
    differing_questions,
)
from bvkeras.evaluation.spans.squad_metrics import (
    answer_scores,
    official_scores,
)
from tests.data.squad_fixtures import make_question

SHORT = "b c d e f g h i j k"
LONG = " ".join(["x"] * 100 + ["y"])
QUESTIONS = (
    make_question(SHORT, "b", name="one"),
    make_question(SHORT, "c d e", "c d", name="two"),
    make_question(SHORT, name="three"),
    make_question(LONG, name="four"),
    make_question(LONG, "x x", name="five"),
    make_question(LONG, "y", name="six"),
)
QUESTIONS = tuple(
    dataclasses.replace(question, question="why " * (number + 1))
    for number, question in enumerate(QUESTIONS)
)
# Right: the first three; and the first, the fourth and the last. Of "An" no
# word counts, so it is no answer.
FIRST = ("b", "c d", "", "x", "", "An")
SECOND = ("The b!", "d e x", "b", "", "x x x", "y")
NAMES = ("encoder", "head")


@pytest.fixture
def analysis():
    return analyze_span_errors(QUESTIONS, FIRST, SECOND, NAMES)


def part(questions, exact, f1):
    return {
        "questions": questions,
        "exact": pytest.approx(exact),
        "f1": pytest.approx(f1),
    }


def test_scores(analysis):
    assert (analysis.questions, analysis.paragraphs) == (6, 2)
    first, second = analysis.systems
    assert (first.name, second.name) == NAMES
    assert first.scores == {
        "all": part(6, 3 / 6, 3 / 6),
        "HasAns": part(4, 2 / 4, 2 / 4),
        "NoAns": part(2, 1 / 2, 1 / 2),
    }
    # "d e x" has two of the three words of "c d e", "x x x" both of "x x".
    assert second.scores == {
        "all": part(6, 3 / 6, (1 + 2 / 3 + 0 + 1 + 0.8 + 1) / 6),
        "HasAns": part(4, 2 / 4, (1 + 2 / 3 + 0.8 + 1) / 4),
        "NoAns": part(2, 1 / 2, 1 / 2),
    }


def test_by_length(analysis):
    first, second = analysis.systems
    assert list(first.by_answer) == ["no answer", "1", "2", "3 to 5"]
    assert first.by_answer["1"] == part(2, 1 / 2, 1 / 2)
    assert second.by_answer == {
        "no answer": part(2, 1 / 2, 1 / 2),
        "1": part(2, 1, 1),
        "2": part(1, 0, 0.8),
        "3 to 5": part(1, 0, 2 / 3),
    }
    assert first.by_context == {
        "up to 90": part(3, 1, 1),
        "91 to 130": part(3, 0, 0),
    }
    assert second.by_context == {
        "up to 90": part(3, 1 / 3, (1 + 2 / 3) / 3),
        "91 to 130": part(3, 2 / 3, 2.8 / 3),
    }


def test_answered_by_nothing(analysis):
    first, second = analysis.systems
    assert first.empty_share == pytest.approx(3 / 6)
    assert (first.empty_right, first.empty_wrong) == (1, 2)
    assert second.empty_share == pytest.approx(1 / 6)
    assert (second.empty_right, second.empty_wrong) == (1, 0)


def test_words(analysis):
    first, second = analysis.systems
    assert first.words_right == {"context": 10, "question": (1 + 2 + 3) / 3}
    assert first.words_wrong == {"context": 101, "question": (4 + 5 + 6) / 3}
    assert second.words_right["context"] == pytest.approx((10 + 202) / 3)
    assert second.words_wrong["question"] == pytest.approx((2 + 3 + 5) / 3)


def test_together(analysis):
    pair = dict(analysis.pair)
    intervals = pair.pop("exact_interval"), pair.pop("f1_interval")
    assert pair == {
        "agreement": pytest.approx(1 / 6),
        "both_right": 1,
        "only_first": 2,
        "only_second": 2,
        "both_wrong": 1,
        "overlap": pytest.approx(1 / 6),
        "p_value": 1.0,
        "exact_difference": 0,
        "f1_difference": pytest.approx((-1 / 3 - 1 + 2.8) / 6),
    }
    # Of two paragraphs one is drawn twice in half of the draws, so the ends
    # are the means of either.
    assert intervals[0] == pytest.approx((-2 / 3, 2 / 3))
    assert intervals[1] == pytest.approx((-4 / 9, 2.8 / 3))


def test_mcnemar_of_exact_match():
    questions = [make_question(SHORT, "b", name=str(i)) for i in range(9)]
    first, second = ["b"] + ["c"] * 8, ["c"] + ["b"] * 7 + ["b b"]
    pair = analyze_span_errors(questions, first, second).pair
    assert (pair["only_first"], pair["only_second"]) == (1, 7)
    # Nine of the 256 outcomes of eight tosses are as uneven, to either side.
    assert pair["p_value"] == pytest.approx(2 * 9 / 256)
    # All are about one paragraph.
    assert pair["exact_interval"] is None


def test_scores_are_the_official_ones():
    random = np.random.default_rng(0)
    questions, texts = [], [[], []]
    for number in range(60):
        answers = [SHORT[start : start + 5] for start in random.choice(8, 2)]
        answers = answers[: number % 3]
        context = f"{SHORT} {number // 4}"
        questions.append(make_question(context, *answers, name=str(number)))
        for answered in texts:
            start = random.integers(8)
            answered.append(SHORT[start : start + random.integers(6)])
    has_answer = np.array([bool(q.answers) for q in questions])
    analysis = analyze_span_errors(questions, *texts)
    for system, answered in zip(analysis.systems, texts, strict=True):
        exact, f1 = answer_scores(questions, answered)
        expected = official_scores(exact, f1, has_answer)
        for name, prefix in (
            ("all", ""),
            ("HasAns", "HasAns_"),
            ("NoAns", "NoAns_"),
        ):
            assert system.scores[name] == part(
                expected[f"{prefix}total"],
                expected[f"{prefix}exact"] / 100,
                expected[f"{prefix}f1"] / 100,
            )
    low, high = analysis.pair["f1_interval"]
    assert low < analysis.pair["f1_difference"] < high


def test_questions_that_all_have_an_answer():
    analysis = analyze_span_errors(QUESTIONS[:2], ["b", "c"], ["b", "c d"])
    first, second = analysis.systems
    assert list(first.scores) == ["all", "HasAns"]
    assert second.words_wrong == {"context": None, "question": None}
    text = format_span_error_report(analysis)
    assert "| mean words of the question, answered wrong | 2.0 | - |" in text
    assert "NoAns" not in text
    # One paragraph gives no interval.
    assert "in points: EM +50.0, F1 +16.7;" in text


def test_unusable_arguments():
    with pytest.raises(ArgumentError, match=r"questions: .* got none"):
        analyze_span_errors([], [], [])
    with pytest.raises(ArgumentError, match="texts: received 5 for 6"):
        analyze_span_errors(QUESTIONS, FIRST, SECOND[:5])
    with pytest.raises(ArgumentError, match="count: received -1"):
        differing_questions(FIRST, SECOND, -1)


def test_differing_questions():
    assert differing_questions(FIRST, SECOND, 9).tolist() == [1, 2, 3, 4, 5]
    chosen = differing_questions(FIRST, SECOND, 2, seed=1).tolist()
    assert len(chosen) == 2
    assert chosen == sorted(chosen)
    again = differing_questions(FIRST, SECOND, 2, seed=1).tolist()
    assert again == chosen
    others = {
        tuple(differing_questions(FIRST, SECOND, 2, seed)) for seed in range(9)
    }
    assert len(others) > 1


def test_report(analysis, tmp_path):
    second = (*SECOND[:4], 'x\tx\n"x"\u2028', SECOND[5])
    written = report_span_errors(
        QUESTIONS, FIRST, second, tmp_path, names=NAMES
    )
    assert written == analysis
    stored = json.loads((tmp_path / "errors.json").read_text("utf-8"))
    assert stored == json.loads(json.dumps(dataclasses.asdict(analysis)))
    text = (tmp_path / "errors.md").read_text("utf-8")
    assert text == format_span_error_report(analysis)
    for line in (
        "6 questions about 2 paragraphs.",
        "|  | questions | encoder | head |",
        "| all | 6 | 50.0 / 50.0 | 50.0 / 74.4 |",
        "| HasAns | 4 | 50.0 / 50.0 | 50.0 / 86.7 |",
        "| answered by nothing, of all | 50.0% | 16.7% |",
        "| questions answered by nothing, wrong | 2 | 0 |",
        "| mean words of the context, answered right | 10.0 | 70.7 |",
        "| only head right | 2 | 0.333 |",
        "| 3 to 5 | 1 | 100.0 / 100.0 | 0.0 / 66.7 |",
        "| 91 to 130 | 3 | 0.0 / 0.0 | 66.7 / 93.3 |",
        "to 0.167 of the questions",
    ):
        assert line in text
    assert (tmp_path / "differences.tsv").read_text("utf-8") == (
        "id\tquestion\tgold answers\tencoder\thead\n"
        "two\twhy why\tc d e | c d\tc d\td e x\n"
        "three\twhy why why\t\t\tb\n"
        "four\twhy why why why\t\tx\t\n"
        'five\twhy why why why why\tx x\t\tx x "x"\n'
        "six\twhy why why why why why\ty\tAn\ty\n"
    )
    report_span_errors(QUESTIONS, FIRST, second, tmp_path, samples=1)
    table = (tmp_path / "differences.tsv").read_text("utf-8")
    assert len(table.splitlines()) == 2


def test_note(analysis):
    assert span_error_note(analysis) == (
        "head less encoder, question by question, in points: EM +0.0 (95% "
        "-66.7 to +66.7), F1 +24.4 (95% -44.4 to +93.3); McNemar on EM: p = 1."
    )
