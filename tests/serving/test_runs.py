"""Runs on disk to exports, by the command line."""

import numpy as np
import pytest
import tensorflow as tf

from bvkeras import fileio, load_backbone, pipeline, tasks
from bvkeras.cache.writer import write_cache
from bvkeras.cli import main as cli
from bvkeras.data.sources import load_examples
from bvkeras.errors import DataError
from bvkeras.evaluation.evaluate import evaluate_snapshot
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.serving import ServedHead, TextModel, export_runs, inspect
from bvkeras.serving.layout import read_description
from bvkeras.training.finetune import Snapshot, finetune
from bvkeras.training.head import TrainedHead, train_head
from tests.data.squad_fixtures import write_squad
from tests.pipeline.fast_run import FAST, short_report

# Such rates that heads of two stop points have not the same outputs.
RUN = {
    **{**FAST, "limit": 16, "head_epochs": 1},
    **{"learning_rate": 1e-2, "head_learning_rate": 1e-1},
}
TEXTS = ["the cat sat", "a b c " * 20, ""]


@pytest.fixture(scope="module")
def runs(tiny_bert, glue_dir, tmp_path_factory):
    """A run with two stop points, and another task's frozen head alone."""
    directory = tmp_path_factory.mktemp("runs")
    with short_report():
        pipeline.run(
            "sst2",
            str(tiny_bert),
            directory / "sst2",
            data_dir=glue_dir,
            epochs=(0.5, 1.0),
            **RUN,
        )
    task = tasks.get("stsb")
    cache = write_cache(
        load_backbone(tiny_bert, dropout=0.0),
        task,
        load_examples(task, "train", glue_dir).limit(8),
        directory / "cache",
        max_tokens=FAST["max_tokens"],
    )
    train_head(task, cache, directory / "stsb", units=3, epochs=1)
    return directory


@pytest.fixture
def bvkeras_export(tmp_path, capsys):
    """Runs the command; gives its exit status, output and errors."""

    def run(*arguments, output="out"):
        path = tmp_path / output
        status = cli.main(
            ["export", *map(str, arguments), "--output", str(path)]
        )
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def probabilities(directory, name="sst2", **texts):
    given = {k: tf.constant(v) for k, v in (texts or {"text": TEXTS}).items()}
    loaded = tf.saved_model.load(str(directory))
    return loaded.signatures[name](**given)


def expected_probabilities(run, place):
    """What the pooled head of a stop point says of TEXTS."""
    encoder = load_backbone(run / "finetune" / place / "encoder")
    head = TrainedHead.open(run / "head" / place).load_model()
    batch = encoder.preprocess(TEXTS, max_tokens=FAST["max_tokens"])
    states = HiddenStates(encoder.backbone)(batch)
    logits = head((states, batch["padding_mask"].astype(bool)))
    return tf.nn.softmax(logits).numpy()


def test_pooled_head_of_the_last_stop_point(runs, bvkeras_export, tmp_path):
    status, output, _ = bvkeras_export(runs / "sst2")
    assert status == 0
    assert f"{tmp_path / 'out' / '1'}: " in output
    found = probabilities(tmp_path / "out" / "1")["probabilities"]
    expected = expected_probabilities(runs / "sst2", "epoch_1")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    first = expected_probabilities(runs / "sst2", "epoch_0.5")
    assert np.abs(found - first).max() > 1e-2
    assert inspect(tmp_path / "out").unusual == []


def test_run_answers_the_official_test_file(runs, glue_dir, tmp_path):
    command = [
        *("predict", str(runs / "sst2"), "--split", "test"),
        *("--data-dir", str(glue_dir), "--output", str(tmp_path / "answers")),
    ]
    assert cli.main(command) == 0
    written = (tmp_path / "answers" / "SST-2.tsv").read_text("utf-8")
    test = (glue_dir / "SST-2" / "test.tsv").read_text("utf-8")
    [text] = [line.split("\t")[1] for line in test.splitlines()[1:]]
    answer = TextModel.open(runs / "sst2").predict([text])
    assert written == f"index\tprediction\n0\t{answer['label_index'][0]}\n"


