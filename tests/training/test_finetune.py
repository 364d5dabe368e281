import dataclasses
import math
import shutil

import keras
import numpy as np
import pytest
import safetensors.numpy

from bvkeras import fileio
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, DataError, DivergedError, RunError
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.training import finetune as finetune_module
from bvkeras.training.finetune import (
    Snapshot,
    finetune,
    predict_scores,
    snapshot_directory,
)
from bvkeras.training.state import read_progress, save_state
from bvkeras.training.target_scale import TargetScale
from tests.tiny_runs import (
    CLASSES,
    FINETUNE,
    SCORES,
    fail_at_call,
    forbid,
    make_examples,
)

# What a random encoder needs to learn quickly.
EASY = {"learning_rate": 2e-2, "epochs": (8,), "dropout": 0.0}


@pytest.fixture
def run(tiny_bert):
    """Fine-tunes a fresh tiny BERT; keywords replace the settings."""

    def run_it(directory, task=CLASSES, encoder=None, examples=None, **changes):
        return finetune(
            encoder or load_backbone(tiny_bert),
            task,
            make_examples(task=task) if examples is None else examples,
            directory,
            **{**FINETUNE, **changes},
        )

    return run_it


@pytest.fixture
def optimizers(monkeypatch):
    """The optimizers that runs make."""
    made, make = [], finetune_module.adamw
    monkeypatch.setattr(
        finetune_module,
        "adamw",
        lambda *args, **options: (
            made.append(make(*args, **options)) or made[-1]
        ),
    )
    return made


def snapshots_of(directory):
    return [
        Snapshot.open(snapshot_directory(directory, epochs))
        for epochs in FINETUNE["epochs"]
    ]


def snapshot_weights(snapshot):
    encoder, model = snapshot.load_model()
    assert encoder.backbone.num_layers == 2
    return {weight.path: weight.numpy() for weight in model.weights}


def assert_same_weights(first, second):
    weights, expected = snapshot_weights(first), snapshot_weights(second)
    for name in expected:
        np.testing.assert_array_equal(
            weights[name], expected[name], err_msg=name
        )


def test_snapshots_are_taken_at_the_stop_points(finetuned):
    snapshots = snapshots_of(finetuned)
    assert [snapshot.epochs for snapshot in snapshots] == [0.5, 1, 2]
    steps = [snapshot.history[-1]["step"] for snapshot in snapshots]
    assert steps == [2, 5, 10]
    seconds = [snapshot.seconds for snapshot in snapshots]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    for snapshot in snapshots:
        assert snapshot.max_tokens == 16
        assert snapshot.parameters == 16 * 2 + 2
    assert len({snapshot.digest() for snapshot in snapshots}) == 3


def test_snapshots_predict(tiny_bert, finetuned):
    examples = make_examples(7)
    start = load_backbone(tiny_bert, dropout=0.0)
    tokens = tokenize_examples(examples, start, 16)
    scores = []
    for snapshot in snapshots_of(finetuned):
        _, model = snapshot.load_model()
        scores.append(predict_scores(model, tokens, max_batch_tokens=20))
        one_by_one = [model(tokens.batch([i]))[0] for i in range(7)]
        np.testing.assert_allclose(scores[-1], one_by_one, atol=1e-5)
    assert scores[0].shape == (7, 2)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    assert np.abs(scores[1] - scores[2]).max() > 1e-3


def test_every_weight_of_the_encoder_is_trained(tiny_bert, finetuned):
    start = {
        weight.path: weight.numpy()
        for weight in load_backbone(tiny_bert).backbone.weights
    }
    trained = snapshot_weights(snapshots_of(finetuned)[-1])
    unchanged = [name for name in start if (start[name] == trained[name]).all()]
    assert unchanged == []


def test_nothing_but_snapshots_is_left(finetuned):
    names = {path.name for path in finetuned.iterdir()}
    assert names - {".lock"} == {"epoch_0.5", "epoch_1", "epoch_2"}


def test_loss_falls(run, tiny_bert, tmp_path):
    (snapshot,) = run(
        tmp_path, encoder=load_backbone(tiny_bert, dropout=0.0), **EASY
    )
    losses = [record["loss"] for record in snapshot.history]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.2 * np.mean(losses[:5])
    encoder, model = snapshot.load_model()
    tokens = tokenize_examples(make_examples(), encoder, 16)
    predictions = predict_scores(model, tokens).argmax(axis=1)
    np.testing.assert_array_equal(predictions, make_examples().labels)


