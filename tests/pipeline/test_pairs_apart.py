"""A whole run on pairs that are read apart, to its served answers."""

import dataclasses
import json

import numpy as np
import pytest

import bvkeras
from bvkeras import pipeline, tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cli.main import main
from bvkeras.data.sources import load_examples
from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation.comparison import ENCODER, HEAD, REGRESSION
from bvkeras.evaluation.predictions import read_predictions
from bvkeras.serving import inspect
from bvkeras.serving.text_model import TextModel
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead, train_head
from tests.pipeline.fast_run import FAST, short_report

# Three classes, and text B of some pairs is text A of others.
TASK = dataclasses.replace(tasks.get("mnli"), pairs="apart")
_SETTINGS = {k: v for k, v in FAST.items() if k != "units"}


@pytest.fixture(scope="module")
def run(tiny_bert, glue_dir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("apart") / "run"
    with short_report():
        comparison = pipeline.run(
            TASK,
            str(tiny_bert),
            directory,
            data_dir=glue_dir,
            learning_rate=5e-3,
            epochs=(1.0,),
            cache_dtype="float32",
            **_SETTINGS,
        )
    return directory, comparison


SPLIT = TASK.evaluation_splits[0]


def _texts(glue_dir, split):
    examples = load_examples(TASK, split, glue_dir)
    return list(examples.texts_a), list(examples.texts_b)


def test_every_row_is_there(run):
    directory, comparison = run
    kinds = [system.kind for system in comparison.systems]
    assert {ENCODER, HEAD, REGRESSION} <= set(kinds)
    head = TrainedHead.open(directory / "head" / "epoch_1")
    assert head.task == TASK
    model = head.load_model()
    assert type(model) is bvkeras.models.WeightedProbe
    assert model.pairs
    assert tasks.read_task(directory) == TASK
    cache = HiddenStateCache(directory / "cache" / "epoch_1" / "train")
    texts = _texts_of(cache)
    assert cache.manifest.examples == texts < 2 * len(cache)


def _texts_of(cache):
    return len({*cache.pairs.first.tolist(), *cache.pairs.second.tolist()})


@pytest.mark.parametrize(
    "system",
    [
        "encoder",
        "head",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in ("regression", "frozen", "frozen_regression")
        ),
    ],
)
def test_served_it_answers_as_it_was_scored(
    run, tiny_bert, glue_dir, system, tmp_path
):
    """From texts, in this process, and for two systems by an export."""
    directory, _ = run
    frozen = {"encoder": tiny_bert} if "frozen" in system else {}
    model = TextModel.open(directory, system=system, **frozen)
    found = model.predict(*_texts(glue_dir, SPLIT))["probabilities"]
    folder = {
        "encoder": "finetune/epoch_1",
        "head": "head/epoch_1",
        "regression": "regression/epoch_1",
        "frozen": "head/frozen",
        "frozen_regression": "regression/frozen",
    }[system]
    scored = read_predictions(directory / folder / f"evaluation/{SPLIT}.tsv")
    np.testing.assert_allclose(scored.scores, found, atol=1e-4)
    if system in ("encoder", "head"):
        version = bvkeras.serving.export_runs(
            [directory], tmp_path / "export", system=system
        )
        assert not inspect(version).unusual
        exported = TextModel.open(tmp_path / "export")
        answers = exported.predict(*_texts(glue_dir, SPLIT))
        np.testing.assert_allclose(answers["probabilities"], found, atol=1e-5)
        described = json.loads(
            (version / "assets.extra" / "bvkeras.json").read_text()
        )
        assert described["tasks"][TASK.name]["pairs"] == "apart"


def test_the_encoder_reads_texts_alone_and_is_scored_so(run, glue_dir):
    directory, comparison = run
    snapshot = Snapshot.open(directory / "finetune" / "epoch_1")
    assert snapshot.task == TASK
    found = TextModel.open(directory, system="encoder").predict(
        *_texts(glue_dir, SPLIT)
    )
    labels = load_examples(TASK, SPLIT, glue_dir).labels
    (row,) = [one for one in comparison.systems if one.kind == ENCODER]
    accuracy = np.mean(found["label_index"] == labels)
    assert accuracy == pytest.approx(row.scores[SPLIT]["accuracy"])


def test_the_other_way_to_read_is_another_run(run, tiny_bert, glue_dir):
    directory, _ = run
    with pytest.raises(RunError, match="pairs"):
        pipeline.run(
            "mnli",
            str(tiny_bert),
            directory,
            data_dir=glue_dir,
            learning_rate=5e-3,
            epochs=(1.0,),
            cache_dtype="float32",
            pooler="weighted",
            **_SETTINGS,
        )


def test_what_is_not_of_pairs_apart_is_refused(run, tmp_path):
    directory, _ = run
    cache = HiddenStateCache(directory / "cache" / "epoch_1" / "train")
    with pytest.raises(ArgumentError, match="pooler: expected weighted of"):
        train_head(TASK, cache, tmp_path / "head", pooler="linear")
    joint = dataclasses.replace(TASK, pairs="joint")
    with pytest.raises(ArgumentError, match="read apart, expected joint"):
        train_head(joint, cache, tmp_path / "head")
    with pytest.raises(ArgumentError, match="has no pairs of texts"):
        dataclasses.replace(tasks.get("sst2"), pairs="apart")
    with pytest.raises(ArgumentError, match="expected one of joint, apart"):
        dataclasses.replace(TASK, pairs="both")
    assert not (tmp_path / "head").exists()


def test_a_head_from_the_command_line_reads_as_its_cache_does(run, tmp_path):
    directory, _ = run
    main(
        [
            *("train", "mnli"),
            *("--cache", str(directory / "cache" / "epoch_1" / "train")),
            *("--output-dir", str(tmp_path / "head")),
            *("--head-epochs", "1"),
        ]
    )
    assert TrainedHead.open(tmp_path / "head").task.is_apart
