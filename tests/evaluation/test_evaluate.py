"""Scores of a head and of a snapshot on a split, written once."""

import dataclasses
import json
import logging
import shutil

import keras
import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.cache.writer import write_cache
from bvkeras.data.sources import load_examples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation import evaluate
from bvkeras.evaluation.evaluate import evaluate_head, evaluate_snapshot
from bvkeras.evaluation.layer_importance import layer_importance
from bvkeras.evaluation.predictions import read_predictions
from bvkeras.training.finetune import finetune
from bvkeras.training.head import train_head


@dataclasses.dataclass(frozen=True)
class _Trained:
    task: tasks.TaskSpec
    examples: object
    snapshot: object
    encoder: object
    caches: dict
    head: object


@pytest.fixture(scope="module", params=["mrpc", "stsb"])
def trained(request, tiny_bert, glue_dir, tmp_path_factory):
    """A snapshot and a head, of two classes and of a regression."""
    folder = tmp_path_factory.mktemp(request.param)
    task = tasks.get(request.param)
    examples = {
        split: load_examples(task, split, glue_dir) for split in task.splits
    }
    (snapshot,) = finetune(
        load_backbone(tiny_bert),
        task,
        examples["train"],
        folder / "finetune",
        learning_rate=1e-2,
        batch_size=8,
        max_tokens=32,
    )
    encoder = load_backbone(snapshot.encoder_directory, dropout=0.0)
    caches = {
        split: write_cache(
            encoder,
            task,
            examples[split],
            folder / split,
            max_tokens=32,
            dtype="float32",
        )
        for split in task.splits
    }
    head = train_head(
        task,
        caches["train"],
        folder / "head",
        units=4,
        epochs=2,
        learning_rate=1e-2,
        # What is left on in predicting shows.
        dropout=0.5,
    )
    return _Trained(
        task, examples["validation"], snapshot, encoder, caches, head
    )


@pytest.mark.full
@pytest.mark.parametrize("trained", ["mrpc"], indirect=True)
def test_tensorflow_does_not_warn_of_many_evaluations(trained, tmp_path):
    warnings = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    logger = logging.getLogger("tensorflow")
    logger.addHandler(handler)
    try:
        for number in range(5):
            directory = tmp_path / str(number)
            cache = trained.caches["validation"]
            evaluate_head(trained.task, trained.head, cache, directory)
            evaluate_snapshot(
                trained.task,
                trained.snapshot,
                trained.examples,
                directory / "s",
            )
            layer_importance(trained.head, cache, directory)
    finally:
        logger.removeHandler(handler)
    assert not warnings


@pytest.fixture(params=["head", "snapshot"])
def scored(request, trained, tmp_path):
    """An evaluation, and the outputs computed row by row."""
    if request.param == "head":
        cache = trained.caches["validation"]
        result = evaluate.evaluate_head(
            trained.task, trained.head, cache, tmp_path
        )
        model = trained.head.load_model()
        rows = [
            (batch["hidden_states"], batch["mask"])
            for batch in cache.batches(1)
        ]
    else:
        result = evaluate.evaluate_snapshot(
            trained.task, trained.snapshot, trained.examples, tmp_path
        )
        encoder, model = trained.snapshot.load_model()
        texts = zip(
            trained.examples.texts_a, trained.examples.texts_b, strict=True
        )
        rows = [encoder.preprocess([a], [b], max_tokens=32) for a, b in texts]
    outputs = [np.asarray(model(row, training=False)) for row in rows]
    return result, np.concatenate(outputs)


def test_predictions_are_the_models_outputs(scored, trained):
    result, outputs = scored
    found = read_predictions(result.predictions_path)
    assert found.ids.tolist() == list(trained.examples.ids)
    np.testing.assert_allclose(found.labels, trained.examples.labels, 1e-6)
    if trained.task.is_regression:
        expected = outputs[:, 0]
        np.testing.assert_allclose(found.predictions, expected, 1e-4, 1e-5)
    else:
        powers = np.exp(outputs)
        expected = powers / powers.sum(axis=-1, keepdims=True)
        assert found.predictions.tolist() == outputs.argmax(-1).tolist()
    np.testing.assert_allclose(found.scores, expected, 1e-4, 1e-5)


def test_metrics_are_those_of_the_predictions(scored, trained):
    result, _ = scored
    found = read_predictions(result.predictions_path)
    assert tuple(result.metrics) == trained.task.metrics
    if trained.task.is_regression:
        expected = np.corrcoef(found.labels, found.predictions)[0, 1]
    else:
        expected = np.mean(found.labels == found.predictions)
    assert result.metrics[trained.task.metrics[0]] == pytest.approx(
        expected, abs=1e-6
    )
    assert result.seconds > 0