def test_interrupted_run_comes_to_the_same_weights(run, finetuned, tmp_path):
    saved = tmp_path / "state.safetensors"
    # Before the first snapshot; in the second epoch.
    for stopped_at, error, steps in (2, KeyboardInterrupt, 1), (6, OSError, 6):
        with pytest.MonkeyPatch.context() as patch:
            fail_at_call(patch, TokenizedExamples, "batch", stopped_at, error)
            with pytest.raises(error):
                run(tmp_path, save_every_seconds=0)
        assert read_progress(saved)["step"] == steps
        # What another part of the program draws must not show.
        keras.utils.set_random_seed(stopped_at)
    snapshots = run(tmp_path, save_every_seconds=0)
    for snapshot, expected in zip(
        snapshots, snapshots_of(finetuned), strict=True
    ):
        assert_same_weights(snapshot, expected)
        assert snapshot.digest() == expected.digest()
    assert not saved.exists()


@pytest.mark.full
def test_interrupted_run_goes_on_behind_the_saved_state(
    run, tmp_path, monkeypatch
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, TokenizedExamples, "batch", 8, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, save_every_seconds=1e9)
    calls = fail_at_call(monkeypatch, TokenizedExamples, "batch", 99, None)
    run(tmp_path, save_every_seconds=1e9)
    # The state is saved with every snapshot, here last at step 5 of 10.
    assert len(calls) == 5


def test_other_settings_for_an_interrupted_run(run, finetuned, tmp_path):
    settings = fileio.read_json(finetuned / "epoch_1" / "snapshot.json")[
        "settings"
    ]
    progress = {
        "step": 1,
        "seconds": 0.5,
        "history": [],
        "frozen_parameters": 0,
        "settings": {**settings, "seed": 4},
    }
    save_state(tmp_path / "state.safetensors", [], progress)
    with pytest.raises(RunError, match="was made with seed = 4, not 3"):
        run(tmp_path)


@pytest.mark.parametrize("change", [{"seed": 4}, {"dropout": 0.9}], ids=str)
def test_seed_and_dropout_show_in_all_weights(run, finetuned, tmp_path, change):
    weights = snapshot_weights(run(tmp_path, **change)[0])
    expected = snapshot_weights(snapshots_of(finetuned)[0])
    same = [n for n in weights if np.array_equal(weights[n], expected[n])]
    assert same == []


def test_finished_run_is_not_run_again(run, finetuned, monkeypatch):
    forbid(monkeypatch, finetune_module, "_train")
    snapshots = run(finetuned)
    assert [snapshot.epochs for snapshot in snapshots] == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("learning_rate", {"learning_rate": 1e-3}),
        ("batch_size", {"batch_size": 7}),
        ("max_tokens", {"max_tokens": 15}),
        ("epochs", {"epochs": (0.5, 1)}),
        ("epochs", {"epochs": (0.5, 1, 2, 3)}),
        ("epochs", {"epochs": (3,)}),
        ("dropout", {"dropout": 0.1}),
        ("seed", {"seed": 4}),
        ("data", {"examples": make_examples(39)}),
        ("task", {"task": SCORES}),
        ("freeze_layers", {"freeze_layers": 1}),
        ("freeze_embeddings", {"freeze_embeddings": True}),
    ],
)
def test_other_settings_in_the_same_directory(
    run, finetuned, monkeypatch, name, changes
):
    forbid(monkeypatch, finetune_module, "_train")
    with pytest.raises(RunError, match=f"was made with {name} = "):
        run(finetuned, **changes)


def test_other_encoder_in_the_same_directory(run, finetuned):
    trained, _ = snapshots_of(finetuned)[0].load_model()
    with pytest.raises(RunError, match="was made with encoder = "):
        run(finetuned, encoder=trained)


def test_other_dropout_of_the_encoder(run, finetuned, tiny_bert):
    encoder = load_backbone(tiny_bert, dropout=0.3)
    with pytest.raises(RunError, match=r"with encoder_dropout = 0.1, not 0.3"):
        run(finetuned, encoder=encoder)


def test_directory_in_use(run, tmp_path):
    with (
        fileio.directory_lock(tmp_path),
        pytest.raises(RunError, match="in use"),
    ):
        run(tmp_path)


def test_leftovers_of_a_killed_run_go(run, finetuned, tmp_path):
    directory = shutil.copytree(finetuned, tmp_path / "copy")
    (directory / ".tmp.999999999.state.safetensors").touch()
    (directory / ".tmp.abc.epoch_2" / "encoder").mkdir(parents=True)
    run(directory)
    assert not list(directory.glob(".tmp*"))