@pytest.mark.parametrize("of", ["epoch_1", "frozen"])
def test_regression(of, runs, tiny_bert, bvkeras_export, tmp_path):
    system, source = "regression", runs / "sst2" / "finetune" / of / "encoder"
    if of == "frozen":
        system, source = "frozen_regression", tiny_bert
    status, _, error = bvkeras_export(
        *(runs / "sst2", "--system", system, "--encoder", tiny_bert)
    )
    assert (status, error) == (0, "")
    encoder = load_backbone(source)
    head = TrainedHead.open(runs / "sst2" / "regression" / of).load_model()
    assert np.any(head.kernel)
    batch = encoder.preprocess(TEXTS, max_tokens=FAST["max_tokens"])
    states = HiddenStates(encoder.backbone)(batch)
    logits = head((states, batch["padding_mask"].astype(bool)))
    version = tmp_path / "out" / "1"
    found = probabilities(version)["probabilities"]
    np.testing.assert_allclose(found, tf.nn.softmax(logits), atol=1e-5)
    assert inspect(tmp_path / "out").unusual == []
    about = read_description(version)["tasks"]["sst2"]
    assert about["trained_parameters"] == 3 * 16 + 1


def test_encoder_with_its_own_head(runs, bvkeras_export, tmp_path):
    bvkeras_export(runs / "sst2", "--system", "encoder", "--epochs", "0.5")
    snapshot = Snapshot.open(runs / "sst2" / "finetune" / "epoch_0.5")
    encoder, model = snapshot.load_model()
    batch = encoder.preprocess(TEXTS, max_tokens=FAST["max_tokens"])
    expected = tf.nn.softmax(model(batch, training=False))
    version = tmp_path / "out" / "1"
    found = probabilities(version)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    about = read_description(version)["tasks"]["sst2"]
    assert about["head"]["type"] == "EncoderHead"
    assert about["head"]["sentence_pooling"] == "cls"
    total = encoder.backbone.count_params() + snapshot.parameters
    assert about["trained_parameters"] == about["total_parameters"] == total
    # Alone, the snapshot gives the same.
    bvkeras_export(snapshot.directory, output="snapshot")
    again = probabilities(tmp_path / "snapshot" / "1")["probabilities"]
    np.testing.assert_array_equal(again, found)


@pytest.mark.full
def test_encoder_with_the_mean_as_sentence_pooling(
    tiny_bert, glue_dir, bvkeras_export, tmp_path
):
    task = tasks.get("sst2")
    examples = load_examples(task, "train", glue_dir)
    [snapshot] = finetune(
        load_backbone(tiny_bert, sentence_pooling="mean"),
        task,
        examples,
        tmp_path / "ft",
        learning_rate=1e-2,
        batch_size=8,
        max_tokens=FAST["max_tokens"],
    )
    encoder, model = snapshot.load_model()
    assert bvkeras_export(snapshot.directory)[0] == 0
    version = tmp_path / "out" / "1"
    texts = [*examples.texts_a, *TEXTS]
    batch = encoder.preprocess(texts, max_tokens=FAST["max_tokens"])
    expected = tf.nn.softmax(model(batch, training=False))
    found = probabilities(version, text=texts)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The scores are those that were evaluated.
    result = evaluate_snapshot(task, snapshot, examples, tmp_path / "scores")
    predicted = found[: len(examples)].numpy().argmax(axis=1)
    assert result.metrics["accuracy"] == np.mean(predicted == examples.labels)
    about = read_description(version)["tasks"]["sst2"]
    assert about["head"]["sentence_pooling"] == "mean"
    pooler = 16 * 17
    total = encoder.backbone.count_params() + snapshot.parameters
    assert about["total_parameters"] == total
    assert about["trained_parameters"] == total - pooler
    assert inspect(tmp_path / "out").unusual == []
    # A row of padding alone, which fills a batch up, harms no other.
    batch["padding_mask"][0] = 0
    served = tf.saved_model.load(str(version)).signatures["tokens"]
    answers = served(**{k: tf.constant(v) for k, v in batch.items()})
    answer = next(v for k, v in answers.items() if "probabilities" in k)
    assert np.isfinite(answer).all()
    np.testing.assert_allclose(answer[1:], expected[1:], atol=1e-5)


