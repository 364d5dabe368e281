"""SQuAD's four steps on a tiny BERT: by the pipeline, and verb by verb."""

import contextlib
import dataclasses
import io
import json
import logging

import numpy as np
import pytest

from bvkeras import pipeline, tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cli import main as cli
from bvkeras.data.sources import load_examples
from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.evaluation.spans.squad_metrics import answer_scores
from bvkeras.reports.report import read_report
from bvkeras.training.head import TrainedHead
from tests.data.squad_fixtures import write_squad
from tests.pipeline.fast_run import FAST, short_report

_PLAN = tasks.WindowPlan(stride=10, question_tokens=2)
TASK = dataclasses.replace(tasks.get("squad_v2"), windows=_PLAN)
_PLAN_OPTIONS = ("--stride", "10", "--question-tokens", "2")
SETTINGS = {**FAST, "epochs": (0.5, 1.0), "learning_rate": 1e-3}
OPTIONS = (
    *("--max-tokens", "32", "--batch-size", "8", "--learning-rate", "1e-3"),
    *("--epochs", "0.5,1"),
)
HEAD_OPTIONS = ("--units", "4", "--head-epochs", "2")
# What each kind of work is done by; a finished run needs none of it.
_WORK = (
    "bvkeras.training.finetune._train_step",
    "bvkeras.training.head.build_head",
    "bvkeras.cache.writer._extract",
    "bvkeras.evaluation.evaluate.predict_scores",
    "bvkeras.evaluation.evaluate._predict_from_cache",
)


@pytest.fixture(scope="module")
def squad_dir(tmp_path_factory):
    return write_squad(tmp_path_factory.mktemp("squad"))


@pytest.fixture(scope="module")
def finished(tiny_bert, squad_dir, tmp_path_factory):
    """A run with every row, and its directory."""
    output_dir = tmp_path_factory.mktemp("run")
    with short_report():
        comparison = pipeline.run(
            TASK,
            str(tiny_bert),
            output_dir,
            data_dir=squad_dir,
            control=True,
            **SETTINGS,
        )
    return comparison, output_dir


def load(directory, system, split="validation"):
    """The four files of a system's answers."""
    folder = directory / system / "evaluation" / split
    if system.startswith("ensemble"):
        folder = directory / system / split
    return {
        name: json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in ("predictions", "texts", "na_prob", "scores")
    }


def test_steps_of_a_finished_run_are_finished(finished, tiny_bert, squad_dir):
    steps = pipeline.check_run(
        *(TASK, str(tiny_bert), finished[1]),
        data_dir=squad_dir,
        control=True,
        **SETTINGS,
    )
    # Two encoders with head and two ensembles each, frozen and control.
    assert [step.is_finished for step in steps] == [True] * 15


def test_every_system_is_scored(finished):
    comparison, output_dir = finished
    assert [system.name for system in comparison.systems] == [
        "fine-tuned encoder, epoch 0.5",
        "pooled head on it, epoch 0.5",
        "mean of encoder and head, epoch 0.5",
        "maximum of encoder and head, epoch 0.5",
        "fine-tuned encoder, epoch 1",
        "pooled head on it, epoch 1",
        "mean of encoder and head, epoch 1",
        "maximum of encoder and head, epoch 1",
        "head on the frozen encoder",
        "encoder after one more epoch",
    ]
    assert comparison.examples == {
        "train": 32,
        "held_out": 8,
        "validation": 16,
    }
    for system in comparison.systems:
        assert list(system.scores) == ["validation"]
        assert list(system.scores["validation"]) == ["exact", "f1"]
    assert comparison.baseline == {"validation": {"exact": 0.5, "f1": 0.5}}
    stored = read_report(output_dir / "report.json")
    assert stored.to_dict() == json.loads(json.dumps(comparison.to_dict()))


