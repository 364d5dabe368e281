"""Several labels a text, from a table to served answers."""

import csv
import json
import shutil

import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.cli import main as cli
from bvkeras.evaluation.ensemble import combine_predictions
from bvkeras.evaluation.predictions import read_predictions
from bvkeras.serving.layout import read_description, version_directory
from bvkeras.training.head import TrainedHead
from tests.pipeline.fast_run import short_report

_WORDS = {"loud": "7 7", "old, or 😀": "z z"}
_FAST = (
    *("--epochs", "1", "--units", "4", "--head-epochs", "4"),
    *("--batch-size", "8", "--learning-rate", "1e-3"),
)


def _rows(count):
    """Texts with the words of their labels: none, one of two, or both."""
    for i in range(count):
        labels = [name for n, name in enumerate(_WORDS) if i >> n & 1]
        words = " ".join(_WORDS[name] for name in labels)
        yield f"k{i}", f"a {words} {'b c ' * (i % 5)}{i}", "|".join(labels)


def _write(path, count=48):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text", "traits"])
        writer.writerows(_rows(count))


@pytest.fixture(scope="module")
def run(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    _write(folder / "traits.csv")
    command = [
        *("run", "--train", str(folder / "traits.csv"), "--label", "traits"),
        *("--kind", "multilabel", "--id-column", "key", "--held-out", "0.25"),
        *("--backbone", str(tiny_bert), *_FAST),
        *("--output-dir", str(folder / "run")),
    ]
    with short_report():
        assert cli.main(command) == 0
    return folder / "run"


def _predictions(run, system):
    return run / system / "epoch_1" / "evaluation" / "validation.tsv"


def test_report_has_every_row_and_each_label(run):
    spec = tasks.get(run)
    assert (spec.kind, spec.label_names) == (tasks.Kind.LABELS, tuple(_WORDS))
    report = json.loads((run / "report.json").read_text())
    kinds = [system["kind"] for system in report["systems"]]
    assert set(kinds) >= {
        *("encoder", "head", "regression", "frozen_head"),
        *("frozen_regression", "ensemble_mean"),
    }
    assert "ensemble_maximum" not in kinds
    scores = [s["scores"]["validation"] for s in report["systems"]]
    assert all(list(one) == list(spec.metrics) for one in scores)
    # The regression can tell words apart that the tiny encoder gives.
    assert max(one["micro_f1"] for one in scores) > 0.8
    assert report["baseline_name"] == "the most frequent labels"
    [table] = report["tables"]
    assert [row[0] for row in table["rows"]] == [
        name for name in _WORDS for _ in range(2)
    ]
    assert report["differences"][0]["metric"] == "micro_f1"
    assert "Labels on validation" in (run / "report.md").read_text()


def test_predictions_are_sets(run):
    encoder, head, mean = (
        read_predictions(path)
        for path in (
            *(_predictions(run, name) for name in ("finetune", "head")),
            run / "ensemble" / "epoch_1" / "mean" / "validation.tsv",
        )
    )
    rows = {name: labels for name, _, labels in _rows(48)}
    for name, labels in zip(head.ids, head.labels, strict=True):
        chosen = np.array(head.label_names)[labels == 1]
        assert "|".join(chosen) == rows[name]
    np.testing.assert_array_equal(head.predictions, head.scores >= 0.5)
    np.testing.assert_allclose(mean.scores, (encoder.scores + head.scores) / 2)
    with pytest.raises(ValueError, match="mean for a multilabel task"):
        combine_predictions(encoder, head, "maximum")


def test_errors_are_told_label_by_label(run, tmp_path, capsys):
    paths = [str(_predictions(run, name)) for name in ("finetune", "head")]
    command = [
        *("errors", *paths, "--task", str(run)),
        *("--output-dir", str(tmp_path)),
    ]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "| subset accuracy |" in printed
    assert "| label | rows | predicted | precision | recall | F1 |" in printed
    record = json.loads((tmp_path / "errors.json").read_text())
    found = read_predictions(paths[1])
    assert record["systems"][1]["accuracy"] == np.mean(
        (found.predictions == found.labels).all(axis=1)
    )
    assert record["classes"] == sorted(_WORDS)
    # Labels of other examples are noticed.
    other = tmp_path / "other.tsv"
    text = _predictions(run, "head").read_text("utf-8").splitlines()
    cells = text[1].split("\t")
    cells[2] = "" if cells[2] else "loud"
    other.write_text("\n".join([text[0], "\t".join(cells), *text[2:]]) + "\n")
    command[2] = str(other)
    assert cli.main(command) == 1
    assert "its label is" in capsys.readouterr().err


@pytest.mark.parametrize("system", ["head", "regression"])
def test_new_texts_are_answered_as_in_the_run(run, tmp_path, capsys, system):
    known = read_predictions(_predictions(run, system))
    model = run
    if system == "regression":
        model = tmp_path / "out"
        export = ("export", str(run), "--system", system)
        assert cli.main([*export, "--output", str(model)]) == 0
        assert cli.main(["inspect", str(model)]) == 0
        assert "nothing unusual" in capsys.readouterr().out
        about = read_description(version_directory(model))["tasks"]["traits"]
        assert about["kind"] == "multilabel"
        assert about["label_names"] == list(_WORDS)
    _write(tmp_path / "new.csv")
    command = [
        *("predict", str(model), "--id-column", "key"),
        *("--input", str(tmp_path / "new.csv")),
        *("--output", str(tmp_path / "answers.csv")),
    ]
    assert cli.main(command) == 0
    with open(tmp_path / "answers.csv", encoding="utf-8", newline="") as file:
        answers = {row["key"]: row for row in csv.DictReader(file)}
    assert list(answers["k0"]) == [
        *("key", "labels"),
        *(f"probability_{name}" for name in _WORDS),
    ]
    for name, scores in zip(known.ids, known.scores, strict=True):
        row = answers[name]
        given = [float(row[f"probability_{label}"]) for label in _WORDS]
        # The cache rounds hidden states to bfloat16.
        np.testing.assert_allclose(given, scores, atol=0.02)
        assert row["labels"] == "|".join(
            label
            for label, probability in zip(_WORDS, given, strict=True)
            if probability >= 0.5
        )


def test_regression_is_one_for_each_label(run):
    head = TrainedHead.open(run / "regression" / "epoch_1")
    model = head.load_model()
    assert model.kernel.shape[1] == 2
    assert model.get_config()["several_labels"]
    record = json.loads((head.directory / "head.json").read_text())
    assert len(record["penalty"]) == 2


def test_settings_of_its_head_are_searched(run, tmp_path):
    cache = run / "cache" / "epoch_1" / "train"
    command = [
        *("tune", str(run), "--cache", str(cache), "--trials", "2"),
        *("--output-dir", str(tmp_path), "--finalists", "0"),
        *("--set", "units=2", "--set", "epochs=1"),
    ]
    assert cli.main(command) == 0
    assert "micro_f1" in (tmp_path / "report.json").read_text()
    shutil.rmtree(tmp_path)