@pytest.mark.full
def test_start_takes_the_snapshot_s_head(run, finetuned, tmp_path):
    start = snapshots_of(finetuned)[1]
    (snapshot,) = run(
        tmp_path,
        encoder=load_backbone(start.encoder_directory),
        start=start,
        learning_rate=1e-9,
        epochs=(0.2,),
    )
    weights, expected = snapshot_weights(snapshot), snapshot_weights(start)
    for name in weights:
        np.testing.assert_allclose(weights[name], expected[name], atol=1e-6)
    with pytest.raises(RunError, match="was made with start = "):
        run(
            tmp_path,
            encoder=load_backbone(start.encoder_directory),
            learning_rate=1e-9,
            epochs=(0.2,),
        )


def test_scores(run, tiny_bert, tmp_path):
    encoder = load_backbone(tiny_bert, dropout=0.0)
    (snapshot,) = run(tmp_path, task=SCORES, encoder=encoder, **EASY)
    losses = [record["loss"] for record in snapshot.history]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    _, model = snapshot.load_model()
    examples = make_examples(task=SCORES)
    scores = predict_scores(model, tokenize_examples(examples, encoder, 16))
    assert scores.shape == (40, 1)
    assert np.corrcoef(scores[:, 0], examples.labels)[0, 1] > 0.9


def test_mixed_bfloat16(run, tiny_bert, finetuned, tmp_path):
    encoder = load_backbone(tiny_bert, dtype="mixed_bfloat16")
    snapshot = run(tmp_path, encoder=encoder, epochs=(0.5, 1, 2))[0]
    weights = snapshot_weights(snapshot)
    exact = snapshot_weights(snapshots_of(finetuned)[0])
    assert {values.dtype for values in weights.values()} == {
        np.dtype(np.float32)
    }
    differences = [np.abs(weights[name] - exact[name]).max() for name in exact]
    # Two steps: each moves a weight by about the learning rate at most.
    assert 0 < max(differences) < 4 * FINETUNE["learning_rate"]


def test_encoder_that_was_frozen_is_trained_whole(
    run, tiny_bert, finetuned, tmp_path
):
    encoder = load_backbone(tiny_bert)
    HiddenStates(encoder.backbone, layers=[1], trainable=False)
    snapshot = run(tmp_path, encoder=encoder)[0]
    assert_same_weights(snapshot, snapshots_of(finetuned)[0])


def test_gradients_are_clipped_to_a_global_norm_of_1(
    run, tmp_path, optimizers, monkeypatch
):
    # Targets far from what a new head says.
    monkeypatch.setattr(
        TargetScale, "of", lambda task, labels: TargetScale(mean=-50.0)
    )
    run(tmp_path, task=SCORES, epochs=(0.2,))
    # After one step Adam's first moment is a tenth of the gradient. [CLS]
    # stands in the batch eight times: its gradients count as their sum.
    moments = [
        variable.numpy().ravel() * 10
        for variable in optimizers[0].variables
        if variable.name.endswith("momentum")
    ]
    assert len(moments) == 41
    norm = np.linalg.norm(np.concatenate(moments))
    np.testing.assert_allclose(norm, 1, rtol=1e-4)


def test_batches_of_one_and_a_rest(run, tmp_path):
    snapshots = run(
        tmp_path, examples=make_examples(3), batch_size=2, epochs=(0.1, 0.2, 2)
    )
    steps = [snapshot.history[-1]["step"] for snapshot in snapshots]
    assert steps == [1, 1, 4]


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("epochs: .*above 0, got .0, 1", {"epochs": (0, 1)}),
        ("epochs: .*-0.5", {"epochs": (1, -0.5)}),
        ("epochs: .*nan", {"epochs": (1, float("nan"))}),
        ("epochs: .*inf", {"epochs": (float("inf"),)}),
        (r"epochs: .*\(\)", {"epochs": ()}),
        ("batch_size: .*got 0", {"batch_size": 0}),
        ("examples: .*none", {"examples": make_examples(2).take([])}),
        ("max_tokens must be at most", {"max_tokens": 10**6}),
        ("learning_rate: .*got nan", {"learning_rate": float("nan")}),
        ("dropout: .*got 1", {"dropout": 1}),
        ("warmup_fraction: .*got 2", {"warmup_fraction": 2}),
        ("seed: .*got -1", {"seed": -1}),
        ("examples: are of task stsb", {"examples": make_examples(4, SCORES)}),
        ("examples: expected Examples", {"examples": ["a text"]}),
    ],
)
def test_wrong_arguments(run, tmp_path, match, changes):
    with pytest.raises(ArgumentError, match=match):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_loss_that_becomes_infinite(run, tmp_path):
    with pytest.raises(ArgumentError) as error:
        run(tmp_path, learning_rate=1e30)
    message = str(error.value)
    assert isinstance(error.value, DivergedError)
    assert message.startswith("learning_rate: the loss is ")
    assert "below 1e+30" in message
    assert "\n" not in message


