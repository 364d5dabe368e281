"""Two systems' errors, against counting by hand."""

import json
import math

import numpy as np
import pytest
import scipy.stats

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.error_analysis import analyze_errors, differing_rows
from bvkeras.evaluation.error_report import (
    error_note,
    format_error_report,
    report_errors,
    write_differences,
)
from bvkeras.evaluation.outcomes import Outcomes
from bvkeras.evaluation.word_counts import count_words


def _outcomes(predictions, labels, ids=None):
    ids = ids or tuple(f"row {i}" for i in range(len(labels)))
    return Outcomes("file", tuple(ids), np.array(predictions), np.array(labels))


@pytest.fixture
def pair():
    labels = list("aaabbbc")
    return _outcomes(list("aabbbac"), labels), _outcomes(
        list("aaabaaa"), labels
    )


def test_counts(pair):
    analysis = analyze_errors(*pair, names=("one", "two"))
    assert analysis.rows == 7
    assert analysis.classes == ["a", "b", "c"]
    one, two = analysis.systems
    assert (one.name, two.name) == ("one", "two")
    assert one.accuracy == pytest.approx(5 / 7)
    assert two.accuracy == pytest.approx(4 / 7)
    assert one.predicted_share == {
        "a": pytest.approx(3 / 7),
        "b": pytest.approx(3 / 7),
        "c": pytest.approx(1 / 7),
    }
    assert one.recall == {
        "a": pytest.approx(2 / 3),
        "b": pytest.approx(2 / 3),
        "c": 1.0,
    }
    assert two.confusion == [[3, 0, 0], [2, 1, 0], [1, 0, 0]]
    assert one.words_right == []
    both = {
        name: analysis.pair[name]
        for name in ("both_right", "only_first", "only_second", "both_wrong")
    }
    assert list(both.values()) == [3, 2, 1, 1]
    assert analysis.pair["overlap"] == pytest.approx(3 / 7)
    assert analysis.pair["agreement"] == pytest.approx(4 / 7)
    assert analysis.pair["difference"] == pytest.approx(-1 / 7)


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(3, 9), (5, 5), (1, 0)]
)
def test_mcnemar_and_the_interval(only_first, only_second):
    rows = 40
    first = ["x"] * rows
    second = list(first)
    for row in range(only_second):
        first[row] = "y"
    for row in range(only_second, only_second + only_first):
        second[row] = "y"
    labels = ["x"] * rows
    pair = analyze_errors(_outcomes(first, labels), _outcomes(second, labels))
    # The exact test from its definition: heads of a fair coin.
    tosses, low = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(tosses, k) for k in range(low + 1)) / 2**tosses
    assert pair.pair["p_value"] == pytest.approx(min(1.0, 2 * tail))
    # The interval from the standard error of the mean of -1, 0 and 1.
    changes = [1] * only_second + [-1] * only_first
    changes += [0] * (rows - len(changes))
    half = 1.959964 * np.std(changes) / math.sqrt(rows)
    mean = np.mean(changes)
    assert pair.pair["interval"] == pytest.approx((mean - half, mean + half))


def test_systems_that_never_differ_in_being_right():
    labels = ["x", "y"]
    same = _outcomes(["x", "x"], labels)
    pair = analyze_errors(same, same).pair
    assert pair["p_value"] == 1.0
    assert pair["interval"] == (0.0, 0.0)
    assert pair["agreement"] == 1.0


def test_a_class_without_rows_has_no_recall():
    outcomes = _outcomes(["z", "x"], ["x", "x"])
    (system, _) = analyze_errors(outcomes, outcomes).systems
    assert system.recall == {"x": 0.5, "z": None}


def test_words(pair):
    texts = [
        [" ".join(["w"] * n) for n in range(1, 8)],
        ["one  two\tthree"] * 7,
    ]
    analysis = analyze_errors(*pair, texts=texts)
    one, _ = analysis.systems
    assert one.words_right == [pytest.approx((1 + 2 + 4 + 5 + 7) / 5), 3.0]
    assert one.words_wrong == [pytest.approx((3 + 6) / 2), 3.0]
    with pytest.raises(ArgumentError, match="texts: received 2, expected one"):
        analyze_errors(*pair, texts=[["a", "b"]])


def test_ways_to_count_words():
    texts = ["Don't, in 1999!", "Zoë — ß2b", ""]
    assert count_words(texts).tolist() == [3, 3, 0]
    assert count_words(texts, "letters").tolist() == [3, 3, 0]
    assert count_words(["U.S. 5 % _x_"]).tolist() == [4]
    assert count_words(["U.S. 5 % _x_"], "letters").tolist() == [3]
    with pytest.raises(ArgumentError, match="words: expected one of tokens"):
        count_words(texts, "syllables")


def test_letters_alone(pair):
    analysis = analyze_errors(*pair, texts=[["a 1 b"] * 7], words="letters")
    assert analysis.systems[0].words_right == [2.0]


def test_system_that_predicts_one_class_is_named_first(pair):
    constant = _outcomes(["a"] * 7, pair[0].labels)
    analysis = analyze_errors(pair[0], constant, ("encoder", "head"))
    sentence = "head predicts a for every row: it has learned nothing"
    lines = format_error_report(analysis).splitlines()
    assert lines[2].startswith(f"**{sentence}")
    assert error_note(analysis).startswith(sentence)
    assert "for every row" not in error_note(analyze_errors(*pair))


def test_order_of_rows_does_not_matter(pair):
    first, second = pair
    turned = _outcomes(
        second.predictions[::-1], second.labels[::-1], second.ids[::-1]
    )
    assert analyze_errors(first, turned) == analyze_errors(first, second)


