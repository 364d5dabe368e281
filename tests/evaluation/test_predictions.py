import numpy as np
import pytest

from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.predictions import read_predictions, write_predictions

NAMES = ["not entailment", "entailment"]


def write_classes(path, **changes):
    arguments = {
        "ids": [7, "a\u2028b", 'he said "no'],
        "predictions": np.array([0, 1, 1]),
        "labels": np.array([0, 0, 1]),
        "scores": np.array(
            [[0.9, 0.1], [1 / 3, 2 / 3], [1e-20, 1.0]], dtype=np.float32
        ),
        "label_names": NAMES,
    }
    arguments.update(changes)
    write_predictions(path, **arguments)
    return arguments


def test_classes_come_back_exactly(tmp_path):
    written = write_classes(tmp_path / "p.tsv")
    read = read_predictions(tmp_path / "p.tsv")
    assert read.ids.tolist() == ["7", "a\u2028b", 'he said "no']
    np.testing.assert_array_equal(read.predictions, written["predictions"])
    np.testing.assert_array_equal(read.labels, written["labels"])
    np.testing.assert_array_equal(
        read.scores.astype(np.float32), written["scores"]
    )
    assert read.predictions.dtype == np.int64
    assert read.label_names == tuple(NAMES)


def test_file_is_readable(tmp_path):
    write_classes(tmp_path / "p.tsv")
    lines = (tmp_path / "p.tsv").read_text(encoding="utf-8").split("\n")
    assert lines[0] == (
        "index\tprediction\tlabel\tscore_not entailment\tscore_entailment"
    )
    assert lines[1] == "7\tnot entailment\tnot entailment\t0.9\t0.1"
    assert lines[-1] == ""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regression_comes_back_exactly(tmp_path, dtype):
    generator = np.random.default_rng(0)
    scores = generator.normal(size=50).astype(dtype)
    predictions = scores.clip(0, 5)
    labels = generator.uniform(0, 5, 50).astype(dtype)
    path = tmp_path / "p.tsv"
    write_predictions(path, range(50), predictions, labels, scores, None)
    read = read_predictions(path)
    assert read.label_names is None
    for name, expected in (
        ("predictions", predictions),
        ("labels", labels),
        ("scores", scores),
    ):
        np.testing.assert_array_equal(
            getattr(read, name).astype(dtype), expected
        )


@pytest.mark.parametrize("label_names", [NAMES, None])
def test_no_rows(tmp_path, label_names):
    scores = np.zeros((0, 2)) if label_names else np.zeros(0)
    path = tmp_path / "p.tsv"
    write_predictions(path, [], [], [], scores, label_names)
    assert read_predictions(path).scores.shape == scores.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": [1, 2]}, r"scores: received shape \(3, 2\); .* \(2, 2\)"),
        ({"labels": [0, 1]}, r"labels: received shape \(2,\) for 3 ids"),
        ({"ids": [1, "a\tb", 3]}, "ids: received 'a.tb'; expected no tab"),
        ({"label_names": ["a\n", "b"]}, "label_names: received 'a.n'"),
        ({"label_names": ["a", "a"]}, "expected each name once"),
        ({"predictions": [0, 2, 0]}, "predictions: row 1 is 2; .* below 2"),
        ({"labels": [0, 0, -1]}, "labels: row 2 is -1"),
        (
            {"scores": np.array([[0, 1], [np.nan, 0], [0, 0]])},
            "scores: row 1 is nan",
        ),
    ],
)
def test_wrong_arguments_leave_no_file(tmp_path, changes, message):
    with pytest.raises(ArgumentError, match=message):
        write_classes(tmp_path / "p.tsv", **changes)
    assert list(tmp_path.iterdir()) == []


HEADER = "index\tprediction\tlabel\tscore_a\tscore_b\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: received the columns"),
        ("index\tprediction\tlabel\n", "line 1: received the columns"),
        ("index\tprediction\tlabel\tother\n", "line 1: received the columns"),
        (HEADER.replace("_b", "_a"), "line 1: received the columns"),
        (HEADER + "1\ta\tb\t0\t1\n2\ta\tb\t0\n", "line 3: received 4 columns"),
        (HEADER + "1\tc\ta\t0\t1\n", "line 2, prediction: received 'c'"),
        (HEADER + "1\ta\tc\t0\t1\n", "line 2, label: received 'c'"),
        (HEADER + "1\ta\tb\t0\tx\n", "line 2, score_b: received 'x'"),
        (HEADER + "1\ta\tb\tnan\t0\n", "line 2, score_a: received 'nan'"),
        (
            "index\tprediction\tlabel\tscore\n1\t1.5\tgood\t1.5\n",
            "line 2, label: received 'good'; expected a finite number",
        ),
    ],
)
def test_damaged_file_names_file_and_line(tmp_path, text, message):
    path = tmp_path / "p.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_wrong_encoding_names_file_and_byte(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_bytes(HEADER.encode() + b"caf\xe9\ta\tb\t0\t1\n")
    with pytest.raises(DataError, match=r"p\.tsv: byte 42 is not UTF-8"):
        read_predictions(path)
