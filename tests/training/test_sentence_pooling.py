"""Fine-tuning with the mean of the tokens in the place of [CLS]."""

import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.data.sources import load_examples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import RunError
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.tasks import get
from bvkeras.training import finetune as finetune_module
from bvkeras.training.finetune import Snapshot, finetune, predict_scores
from tests.data.squad_fixtures import write_squad
from tests.tiny_runs import (
    CLASSES,
    FINETUNE,
    SCORES,
    encoder_weights,
    fail_at_call,
    finetune_classes,
    forbid,
    make_examples,
)

# The tiny BERT's pooler: a kernel and a bias.
_POOLER = 16 * 17


def run(tiny_bert, directory, sentence_pooling="mean", **changes):
    return finetune_classes(tiny_bert, directory, sentence_pooling, **changes)


@pytest.fixture(scope="module")
def mean_run(tiny_bert, tmp_path_factory):
    """A finished run with the mean."""
    directory = tmp_path_factory.mktemp("mean")
    run(tiny_bert, directory)
    return directory


def test_the_record_names_the_pooling(mean_run, finetuned):
    mean, cls = (
        fileio.read_json(folder / "epoch_1" / "snapshot.json")["settings"]
        for folder in (mean_run, finetuned)
    )
    assert mean.pop("sentence_pooling") == "mean"
    assert cls.pop("sentence_pooling") == "cls"
    assert mean == cls


def test_the_other_pooling_in_the_same_directory(
    tiny_bert, mean_run, finetuned, monkeypatch
):
    forbid(monkeypatch, finetune_module, "_train")
    assert len(run(tiny_bert, mean_run)) == 3
    with pytest.raises(RunError, match='sentence_pooling = "mean", not "cls"'):
        run(tiny_bert, mean_run, "cls")
    with pytest.raises(RunError, match='sentence_pooling = "cls", not "mean"'):
        run(tiny_bert, finetuned)


def test_all_but_the_pooler_is_trained(tiny_bert, mean_run):
    snapshot = Snapshot.open(mean_run / "epoch_2")
    before = encoder_weights(tiny_bert)
    after = encoder_weights(snapshot.encoder_directory)
    same = {name for name in before if (before[name] == after[name]).all()}
    assert {name.split("/")[0] for name in same} == {"pooled_dense"}
    assert len(same) == 2
    assert snapshot.frozen_parameters == _POOLER


def test_frozen_parts_count_too(tiny_bert, tmp_path):
    frozen = {"freeze_layers": 2, "freeze_embeddings": True}
    (snapshot,) = run(tiny_bert, tmp_path, epochs=(0.2,), **frozen)
    encoder, _ = snapshot.load_model()
    assert snapshot.frozen_parameters == encoder.backbone.count_params()


def test_snapshot_predicts_as_the_model_that_was_trained(
    tiny_bert, tmp_path, monkeypatch
):
    made = []
    monkeypatch.setattr(
        finetune_module,
        "finetuning_model",
        lambda *args, **options: (
            made.append(finetuning_model(*args, **options)) or made[-1]
        ),
    )
    (snapshot,) = run(tiny_bert, tmp_path, epochs=(1,))
    encoder, model = snapshot.load_model()
    assert encoder.sentence_pooling == "mean"
    trained, loaded = made
    assert loaded is model
    tokens = tokenize_examples(make_examples(), encoder, 16)
    np.testing.assert_allclose(
        predict_scores(model, tokens),
        predict_scores(trained, tokens),
        atol=1e-6,
    )


@pytest.mark.full
def test_interrupted_run_comes_to_the_same_weights(
    tiny_bert, mean_run, tmp_path
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, TokenizedExamples, "batch", 4, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_bert, tmp_path, save_every_seconds=0)
    with pytest.raises(RunError, match='sentence_pooling = "mean", not "cls"'):
        run(tiny_bert, tmp_path, "cls")
    for snapshot in run(tiny_bert, tmp_path):
        other = Snapshot.open(mean_run / snapshot.directory.name)
        assert snapshot.digest() == other.digest()
        for own, expected in zip(
            snapshot.load_model()[1].weights,
            other.load_model()[1].weights,
            strict=True,
        ):
            np.testing.assert_array_equal(own, expected, err_msg=own.path)


@pytest.mark.full
def test_mixed_bfloat16(tiny_bert, mean_run, tmp_path):
    encoder = load_backbone(
        tiny_bert, dtype="mixed_bfloat16", sentence_pooling="mean"
    )
    snapshot = finetune(
        encoder, CLASSES, make_examples(), tmp_path, **FINETUNE
    )[0]
    weights, exact = (
        encoder_weights(directory / "encoder")
        for directory in (snapshot.directory, mean_run / "epoch_0.5")
    )
    differences = [np.abs(weights[name] - exact[name]).max() for name in exact]
    # Two steps: each moves a weight by about the learning rate at most.
    assert 0 < max(differences) < 4 * FINETUNE["learning_rate"]


def test_scores(tiny_bert, tmp_path):
    encoder = load_backbone(tiny_bert, dropout=0.0, sentence_pooling="mean")
    examples = make_examples(task=SCORES)
    settings = {"learning_rate": 2e-2, "epochs": (8,), "dropout": 0.0}
    (snapshot,) = finetune(
        encoder, SCORES, examples, tmp_path, **{**FINETUNE, **settings}
    )
    _, model = snapshot.load_model()
    scores = predict_scores(model, tokenize_examples(examples, encoder, 16))
    assert np.corrcoef(scores[:, 0], examples.labels)[0, 1] > 0.9


def test_spans_do_not_pool(tiny_bert, tmp_path):
    task = get("squad_v2")
    examples = load_examples(task, "train", write_squad(tmp_path))
    snapshots = []
    for sentence_pooling in ("mean", "cls"):
        encoder = load_backbone(tiny_bert, sentence_pooling=sentence_pooling)
        # The second finds the work of the first.
        snapshots += finetune(
            encoder,
            task,
            examples,
            tmp_path / "run",
            learning_rate=1e-3,
            batch_size=8,
            max_tokens=32,
            epochs=(0.5,),
        )
    assert snapshots[0] == snapshots[1]
    record = fileio.read_json(snapshots[0].directory / "snapshot.json")
    assert record["settings"]["sentence_pooling"] is None
    assert record["frozen_parameters"] == _POOLER
