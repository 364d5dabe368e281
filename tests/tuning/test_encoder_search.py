"""Searches for the settings of fine-tuning, on the tiny BERT."""

import csv
import shutil

import keras_tuner
import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.cli import main as cli
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, BackboneError, RunError
from bvkeras.training.finetune import Snapshot, finetune
from bvkeras.tuning import encoder_search
from bvkeras.tuning.encoder_hypermodel import EncoderHyperModel
from bvkeras.tuning.encoder_search import tune_encoder
from bvkeras.tuning.spaces import Choice, EncoderSpace, Range
from tests.tiny_runs import CLASSES, SCORES, fail_at_call, make_examples

_SPACE = EncoderSpace(
    learning_rate=Range(1e-3, 1e-2),
    batch_size=Choice((4, 8)),
    warmup_fraction=Choice((0.1, 0.5)),
    epochs=0.5,
)
# SST-2 is one of the tasks that are tuned on a tenth of their rows.
_SETTINGS = {"space": _SPACE, "max_tokens": 16, "rows_share": 1.0}


def _examples(task=CLASSES):
    return {
        "train": make_examples(task=task),
        "validation": make_examples(10, task, "validation"),
    }


@pytest.fixture(scope="module")
def found(tiny_bert, tmp_path_factory):
    """A finished search of two trials; do not change it."""
    directory = tmp_path_factory.mktemp("encoders")
    result = tune_encoder(
        CLASSES, str(tiny_bert), _examples(), directory, trials=2, **_SETTINGS
    )
    return directory, result


def test_report_table_and_best_encoder(found):
    directory, result = found
    assert [t.trial for t in result.trials] == ["0", "1"]
    assert result.best.score == max(t.score for t in result.trials)
    assert list(result.scores) == ["validation"]
    assert "search for the best encoder" in result.report_path.read_text()
    assert Snapshot.open(result.snapshot.directory).epochs == 0.5
    with open(directory / "trials.csv", encoding="utf-8") as file:
        assert {row["epochs_trained"] for row in csv.DictReader(file)} == {
            "0.5"
        }
    weights = list(directory.glob("trials/trial_*/*.weights.h5"))
    assert [path.parent.name for path in weights] == [
        f"trial_{result.best.trial}"
    ]