def test_scores():
    random = np.random.default_rng(0)
    labels = random.uniform(0, 5, 200)
    labels[:2] = 0, 5
    predictions = [labels + random.normal(size=200) for _ in range(2)]
    predictions[1] = labels + 0.5 * (predictions[1] - labels) + 0.1
    analysis = analyze_errors(*(_outcomes(p, labels) for p in predictions))
    assert analysis.classes == []
    for system, values in zip(analysis.systems, predictions, strict=True):
        errors = values - labels
        assert system.pearson == pytest.approx(
            np.corrcoef(values, labels)[0, 1]
        )
        assert system.mean_error == pytest.approx(np.mean(errors))
        assert system.mean_absolute_error == pytest.approx(
            np.mean(np.abs(errors))
        )
        assert system.root_mean_squared_error == pytest.approx(
            np.sqrt(np.mean(errors**2))
        )
        assert sum(part["rows"] for part in system.by_label) == 200
        for part in system.by_label:
            inside = (labels >= part["low"]) & (
                (labels < part["high"]) | (part["high"] == 5)
            )
            assert part["rows"] == inside.sum()
            assert part["mean_error"] == pytest.approx(errors[inside].mean())
    errors = [np.abs(values - labels) for values in predictions]
    change = errors[1] - errors[0]
    pair = analysis.pair
    assert pair["difference"] == pytest.approx(change.mean())
    assert pair["second_closer"] == pytest.approx((change < 0).mean())
    half = 1.959964 * change.std(ddof=1) / math.sqrt(200)
    assert pair["interval"] == pytest.approx(
        (change.mean() - half, change.mean() + half)
    )
    assert pair["p_value"] == pytest.approx(
        scipy.stats.wilcoxon(errors[0], errors[1]).pvalue
    )
    assert pair["p_value"] < 1e-6


def test_scores_that_are_all_the_same():
    same = _outcomes([2.0, 2.0], [1.0, 1.0])
    analysis = analyze_errors(same, same)
    assert analysis.systems[0].pearson == 0.0
    assert analysis.pair["p_value"] == 1.0
    assert analysis.systems[0].by_label[-1]["rows"] == 2


def test_differing_rows(pair):
    assert differing_rows(*pair, count=10).tolist() == [2, 4, 6]
    some = differing_rows(*pair, count=2, seed=3)
    assert len(some) == 2
    assert set(some) < {2, 4, 6}
    assert differing_rows(*pair, count=2, seed=3).tolist() == some.tolist()
    assert differing_rows(*pair, count=0).size == 0
    with pytest.raises(ArgumentError, match="count: received -1"):
        differing_rows(*pair, count=-1)
    numbers = [
        _outcomes(p, [0.0] * 4) for p in ([1.0, 2, 3, 4], [1.0, 5, 3, 3])
    ]
    assert differing_rows(*numbers, count=2).tolist() == [1, 3]


def test_report(pair, tmp_path):
    analysis = report_errors(
        *pair,
        tmp_path,
        names=("encoder", "head"),
        texts=[["a b"] * 7],
        samples=1,
    )
    assert analysis == analyze_errors(
        *pair, names=("encoder", "head"), texts=[["a b"] * 7]
    )
    written = json.loads((tmp_path / "errors.json").read_text())
    assert written["pair"]["both_right"] == 3
    assert written["systems"][1]["confusion"] == [
        [3, 0, 0],
        [2, 1, 0],
        [1, 0, 0],
    ]
    text = (tmp_path / "errors.md").read_text()
    assert text == format_error_report(analysis)
    assert "| only encoder right | 2 | 0.286 |" in text
    assert "| recall of c | 1.000 | 0.000 |" in text
    assert "Accuracy of head less that of encoder: -0.1429" in text
    assert len((tmp_path / "differences.tsv").read_text().splitlines()) == 2
    assert error_note(analysis) == (
        "head less encoder, row by row: accuracy -0.1429 (95% -0.6161 to "
        "+0.3304; McNemar: p = 1)."
    )


def test_report_of_scores():
    labels = [0.0, 1.0, 2.0]
    analysis = analyze_errors(
        _outcomes([0.0, 1.5, 2.0], labels),
        _outcomes([0.5, 1.0, 2.0], labels),
        names=("encoder", "head"),
    )
    text = format_error_report(analysis)
    assert "| mean absolute error | 0.167 | 0.167 |" in text
    assert "| 0.40 to 0.80 | 0 | - | - | - | - |" in text
    assert "head is closer on 0.333 of the rows" in text


def test_differences_compute_nothing_in_a_spreadsheet(pair, tmp_path):
    path = tmp_path / "differences.tsv"
    texts = [["=1+1", "@x", "-0.5", "+a", "-", "x", "y"]]
    write_differences(path, range(7), *pair, ("=one", "two"), texts)
    header, *rows = (line.split("\t") for line in path.read_text().splitlines())
    assert header[2:4] == ["'=one", "two"]
    assert [row[-1] for row in rows] == [
        *("'=1+1", "'@x", "-0.5", "'+a", "-", "x", "y")
    ]


def test_differences_keep_quotes_and_lose_tabs(pair, tmp_path):
    path = tmp_path / "differences.tsv"
    texts = [['say "a"\tand\nb'] * 7]
    write_differences(path, [2, 4], *pair, ("one", "two"), texts)
    assert path.read_text() == (
        "index\tlabel\tone\ttwo\ttext_1\n"
        'row 2\ta\tb\ta\tsay "a" and b\n'
        'row 4\tb\tb\ta\tsay "a" and b\n'
    )