def test_split_names_the_files(scored):
    path = scored[0].predictions_path
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "validation.json",
        "validation.tsv",
    ]


def test_second_evaluation_is_read(trained, tmp_path, monkeypatch):
    first = _evaluate_both(trained, tmp_path)

    def fail(*args, **kwargs):
        raise AssertionError("predicted again")

    monkeypatch.setattr(evaluate, "_predict_from_cache", fail)
    monkeypatch.setattr(evaluate, "predict_scores", fail)
    assert _evaluate_both(trained, tmp_path) == first


def test_deleted_predictions_are_made_again(trained, tmp_path):
    first = _evaluate_both(trained, tmp_path)
    texts = [result.predictions_path.read_text() for result in first]
    for result in first:
        result.predictions_path.unlink()
    second = _evaluate_both(trained, tmp_path)
    assert [r.predictions_path.read_text() for r in second] == texts
    assert [r.metrics for r in second] == [r.metrics for r in first]


def test_scores_of_another_head_are_refused(trained, tmp_path):
    cache = trained.caches["validation"]
    evaluate.evaluate_head(trained.task, trained.head, cache, tmp_path)
    other = train_head(
        trained.task, trained.caches["train"], tmp_path / "head", units=3
    )
    with pytest.raises(RunError, match="was made with head = ") as caught:
        evaluate.evaluate_head(trained.task, other, cache, tmp_path)
    assert "\n" not in str(caught.value)


def test_scores_on_other_data_are_refused(trained, tmp_path):
    evaluate.evaluate_snapshot(
        trained.task, trained.snapshot, trained.examples, tmp_path
    )
    fewer = trained.examples.take(range(8))
    with pytest.raises(RunError, match="was made with data = "):
        evaluate.evaluate_snapshot(
            trained.task, trained.snapshot, fewer, tmp_path
        )


def test_head_of_another_task_is_refused(trained, tmp_path):
    with pytest.raises(ArgumentError, match=r"is of task \w+, expected rte"):
        evaluate.evaluate_head(
            tasks.get("rte"),
            trained.head,
            trained.caches["validation"],
            tmp_path,
        )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("encoder", {}),
        ("layers", {"layers": [0, 2]}),
        ("max_tokens", {"max_tokens": 31}),
    ],
)
def test_cache_the_head_was_not_trained_for_is_refused(
    name, changes, trained, tiny_bert, tmp_path
):
    encoder = load_backbone(tiny_bert) if name == "encoder" else trained.encoder
    cache = write_cache(
        encoder,
        trained.task,
        trained.examples,
        tmp_path / "cache",
        **{"max_tokens": 32, **changes},
    )
    with pytest.raises(ArgumentError, match=f" has {name} ") as caught:
        evaluate.evaluate_head(
            trained.task, trained.head, cache, tmp_path / "scores"
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "scores").exists()


def test_cache_of_another_tokenizer_is_refused(trained, tmp_path):
    cache = trained.caches["validation"]
    identity = {**trained.head.cache_identity, "tokenizer": "t" * 64}
    head = dataclasses.replace(trained.head, cache_identity=identity)
    with pytest.raises(ArgumentError, match=" has tokenizer "):
        evaluate.evaluate_head(trained.task, head, cache, tmp_path)
    assert not list(tmp_path.iterdir())


def test_head_that_gives_no_numbers_is_refused(trained, tmp_path):
    broken = shutil.copytree(trained.head.directory, tmp_path / "head")
    model = keras.models.load_model(broken / "head.keras")
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    model.save(broken / "head.keras")
    head = dataclasses.replace(trained.head, directory=broken)
    with pytest.raises(ArgumentError) as caught:
        evaluate.evaluate_head(
            trained.task,
            head,
            trained.caches["validation"],
            tmp_path / "scores",
        )
    assert "nan" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("scores/*"))


def test_record_says_what_was_scored(trained, tmp_path):
    result, _ = _evaluate_both(trained, tmp_path)
    path = result.predictions_path.with_suffix(".json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["metrics"] == result.metrics
    identity = trained.caches["validation"].manifest.identity
    assert record["settings"]["cache"] == identity


def _evaluate_both(trained, folder):
    return (
        evaluate.evaluate_head(
            trained.task,
            trained.head,
            trained.caches["validation"],
            folder / "head",
        ),
        evaluate.evaluate_snapshot(
            trained.task,
            trained.snapshot,
            trained.examples,
            folder / "snapshot",
        ),
    )