@pytest.mark.full
def test_killed_in_the_second_trial(found, tiny_bert, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at_call(patch, EncoderHyperModel, "fit", 2, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            tune_encoder(
                CLASSES,
                str(tiny_bert),
                _examples(),
                tmp_path,
                trials=2,
                **_SETTINGS,
            )
    fits = fail_at_call(monkeypatch, EncoderHyperModel, "fit", 99, None)
    result = tune_encoder(
        CLASSES, str(tiny_bert), _examples(), tmp_path, trials=2, **_SETTINGS
    )
    assert len(fits) == 1
    for own, expected in zip(result.trials, found[1].trials, strict=True):
        assert own.settings == expected.settings
        assert own.score == pytest.approx(expected.score)
        assert own.loss == pytest.approx(expected.loss, rel=1e-4)


@pytest.mark.parametrize(
    ("dropout", "sentence_pooling"),
    [(0.2, "mean"), pytest.param(None, None, marks=pytest.mark.full)],
)
def test_trial_is_what_finetune_does(
    tiny_bert, tmp_path, dropout, sentence_pooling
):
    model = EncoderHyperModel(
        SCORES,
        str(tiny_bert),
        make_examples(task=SCORES),
        _SPACE,
        max_tokens=16,
        dropout=dropout,
        sentence_pooling=sentence_pooling,
    )
    hp = keras_tuner.HyperParameters()
    hp.values = {"batch_size": 4, "warmup_fraction": 0.5, "learning_rate": 5e-3}
    hp.values["seed"] = 3
    trained = model.build(hp)
    model.fit(hp, trained)
    model.fold_targets(trained)
    # A small encoder's own is none.
    rate = dropout or 0.0
    snapshot = finetune(
        load_backbone(
            tiny_bert, dropout=rate, sentence_pooling=sentence_pooling
        ),
        SCORES,
        model._parts[0],
        tmp_path,
        learning_rate=5e-3,
        batch_size=4,
        max_tokens=16,
        epochs=(0.5,),
        dropout=rate,
        warmup_fraction=0.5,
        seed=3,
    )[0]
    _, expected = snapshot.load_model()
    for own, other in zip(trained.weights, expected.weights, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-4, err_msg=own.path)


@pytest.mark.full
def test_search_with_the_mean(tiny_bert, tmp_path):
    def search(sentence_pooling):
        return tune_encoder(
            CLASSES,
            str(tiny_bert),
            _examples(),
            tmp_path,
            trials=1,
            sentence_pooling=sentence_pooling,
            **_SETTINGS,
        )

    snapshot = search("mean").snapshot
    encoder, _ = snapshot.load_model()
    assert encoder.sentence_pooling == "mean"
    assert snapshot.frozen_parameters == 16 * 17
    assert search("mean").snapshot == snapshot
    with pytest.raises(RunError, match='sentence_pooling = "mean", not "cls"'):
        search(None)


@pytest.mark.full
def test_checkpoint_with_two_rates_of_dropout(tiny_bert, tmp_path):
    model = shutil.copytree(tiny_bert, tmp_path / "model")
    config = fileio.read_json(model / "config.json")
    config["attention_probs_dropout_prob"] = 0.3
    fileio.write_json(model / "config.json", config)
    with pytest.raises(BackboneError, match="one rate for both"):
        load_backbone(model)
    result = tune_encoder(
        *(CLASSES, str(model), _examples(), tmp_path / "search"),
        trials=1,
        retrain=False,
        **_SETTINGS,
    )
    assert len(result.trials) == 1


def test_search_that_was_made_with_cls(found, tiny_bert):
    settings = fileio.read_json(found[0] / "settings.json")
    assert settings["sentence_pooling"] == "cls"
    with pytest.raises(RunError, match='sentence_pooling = "cls", not "mean"'):
        tune_encoder(
            CLASSES,
            str(tiny_bert),
            _examples(),
            found[0],
            trials=2,
            sentence_pooling="mean",
            **_SETTINGS,
        )


def test_another_sentence_pooling(tiny_bert):
    with pytest.raises(ArgumentError, match="sentence_pooling: expected"):
        EncoderHyperModel(
            CLASSES, str(tiny_bert), make_examples(), sentence_pooling="max"
        )


@pytest.mark.parametrize(("task", "rows"), [(CLASSES, 4), (SCORES, 40)])
def test_rows_of_big_tasks(tiny_bert, task, rows):
    model = EncoderHyperModel(task, str(tiny_bert), make_examples(task=task))
    assert model.training_rows + model.held_out_rows == rows


def test_share_out_of_range(tiny_bert):
    with pytest.raises(ArgumentError, match="rows_share: expected"):
        EncoderHyperModel(
            CLASSES, str(tiny_bert), make_examples(), rows_share=0.0
        )


@pytest.mark.full
def test_trials_that_fail_one_after_the_other(tiny_bert, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("no such thing")

    monkeypatch.setattr(encoder_search.EncoderHyperModel, "fit", fail)
    with pytest.raises(RunError, match="failed: ValueError: no such thing"):
        tune_encoder(
            CLASSES,
            str(tiny_bert),
            _examples(),
            tmp_path,
            trials=5,
            **_SETTINGS,
        )


@pytest.mark.full
def test_command(glue_dir, tiny_bert, tmp_path, capsys):
    arguments = [
        *("tune", "rte", "--encoder", str(tiny_bert), "--space", "paper"),
        *("--data-dir", str(glue_dir), "--output-dir", str(tmp_path)),
        *("--trials", "1", "--set", "batch_size=8", "--max-tokens", "16"),
        *("--set", "epochs=0.5", "--limit", "20", "--no-retrain"),
        *("--sentence-pooling", "mean"),
    ]
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert "By accuracy on 4 of the 20 training rows" in text
    assert not (tmp_path / "best").exists()
    settings = fileio.read_json(tmp_path / "settings.json")
    assert settings["sentence_pooling"] == "mean"