def test_threshold_is_chosen_on_held_out_articles(finished, squad_dir):
    _, output_dir = finished
    examples = load_examples("squad_v2", "validation", squad_dir)
    for system in (
        *("finetune/epoch_1", "head/epoch_1", "head/frozen"),
        *("ensemble/epoch_1/mean", "ensemble/epoch_1/maximum"),
    ):
        held_out = load(output_dir, system, "held_out")
        files = load(output_dir, system)
        assert held_out["scores"]["settings"]["threshold"] == "exact"
        threshold = held_out["scores"]["threshold"]
        assert threshold == held_out["scores"]["scores"]["best_exact_thresh"]
        assert files["scores"]["settings"]["threshold"] == threshold
        for name in examples.ids:
            above = files["na_prob"][name] > threshold
            expected = "" if above else files["texts"][name]
            assert files["predictions"][name] == expected


def test_scores_are_those_of_the_predictions(finished, squad_dir):
    comparison, output_dir = finished
    examples = load_examples("squad_v2", "validation", squad_dir)
    for system in comparison.systems:
        path = output_dir / comparison.files[f"{system.name}, validation"]
        predictions = json.loads(path.read_text("utf-8"))
        texts = [predictions[name] for name in examples.ids]
        exact, f1 = answer_scores(examples.questions, texts)
        assert system.scores["validation"] == {
            "exact": pytest.approx(exact.mean()),
            "f1": pytest.approx(f1.mean()),
        }


def test_report_has_the_tables_and_says_what_was_done(finished):
    comparison, output_dir = finished
    text = (output_dir / "report.md").read_text(encoding="utf-8")
    assert [table["title"] for table in comparison.tables] == [
        "Questions with an answer, and without",
        "Differences",
        "By the length of the answer",
        "By the length of the context",
        "Thresholds",
    ]
    for table in comparison.tables:
        assert f"## {table['title']}" in text
        for row in table["rows"]:
            assert len(row) == len(table["columns"])
            assert f"| {row[0]} |" in text
    assert (
        "| pooled head on it, epoch 1 − fine-tuned encoder, epoch 1 |" in text
    )
    assert "these are no SQuAD 2.0 dev scores" in text
    assert "Windows of at most 32 tokens; 10 tokens, or half" in text
    assert "whole articles of the training file" in text
    assert "| nothing | 0.500 | 0.500 |" in text
    assert "BERT-base | 0.694" in text


def test_errors_of_encoder_and_head_are_compared(finished):
    comparison, output_dir = finished
    for encoder, head in (comparison.systems[:2], comparison.systems[4:6]):
        name = f"{head.name}, errors on validation"
        path = output_dir / comparison.files[name]
        assert path.parent.name == "errors_validation"
        analysis = json.loads((path.parent / "errors.json").read_text("utf-8"))
        assert analysis["questions"] == 16
        for system, found in zip(
            (encoder, head), analysis["systems"], strict=True
        ):
            assert found["name"] == system.name
            expected = system.scores["validation"]
            assert found["scores"]["all"] == {
                "questions": 16,
                "exact": pytest.approx(expected["exact"]),
                "f1": pytest.approx(expected["f1"]),
            }
        table = (path.parent / "differences.tsv").read_text("utf-8")
        columns = f"id\tquestion\tgold answers\t{encoder.name}\t{head.name}\n"
        assert table.startswith(columns)
        notes = [
            note
            for note in comparison.notes
            if note.startswith(f"{head.name} less {encoder.name}, question by")
        ]
        assert len(notes) == 1
        assert "McNemar on EM: p = " in notes[0]


def test_caches_hold_the_windows_and_their_plan(finished, squad_dir):
    _, output_dir = finished
    for split, questions in (("train", 32), ("held_out", 8)):
        cache = HiddenStateCache(output_dir / "cache" / "epoch_1" / split)
        assert len(cache) > questions
        identity = cache.manifest.identity
        assert identity["max_tokens"] == 32
        assert identity["windows"] == {"stride": 10, "question_tokens": 2}


def test_parameters_are_counted(finished):
    _, head = finished[0].systems[4:6]
    assert head.trained_parameters == 4 * 17 + 2 * (3 * 4 + 1)


