"""Answers to GLUE's test files, as the benchmark's server takes them."""

import csv
import dataclasses

import numpy as np
import pytest

import bvkeras
from bvkeras import tasks
from bvkeras.cli import main as cli
from bvkeras.data.glue_files import FOLDERS
from bvkeras.errors import ArgumentError
from bvkeras.serving import ServedHead, ServedTask, TextModel, glue_submission
from bvkeras.tasks.glue import GLUE
from tests.data.glue_fixtures import write_paraphrase_corpus, write_tsv
from tests.serving.conftest import MAX_TOKENS, randomize

WORDS = {"mnli", "qnli", "rte"}
INDEX = {"qqp": "id"}
# Columns that stand between, and must not matter.
OTHER = {"mrpc": ("#1 ID", "#2 ID"), "stsb": ("genre", "year")}
ROWS = [
    ['Zoë sings "loudly', "Zoë sings."],
    ["", "😀 \u2028 שלום"],
    ["a b c " * 30, "7 7"],
    ["z z", ""],
]


def make_model(spec, encoder):
    """A head for a task of GLUE, on the tiny encoder."""
    sizes = {
        "units": 4,
        "num_layers": encoder.num_layers,
        "hidden_dim": encoder.hidden_dim,
    }
    if spec.is_regression:
        head = bvkeras.models.PoolingRegressor(**sizes)
    else:
        head = bvkeras.models.PoolingClassifier(
            spec.num_labels, sequence_length=MAX_TOKENS, **sizes
        )
    randomize(head, 3)
    served = ServedTask.of(
        spec,
        ServedHead.of(head),
        max_tokens=MAX_TOKENS,
        layers=range(encoder.num_layers),
    )
    return TextModel.of(encoder, served)


def write_test(spec, path, rows, start=0):
    other = OTHER.get(spec.name, ())
    header = (INDEX.get(spec.name, "index"), *other, *spec.text_columns)
    body = [
        (str(i), *("x" for _ in other), *texts[: len(spec.text_columns)])
        for i, texts in enumerate(rows, start)
    ]
    write_tsv(path, [header, *body])


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def expected(spec, model, rows):
    """The rows of a submission, from the model's answers."""
    columns = list(zip(*rows, strict=True))[: len(spec.text_columns)]
    answers = model.predict(*columns)
    if spec.is_regression:
        cells = [f"{min(max(s, 0), 5):.4f}" for s in answers["score"]]
    elif spec.name in WORDS:
        cells = answers["label"].tolist()
    else:
        cells = [str(i) for i in answers["label_index"]]
    return [
        ["index", "prediction"],
        *([str(i), cell] for i, cell in enumerate(cells)),
    ]


