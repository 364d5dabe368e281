"""From a table of one's own to answers for new texts, by the command line."""

import csv
import json
import pathlib

import pytest

from bvkeras import tasks
from bvkeras.cli import main as cli
from bvkeras.evaluation.predictions import read_predictions
from tests.pipeline.fast_run import short_report

_TOPICS = {"sport": "7 7", "arts": "z z", "weather": "a q", "news": "b w"}
_ODD = ("", "😀", 'in "quotes"', "a line\nbreak", "שלום", "; , \t")
_FAST = (
    *("--epochs", "1", "--units", "4", "--head-epochs", "2"),
    *("--batch-size", "8", "--learning-rate", "1e-3"),
)


def _write(path: pathlib.Path, count: int, labels: bool = True) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "review", *(["topic"] if labels else [])])
        for i in range(count):
            topic = list(_TOPICS)[i % 4]
            text = f"{_TOPICS[topic]} {'a b c ' * (i % 5)}{_ODD[i % 6]} {i}"
            writer.writerow([f"k{i}", text, *([topic] if labels else [])])


@pytest.fixture(scope="module")
def run(tiny_bert, tmp_path_factory):
    """The one command on a table of four classes: its folder, and itself."""
    folder = tmp_path_factory.mktemp("own")
    _write(folder / "topics.csv", 48)
    command = [
        *("run", "--train", str(folder / "topics.csv"), "--text", "review"),
        *("--label", "topic", "--id-column", "key", "--held-out", "0.25"),
        *("--backbone", str(tiny_bert), *_FAST),
        *("--output-dir", str(folder / "run")),
    ]
    with short_report():
        assert cli.main(command) == 0
    return folder, command


def test_run_knows_its_task(run):
    spec = tasks.get(run[0] / "run")
    assert spec.name == "topics"
    assert spec.label_names == ("arts", "news", "sport", "weather")
    assert spec == tasks.read_task(run[0] / "run" / "task.json")
    report = json.loads((run[0] / "run" / "report.json").read_text())
    assert report["examples"] == {"train": 36, "validation": 12}
    assert any("held out" in note for note in report["notes"])


def test_table_is_described_before_work(run, capsys):
    with short_report():
        assert cli.main(run[1]) == 0
    printed = capsys.readouterr().out
    assert "4 classes: arts, news, sport, weather" in printed
    assert printed.index("rows read") < printed.index("pooled head")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_answers_are_those_of_the_run(run, tmp_path, ending):
    _write(tmp_path / "new.csv", 48, labels=False)
    output = tmp_path / f"answers.{ending}"
    command = [
        *("predict", str(run[0] / "run"), "--output", str(output)),
        *("--input", str(tmp_path / "new.csv"), "--id-column", "key"),
        *("--keep", "review"),
    ]
    assert cli.main(command) == 0
    with open(output, encoding="utf-8", newline="") as file:
        rows = (
            list(csv.DictReader(file))
            if ending == "csv"
            else [json.loads(line) for line in file]
        )
    assert [row["key"] for row in rows] == [f"k{i}" for i in range(48)]
    assert rows[3]["review"].endswith("a line\nbreak 3")
    answers = {row["key"]: row for row in rows}
    known = read_predictions(
        run[0] / "run" / "head" / "epoch_1" / "evaluation" / "validation.tsv"
    )
    assert len(known.ids) == 12
    for name, number, scores in zip(
        known.ids, known.predictions, known.scores, strict=True
    ):
        row = answers[name]
        assert row["label"] == known.label_names[number]
        # The cache rounds hidden states to bfloat16.
        for label, score in zip(known.label_names, scores, strict=True):
            assert float(row[f"probability_{label}"]) == pytest.approx(
                score, abs=0.01
            )


def test_every_verb_takes_the_run_for_its_task(run, tmp_path, capsys):
    folder = run[0] / "run"
    command = [
        *("evaluate", str(folder), "--head", str(folder / "head" / "epoch_1")),
        *("--cache", str(folder / "cache" / "epoch_1" / "validation")),
        *("--output-dir", str(tmp_path / "scores")),
    ]
    assert cli.main(command) == 0
    assert "macro_f1" in capsys.readouterr().out
    command = [
        *("errors", *(str(folder / part) for part in _BOTH)),
        *("--task", str(folder / "task.json")),
        *("--output-dir", str(tmp_path / "errors")),
    ]
    assert cli.main(command) == 0
    assert (
        cli.main(["export", str(folder), "--output", str(tmp_path / "export")])
        == 0
    )
    assert (
        cli.main(
            [
                *("predict", str(tmp_path / "export"), "--text", "review"),
                *("--input", str(run[0] / "topics.csv")),
                *("--output", str(tmp_path / "answers.tsv")),
            ]
        )
        == 0
    )
    lines = (tmp_path / "answers.tsv").read_text("utf-8").splitlines()
    assert lines[0].split("\t")[:3] == ["row", "label", "score"]
    assert len(lines) == 49


_BOTH = (
    "finetune/epoch_1/evaluation/validation.tsv",
    "head/epoch_1/evaluation/validation.tsv",
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--held-out", "0.5"), "made with"),
        (("--label", "key"), "different in each of 48 rows"),
        (("--kind", "regression"), "topics.csv"),
        (("--text", "title"), "no column 'title'"),
    ],
)
def test_another_command_there_is_refused_in_one_line(
    run, capsys, changes, message
):
    before = (run[0] / "run" / "task.json").read_bytes()
    assert cli.main([*run[1], *changes]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert (run[0] / "run" / "task.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "TASK, --train: expected one of them, got none"),
        (["run", "rte", "--train", "x"], "TASK, --train: expected one of"),
        (["run", "rte", "--label", "x"], "--label: expected with --train"),
        (["describe"], "--train: expected a table"),
        (
            ["predict", "nowhere", "--input", "x", "--output", "a.txt"],
            "output: expected a name that ends in .csv",
        ),
        (
            ["predict", "nowhere", "--input", "x", "--output", "a.csv"],
            "nowhere holds no finished run",
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments, message, capsys):
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("new.csv", "new.csv is an input, expected another file"),
        ("../new/new.csv", "new.csv is an input, expected another file"),
        ("made/answers.csv", "new.csv: row 1: no column 'review'"),
    ],
)
def test_refused_answers_replace_and_make_nothing(
    run, tmp_path, capsys, output, message
):
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "new.csv").write_text("text\na\n", "utf-8")
    command = [
        *("predict", str(run[0] / "run"), "--input", str(folder / "new.csv")),
        *("--output", str(folder / output)),
    ]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["new.csv"]
    assert (folder / "new.csv").read_text("utf-8") == "text\na\n"


def test_wrong_row_of_new_texts_leaves_no_answers(run, tmp_path, capsys):
    path = tmp_path / "new.jsonl"
    path.write_text('{"review": "a"}\n{"review": 7}\n')
    output = tmp_path / "answers.csv"
    command = [
        *("predict", str(run[0] / "run"), "--input", str(path)),
        *("--output", str(output)),
    ]
    assert cli.main(command) == 1
    assert "row 2: review is 7, expected a text" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["new.jsonl"]