@pytest.mark.full
def test_scores_in_any_units(run, tiny_bert, tmp_path):
    prices = dataclasses.replace(SCORES, name="prices", label_range=None)
    scores = make_examples(task=SCORES)
    examples = dataclasses.replace(
        scores, task="prices", labels=300 + 500 * scores.labels
    )
    further = []
    for task, rows in ((SCORES, scores), (prices, examples)):
        directory = tmp_path / task.name
        first, last = run(
            directory,
            task,
            load_backbone(tiny_bert, dropout=0.0),
            rows,
            **{**EASY, "epochs": (4, 8)},
        )
        # A head that goes on is read in the units it was written in.
        (more,) = run(
            directory / "more",
            task,
            load_backbone(last.encoder_directory, dropout=0.0),
            rows,
            **{**EASY, "epochs": (1,), "start": last, "learning_rate": 1e-6},
        )
        for snapshot in (first, last, more):
            encoder, model = snapshot.load_model()
            tokens = tokenize_examples(rows, encoder, 16)
            further.append(predict_scores(model, tokens)[:, 0])
        record = fileio.read_json(last.directory / "snapshot.json")
        assert record["target_mean"] == pytest.approx(rows.labels.mean())
        assert record["target_deviation"] == pytest.approx(
            rows.labels.std() / 1.5
        )
    for own, other in zip(further[3:], further[:3], strict=True):
        np.testing.assert_allclose(own, 300 + 500 * other, rtol=2e-2)
    np.testing.assert_allclose(further[5], further[4], rtol=2e-2)
    labels = examples.labels
    assert np.std(labels - further[4]) < np.std(labels) / 2


@pytest.mark.full
def test_rate_that_diverges_late_leaves_the_directory_free(
    run, tmp_path, monkeypatch
):
    check = finetune_module._check_finite

    def diverge(loss, step, learning_rate):
        check(math.nan if step > 5 else loss, step, learning_rate)

    with monkeypatch.context() as patched:
        patched.setattr(finetune_module, "_check_finite", diverge)
        with pytest.raises(DivergedError):
            run(tmp_path, save_every_seconds=0)
    assert not list(tmp_path.glob("epoch_*"))
    assert len(run(tmp_path, learning_rate=1e-3)) == 3


def test_directory_that_is_no_snapshot(tmp_path):
    with pytest.raises(DataError, match=r"it has no snapshot\.json"):
        Snapshot.open(tmp_path)


def test_head_file_holds_the_head(finetuned):
    snapshot = snapshots_of(finetuned)[-1]
    stored = safetensors.numpy.load_file(
        snapshot.directory / "head.safetensors"
    )
    _, model = snapshot.load_model()
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_array_equal(stored["kernel"], kernel)
    np.testing.assert_array_equal(stored["bias"], bias)


@pytest.mark.full
def test_a_pooler_that_is_in_no_file_is_the_seeds(run, tiny_bert, tmp_path):
    """Two runs of a checkpoint without one, in whatever process, are equal."""
    folder = shutil.copytree(tiny_bert, tmp_path / "encoder")
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(
        {name: t for name, t in tensors.items() if "pooler" not in name}, path
    )
    settings = {"epochs": (0.5,), "learning_rate": 1e-6}
    snapshots = []
    for number, seed in enumerate((3, 3, 4)):
        # A random number here and there changes nothing.
        keras.utils.set_random_seed(number)
        encoder = load_backbone(folder)
        snapshots += run(
            tmp_path / str(number), encoder=encoder, seed=seed, **settings
        )
    assert_same_weights(*snapshots[:2])
    poolers = [
        s.load_model()[0].backbone.pooled_dense.kernel.numpy()
        for s in snapshots[1:]
    ]
    assert abs(poolers[0] - poolers[1]).max() > 0.01