@pytest.mark.parametrize("spec", GLUE, ids=lambda spec: spec.name)
def test_submission_of_each_task(spec, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(glue_submission, "_ROWS_AT_ONCE", 3)
    folder = FOLDERS[spec.name]
    # By the name of the file: rows that are another order of the same.
    files = {f"{folder}.tsv": (f"glue/{folder}/test.tsv", ROWS)}
    if spec.name == "mnli":
        files = {
            "MNLI-m.tsv": ("glue/MNLI/test_matched.tsv", ROWS),
            "MNLI-mm.tsv": ("glue/MNLI/test_mismatched.tsv", ROWS[::-1]),
            "AX.tsv": ("glue/diagnostic/diagnostic.tsv", ROWS[1:]),
        }
    for path, rows in files.values():
        write_test(spec, tmp_path / path, rows)
    model = make_model(spec, encoder)
    output = tmp_path / "out"
    output.mkdir()
    (output / "other.tsv").touch()
    written = glue_submission.write_submission(model, tmp_path, output)
    assert [path.name for path in written] == list(files)
    assert {p.name for p in output.iterdir()} == {*files, "other.tsv"}
    for name, (_, rows) in files.items():
        assert read(output / name) == expected(spec, model, rows)


def test_test_files_are_not_replaced(encoder, tmp_path):
    spec = tasks.get("mnli")
    for name in ("test_matched.tsv", "test_mismatched.tsv", "AX.tsv"):
        write_test(spec, tmp_path / name, ROWS)
    model = make_model(spec, encoder)
    before = (tmp_path / "AX.tsv").read_bytes()
    with pytest.raises(ArgumentError, match=r"AX\.tsv is a test file"):
        glue_submission.write_submission(model, tmp_path, tmp_path)
    assert (tmp_path / "AX.tsv").read_bytes() == before


def test_paraphrase_corpus_as_it_came(encoder, tmp_path):
    spec = tasks.get("mrpc")
    write_paraphrase_corpus(tmp_path / "MRPC")
    model = make_model(spec, encoder)
    (path,) = glue_submission.write_submission(model, tmp_path, tmp_path / "o")
    rows = read(path)
    assert path.name == "MRPC.tsv"
    assert [row[0] for row in rows[1:]] == [str(i) for i in range(9)]
    assert {row[1] for row in rows[1:]} <= {"0", "1"}


def test_scores_stay_within_0_and_5(encoder, tmp_path):
    class Far:
        name, kind, label_names = "stsb", "regression", None
        input_names = ("text", "text_b")

        def predict(self, first, second):
            return {"score": np.array([-2, 5.25, 3.14159, 0], np.float32)}

    write_test(tasks.get("stsb"), tmp_path / "test.tsv", ROWS)
    (path,) = glue_submission.write_submission(Far(), tmp_path, tmp_path / "o")
    assert [row[1] for row in read(path)[1:]] == [
        *("0.0000", "5.0000", "3.1416", "0.0000"),
    ]


def test_command_answers_an_export(exported, glue_dir, tmp_path, capsys):
    command = [
        *("predict", str(exported.directory), "--task", "mnli"),
        *("--split", "test", "--data-dir", str(glue_dir)),
        *("--output", str(tmp_path / "out")),
    ]
    assert cli.main(command) == 0
    assert "MNLI-mm.tsv" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("MNLI-m.tsv", "MNLI-mm.tsv")
    }
    assert len(read(tmp_path / "out" / "MNLI-m.tsv")) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "squad_v2"], "split: squad_v2 has no official test files"),
        (["--task", "sst2", "--text", "a"], "--text: expected with --input"),
        (["--task", "stsb"], "test.tsv: row 3: 2 tab-separated columns"),
        (["--task", "mnli"], "no test_mismatched.tsv of mnli"),
        (["--task", "sst2"], "test.tsv: row 3: index is '7', expected 1"),
    ],
)
def test_refused_in_one_line_without_a_trace(
    exported, tmp_path, capsys, arguments, message
):
    data = tmp_path / "data"
    write_test(tasks.get("mnli"), data / "MNLI" / "test_matched.tsv", ROWS)
    write_test(tasks.get("sst2"), data / "SST-2" / "test.tsv", ROWS)
    path = data / "SST-2" / "test.tsv"
    path.write_text(path.read_text("utf-8").replace("\n1\t", "\n7\t"), "utf-8")
    write_tsv(
        data / "STS-B" / "test.tsv",
        [("index", "sentence1", "sentence2"), ("0", "a", "b"), ("1", "a")],
    )
    command = [
        *("predict", str(exported.directory), "--split", "test"),
        *("--data-dir", str(data), "--output", str(tmp_path / "out")),
    ]
    assert cli.main([*command, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert error.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_task_of_the_same_name_is_refused(encoder, tmp_path):
    spec = dataclasses.replace(tasks.get("sst2"), label_names=("dull", "fine"))
    model = make_model(spec, encoder)
    with pytest.raises(ArgumentError, match="is not of GLUE's SST-2"):
        glue_submission.write_submission(model, tmp_path, tmp_path / "out")