def test_finished_run_is_read_and_not_done_again(
    finished, tiny_bert, squad_dir, monkeypatch
):
    def fail(*args, **kwargs):
        raise AssertionError("finished work was done again")

    for name in _WORK:
        monkeypatch.setattr(name, fail)
    comparison, output_dir = finished
    with short_report():
        again = pipeline.run(
            TASK,
            str(tiny_bert),
            output_dir,
            data_dir=squad_dir,
            control=True,
            **SETTINGS,
        )
    first, second = comparison.to_dict(), again.to_dict()
    assert second.pop("created") >= first.pop("created")
    assert second == first


@pytest.mark.parametrize(
    ("task", "changed", "name"),
    [
        (TASK, {"dev_threshold": True}, "threshold"),
        (TASK, {"threshold_metric": "f1"}, "threshold"),
        (tasks.get("squad_v2"), {}, "windows.stride"),
    ],
)
def test_threshold_and_plan_of_a_finished_run_are_not_changed(
    finished, tiny_bert, squad_dir, task, changed, name
):
    with pytest.raises(RunError, match=f"was made with {name} = "):
        pipeline.run(
            task,
            str(tiny_bert),
            finished[1],
            data_dir=squad_dir,
            **changed,
            **SETTINGS,
        )


def test_threshold_is_for_a_metric_of_the_task(tmp_path):
    with pytest.raises(
        ArgumentError, match="threshold_metric: expected one of exact, f1; got"
    ):
        pipeline.run(TASK, "x", tmp_path, threshold_metric="accuracy")


@pytest.mark.full
def test_threshold_can_be_swept_on_the_scored_split(
    tiny_bert, squad_dir, tmp_path, caplog
):
    # A question whose answer is elsewhere is left out and counted.
    path = squad_dir / "squad_v2" / "train-v2.0.json"
    data = json.loads(path.read_text("utf-8"))
    answers = data["data"][2]["paragraphs"][0]["qas"][0]["answers"]
    answers[0]["answer_start"] += 1
    bad_dir = tmp_path / "bad"
    bad_dir.mkdir()
    (bad_dir / path.name).write_text(json.dumps(data), "utf-8")
    name = "dev-v2.0.json"
    (bad_dir / name).write_bytes((path.parent / name).read_bytes())
    with caplog.at_level(logging.WARNING, "bvkeras"), short_report():
        comparison = pipeline.run(
            "squad_v2",
            str(tiny_bert),
            tmp_path / "run",
            data_dir=bad_dir,
            frozen=False,
            skip_bad=True,
            dev_threshold=True,
            threshold_metric="f1",
            **{**SETTINGS, "epochs": (0.5,)},
        )
    assert "left out 1 malformed questions" in caplog.text
    left_out = list((tmp_path / "run").glob("left_out_*.txt"))
    assert left_out
    for path in left_out:
        (line,) = path.read_text("utf-8").splitlines()
        assert "article " in line
    notes = "\n".join(comparison.notes)
    assert "1 malformed ones were left out of it" in notes
    assert "chosen on validation itself, for the best F1" in notes
    for system in ("finetune/epoch_0.5", "head/epoch_0.5"):
        scores = load(tmp_path / "run", system)["scores"]
        assert scores["threshold"] == scores["scores"]["best_f1_thresh"]
        folder = tmp_path / "run" / system / "evaluation"
        assert not (folder / "held_out").exists()
    for system in comparison.systems:
        assert system.scores["validation"]["f1"] >= 0.5


