"""Fine-tuning with a part of the encoder frozen."""

import numpy as np
import pytest

from bvkeras import fileio
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, RunError
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.training import finetune as finetune_module
from bvkeras.training.finetune import Snapshot, snapshot_directory
from bvkeras.training.freezing import (
    freeze,
    frozen_part,
    untrained_parameters,
)
from bvkeras.training.optimizers import adamw
from tests.tiny_runs import (
    CLASSES,
    encoder_weights,
    fail_at_call,
    finetune_classes,
    forbid,
)

_EMBEDDINGS = (
    "token_embedding",
    "position_embedding",
    "segment_embedding",
    "embeddings_layer_norm",
)
_FIRST, _SECOND = (("transformer_layer_0",), ("transformer_layer_1",))
# What is asked for, and the layers it freezes.
_CASES = [
    ((0, False), ()),
    ((0, True), _EMBEDDINGS),
    ((1, False), _FIRST),
    ((1, True), _EMBEDDINGS + _FIRST),
    ((2, False), _FIRST + _SECOND),
    ((2, True), _EMBEDDINGS + _FIRST + _SECOND),
]
_FROZEN = {"freeze_layers": 1, "freeze_embeddings": True}


def is_in(path, layers):
    return any(f"{layer}/" in path for layer in layers)


def assert_trained_but_for(layers, start, directory):
    snapshot = Snapshot.open(directory)
    before = encoder_weights(start)
    after = encoder_weights(snapshot.encoder_directory)
    for path, values in before.items():
        same = np.array_equal(values, after[path])
        assert same == is_in(path, layers), path
    assert snapshot.frozen_parameters == sum(
        values.size for path, values in before.items() if is_in(path, layers)
    )


@pytest.fixture(scope="module")
def frozen_run(tiny_bert, tmp_path_factory):
    """A finished run with the embeddings and one layer frozen."""
    directory = tmp_path_factory.mktemp("frozen")
    finetune_classes(tiny_bert, directory, **_FROZEN)
    return directory


@pytest.mark.parametrize(("asked", "layers"), _CASES)
def test_what_is_frozen(tiny_bert, asked, layers):
    backbone = load_backbone(tiny_bert).backbone
    # Of an earlier freezing nothing is left.
    backbone.trainable = False
    freeze(backbone, *asked)
    frozen = {weight.path for weight in backbone.non_trainable_weights}
    expected = {w.path for w in backbone.weights if is_in(w.path, layers)}
    assert frozen == expected
    model = finetuning_model(backbone, 2)
    assert untrained_parameters(backbone, model) == sum(
        weight.numpy().size
        for weight in backbone.weights
        if weight.path in expected
    )
    assert {path.split("/")[0] for path in expected} == set(layers)


@pytest.mark.parametrize("layers", [-1, 3, 0.5])
def test_layers_that_there_are_not(tiny_bert, tmp_path, layers):
    message = (
        "^freeze_layers: expected a whole number from 0 to 2, the encoder's "
        f"layers; got {layers}$"
    )
    with pytest.raises(ArgumentError, match=message):
        freeze(load_backbone(tiny_bert).backbone, layers)
    with pytest.raises(ArgumentError, match=r"^freeze_layers: expected"):
        finetune_classes(tiny_bert, tmp_path / "run", freeze_layers=layers)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("asked", "layers"), _CASES[1:3])
def test_only_the_rest_is_trained(tiny_bert, tmp_path, asked, layers):
    finetune_classes(
        tiny_bert,
        tmp_path,
        epochs=(0.2,),
        freeze_layers=asked[0],
        freeze_embeddings=asked[1],
    )
    assert_trained_but_for(layers, tiny_bert, tmp_path / "epoch_0.2")


def test_embeddings_and_a_layer_frozen(tiny_bert, frozen_run):
    for name in ("epoch_0.5", "epoch_2"):
        layers = _EMBEDDINGS + _FIRST
        assert_trained_but_for(layers, tiny_bert, frozen_run / name)


@pytest.mark.parametrize(
    ("asked", "passed", "ended"),
    [
        ((0, False), _EMBEDDINGS + _FIRST + _SECOND, ()),
        ((0, True), _FIRST + _SECOND, _EMBEDDINGS),
        ((1, True), _SECOND, _EMBEDDINGS + _FIRST),
        ((2, True), (), _EMBEDDINGS + _FIRST + _SECOND),
        # The embeddings are trained through the layers.
        ((2, False), _EMBEDDINGS + _FIRST + _SECOND, ()),
    ],
)
def test_the_backward_pass_ends_above_what_is_frozen(
    tiny_bert, asked, passed, ended
):
    encoder = load_backbone(tiny_bert)
    freeze(encoder.backbone, *asked)
    model = finetuning_model(encoder.backbone, 2)
    optimizer = adamw(1e-3, 10)
    optimizer.build(model.trainable_variables)
    step = finetune_module._train_step(model, optimizer, CLASSES)
    operations = [
        operation.name
        for operation in step.get_concrete_function().graph.get_operations()
        if operation.name.startswith("gradient_tape/")
    ]
    for layer in passed:
        assert any(layer in name for name in operations), layer
    for layer in ended:
        assert not any(layer in name for name in operations), layer
    # And nothing is kept for what is frozen.
    moments = [v for v in optimizer.variables if "momentum" in v.path]
    assert len(moments) == len(model.trainable_variables)


@pytest.mark.full
def test_interrupted_run_comes_to_the_same_weights(
    tiny_bert, frozen_run, tmp_path
):
    with pytest.MonkeyPatch.context() as patch:
        fail_at_call(patch, TokenizedExamples, "batch", 4, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            finetune_classes(
                tiny_bert, tmp_path, save_every_seconds=0, **_FROZEN
            )
    with pytest.raises(RunError, match="was made with freeze_layers = 1, not"):
        finetune_classes(tiny_bert, tmp_path)
    snapshots = finetune_classes(tiny_bert, tmp_path, **_FROZEN)
    for snapshot in snapshots:
        other = Snapshot.open(snapshot_directory(frozen_run, snapshot.epochs))
        assert snapshot.digest() == other.digest()
        weights = encoder_weights(snapshot.encoder_directory)
        for path, values in encoder_weights(other.encoder_directory).items():
            np.testing.assert_array_equal(weights[path], values, err_msg=path)


def test_the_record_names_what_is_frozen(frozen_run, finetuned):
    names = list(_FROZEN)
    frozen, whole = (
        fileio.read_json(folder / "epoch_1" / "snapshot.json")
        for folder in (frozen_run, finetuned)
    )
    assert [frozen["settings"][name] for name in names] == [1, True]
    assert [whole["settings"][name] for name in names] == [0, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_layers": 2}, "freeze_layers = 1, not 2"),
        ({"freeze_embeddings": False}, "freeze_embeddings = true, not false"),
    ],
)
def test_otherwise_frozen_in_the_same_directory(
    tiny_bert, frozen_run, monkeypatch, changes, message
):
    forbid(monkeypatch, finetune_module, "_train")
    with pytest.raises(RunError, match=f"was made with {message}"):
        finetune_classes(tiny_bert, frozen_run, **{**_FROZEN, **changes})


def test_words_for_what_is_frozen():
    words = [frozen_part(*asked) for asked, _ in _CASES[:4]]
    assert words == [
        "",
        "embeddings",
        "1 lowest layer",
        "embeddings and 1 lowest layer",
    ]
    assert frozen_part(3, True) == "embeddings and 3 lowest layers"