def test_head_of_another_sentence_pooling():
    config = {"type": "EncoderHead", "sentence_pooling": "max"}
    with pytest.raises(DataError, match="describes none"):
        ServedHead(config, [])


def test_frozen_heads_share_an_export(
    runs, tiny_bert, bvkeras_export, tmp_path
):
    options = ("--system", "frozen", "--encoder", tiny_bert)
    status, _, error = bvkeras_export(runs / "sst2", runs / "stsb", *options)
    assert (status, error) == (0, "")
    texts = {"text": TEXTS, "text_b": TEXTS[::-1]}
    both = tmp_path / "out" / "1"
    score = probabilities(both, "stsb", **texts)["score"]
    assert score.shape == (3,)
    # One after the other comes to the same.
    bvkeras_export(runs / "sst2", *options, output="grown")
    status, _, error = bvkeras_export(
        runs / "stsb", *options, "--add", output="grown"
    )
    assert (status, error) == (0, "")
    grown = tmp_path / "grown" / "2"
    np.testing.assert_array_equal(
        probabilities(grown, "stsb", **texts)["score"], score
    )
    for version in (both, tmp_path / "grown" / "1"):
        np.testing.assert_array_equal(
            probabilities(grown)["probabilities"],
            probabilities(version)["probabilities"],
        )


def test_head_without_its_run(runs, bvkeras_export, tmp_path):
    head = runs / "sst2" / "head" / "epoch_0.5"
    status, _, error = bvkeras_export(head)
    assert status == 1
    assert error.startswith("error: encoder: expected the one")
    encoder = runs / "sst2" / "finetune" / "epoch_0.5" / "encoder"
    assert bvkeras_export(head, "--encoder", encoder)[0] == 0
    other = runs / "sst2" / "finetune" / "epoch_1" / "encoder"
    status, _, error = bvkeras_export(head, "--encoder", other)
    assert status == 1
    assert "is not the one that the head" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "holds no finished run"),
        (["sst2", "--epochs", "3"], "epochs: received 3"),
        (["sst2", "stsb"], "heads share an export if they share an encoder"),
        (["sst2", "sst2"], "none twice"),
        (["sst2", "--add"], "is no export"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    runs, bvkeras_export, arguments, message
):
    names = ("sst2", "stsb", "missing")
    given = [runs / a if a in names else a for a in arguments]
    status, _, error = bvkeras_export(*given)
    assert status == 1
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.full
def test_spans_of_an_encoders_own_head(tiny_bert, tmp_path):
    squad_dir = write_squad(tmp_path)
    task = tasks.get("squad_v2")
    [snapshot] = finetune(
        load_backbone(tiny_bert),
        task,
        load_examples(task, "train", squad_dir),
        tmp_path / "ft",
        learning_rate=1e-3,
        batch_size=8,
        max_tokens=32,
    )
    examples = load_examples(task, "validation", squad_dir)
    result = evaluate_snapshot(
        task, snapshot, examples, tmp_path / "scores", threshold=0.5
    )
    folder = result.predictions_path.parent
    texts = fileio.read_json(folder / "texts.json")
    na_probs = fileio.read_json(folder / "na_prob.json")
    version = export_runs([snapshot.directory], tmp_path / "out")
    found = probabilities(
        version,
        "squad_v2",
        question=[q.question for q in examples.questions],
        context=[q.context for q in examples.questions],
    )
    answers = [answer.decode() for answer in found["answer"].numpy()]
    assert answers == [texts[q.id] for q in examples.questions]
    np.testing.assert_allclose(
        found["no_answer_probability"],
        [na_probs[q.id] for q in examples.questions],
        atol=1e-5,
    )