@pytest.fixture(scope="module")
def steps(tiny_bert, squad_dir, tmp_path_factory):
    """Every verb in order: the folder, and what each printed."""
    folder = tmp_path_factory.mktemp("steps")
    data = ("--data-dir", str(squad_dir))
    encoder = folder / "finetune" / "epoch_1" / "encoder"
    printed = {}

    def call(name, *arguments):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            assert cli.main(arguments) == 0
        printed[name] = dict(
            line.split(": ", 1)
            for line in output.getvalue().splitlines()
            if ": " in line
        )

    call(
        "finetune",
        *("finetune", "squad_v2", "--backbone", str(tiny_bert), *data),
        *("--output-dir", str(folder / "finetune"), *OPTIONS),
        *_PLAN_OPTIONS,
    )
    for split in ("train", "held_out", "validation"):
        call(
            f"extract {split}",
            *("extract", "squad_v2", "--encoder", str(encoder), *data),
            *("--split", split, "--max-tokens", "32", *_PLAN_OPTIONS),
            *("--output-dir", str(folder / "cache" / split)),
        )
    call(
        "train",
        *("train", "squad_v2", "--cache", str(folder / "cache" / "train")),
        *("--output-dir", str(folder / "head"), *HEAD_OPTIONS),
    )
    for what, chosen in (
        ("head", ("--head", str(folder / "head"))),
        ("snapshot", ("--snapshot", str(encoder.parent))),
    ):
        scores = ("--output-dir", str(folder / f"{what} scores"))
        for split in ("held_out", "validation"):
            options = ("--split", split)
            if what == "head":
                options = ("--cache", str(folder / "cache" / split))
            if split == "validation":
                options += (
                    "--threshold",
                    printed[f"{what} held_out"]["threshold"],
                )
            call(
                f"{what} {split}",
                *("evaluate", "squad_v2", *chosen, *options, *data, *scores),
            )
    return folder, printed


@pytest.mark.full
def test_verbs_come_to_what_the_run_came_to(steps, finished):
    folder, printed = steps
    comparison, output_dir = finished
    encoder, head = comparison.systems[4:6]
    for what, system in (("snapshot", encoder), ("head", head)):
        scores = system.scores["validation"]
        found = printed[f"{what} validation"]
        assert found["exact"] == f"{scores['exact']:.4f}"
        assert found["f1"] == f"{scores['f1']:.4f}"
    one = TrainedHead.open(folder / "head").load_model()
    other = TrainedHead.open(output_dir / "head" / "epoch_1").load_model()
    for first, second in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("verb", ["finetune", "extract"])
def test_what_was_made_with_another_plan_is_refused(
    finished, verb, tiny_bert, squad_dir, capsys
):
    _, folder = finished
    encoder = folder / "finetune" / "epoch_1" / "encoder"
    options = {
        "finetune": (
            *("--backbone", str(tiny_bert), *OPTIONS),
            *("--output-dir", str(folder / "finetune")),
        ),
        "extract": (
            *("--encoder", str(encoder), "--max-tokens", "32"),
            *("--output-dir", str(folder / "cache" / "epoch_1" / "train")),
        ),
    }
    data = ("--data-dir", str(squad_dir), "--stride", "11")
    assert cli.main([verb, "squad_v2", *options[verb], *data]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "was made with windows.stride = 10, not 11" in line


def test_head_and_cache_have_one_plan(finished, tmp_path):
    _, folder = finished
    head = TrainedHead.open(folder / "head" / "epoch_1")
    identity = {**head.cache_identity, "windows": {"stride": 11}}
    other = dataclasses.replace(head, cache_identity=identity)
    cache = HiddenStateCache(folder / "cache" / "epoch_1" / "validation")
    with pytest.raises(ArgumentError, match=r"has windows \{'stride': 10"):
        evaluate_head(TASK, other, cache, tmp_path, None, 0.5)


def test_scoring_needs_a_threshold(finished, squad_dir, tmp_path, capsys):
    _, folder = finished
    arguments = [
        *("evaluate", "squad_v2", "--data-dir", str(squad_dir)),
        *("--snapshot", str(folder / "finetune" / "epoch_1")),
        *("--output-dir", str(tmp_path)),
    ]
    assert cli.main(arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --threshold: expected the one that evaluating the split "
        "held_out prints, or --dev-threshold; got none"
    )
    assert cli.main([*arguments, "--dev-threshold"]) == 0


def test_head_is_scored_on_the_questions_of_its_cache(
    finished, squad_dir, tmp_path
):
    _, folder = finished
    head = TrainedHead.open(folder / "head" / "epoch_1")
    cache = HiddenStateCache(folder / "cache" / "epoch_1" / "validation")
    task = tasks.get("squad_v2")
    others = load_examples("squad_v2", "held_out", squad_dir)
    for examples in (None, others):
        with pytest.raises(ArgumentError, match="examples: expected those"):
            evaluate_head(task, head, cache, tmp_path, examples, 0.5)
