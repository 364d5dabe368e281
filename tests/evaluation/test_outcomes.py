"""Tables of predictions, ours and anybody's."""

import numpy as np
import pytest

from bvkeras.errors import DataError
from bvkeras.evaluation.outcomes import read_outcomes
from bvkeras.evaluation.predictions import write_predictions


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "excel.csv"
    text = "index,prediction,label\n1,a,b\n"
    path.write_text(text, encoding="utf-8-sig")
    assert read_outcomes(path).ids == ("1",)


def test_own_files(tmp_path):
    write_predictions(
        tmp_path / "c.tsv",
        ids=["a", "b"],
        predictions=np.array([1, 0]),
        labels=np.array([1, 1]),
        scores=np.array([[0.2, 0.8], [0.9, 0.1]]),
        label_names=("no", "yes"),
    )
    outcomes = read_outcomes(tmp_path / "c.tsv")
    assert outcomes.ids == ("a", "b")
    assert outcomes.predictions.tolist() == ["yes", "no"]
    assert outcomes.labels.tolist() == ["yes", "yes"]
    assert not outcomes.is_regression
    write_predictions(
        tmp_path / "r.tsv",
        ids=[0, 1],
        predictions=np.array([1.5, 0.25]),
        labels=np.array([1.0, 0.5]),
        scores=np.array([1.5, 0.25]),
        label_names=None,
    )
    outcomes = read_outcomes(tmp_path / "r.tsv")
    assert outcomes.is_regression
    assert outcomes.predictions.tolist() == [1.5, 0.25]


def test_other_files(tmp_path):
    path = _write(
        tmp_path / "theirs.csv",
        'gold,text,uid,output\n1,"a, ""b""",x,0\n0,c,y,0\n',
    )
    columns = {"index": "uid", "prediction": "output", "label": "gold"}
    outcomes = read_outcomes(path, columns)
    assert outcomes.ids == ("x", "y")
    assert outcomes.labels.tolist() == ["1", "0"]
    numbers = read_outcomes(path, columns, regression=True)
    assert numbers.labels.tolist() == [1.0, 0.0]


def test_quotes_in_tab_separated_files_are_letters(tmp_path):
    path = _write(tmp_path / "t.tsv", 'index\tprediction\tlabel\n"a\tx"\t"x\n')
    outcomes = read_outcomes(path)
    assert outcomes.ids == ('"a',)
    assert outcomes.predictions.tolist() == ['x"']


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "", "line 1: has no column 'index'"),
        ("a.tsv", "index\tprediction\n1\tx\n", "no column 'label'; it has"),
        ("a.tsv", "index\tprediction\tlabel\n", "has no rows"),
        (
            "a.tsv",
            "index\tprediction\tlabel\na\tx\tx\nb\tx\n",
            "line 3: has 2 cells, expected 3",
        ),
        (
            "a.tsv",
            "index\tprediction\tlabel\na\tx\tx\na\tx\tx\n",
            "two rows have the index 'a'",
        ),
        (
            "a.tsv",
            "index\tprediction\tlabel\tscore\na\tnan\t1\t1\n",
            "line 2: received 'nan', expected a number",
        ),
        ("a.csv", 'index,prediction,label\na,"x"y,z\n', "line 2: "),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    path = _write(tmp_path / name, text)
    with pytest.raises(DataError, match=message) as error:
        read_outcomes(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_not_utf8(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"index\tprediction\tlabel\n\xff\tx\tx\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_outcomes(path)


def test_order_of_another(tmp_path):
    header = "index\tprediction\tlabel\n"
    first = read_outcomes(_write(tmp_path / "1", f"{header}a\tx\tx\nb\ty\tx\n"))
    second = read_outcomes(
        _write(tmp_path / "2", f"{header}b\tx\tx\na\ty\tx\n")
    )
    ordered = second.in_order_of(first)
    assert ordered.ids == ("a", "b")
    assert ordered.predictions.tolist() == ["y", "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tx\tx\n", "2: has no row 'b' and 1 rows less than"),
        ("a\tx\tx\nb\tx\tx\nc\tx\tx\n", "1: has no row 'c'"),
        ("a\tx\tx\nb\tx\tz\n", "row 'b': its label is z, in .* it is x"),
    ],
)
def test_other_examples(tmp_path, text, message):
    header = "index\tprediction\tlabel\n"
    first = read_outcomes(_write(tmp_path / "1", f"{header}a\tx\tx\nb\ty\tx\n"))
    second = read_outcomes(_write(tmp_path / "2", header + text))
    with pytest.raises(DataError, match=message):
        second.in_order_of(first)
