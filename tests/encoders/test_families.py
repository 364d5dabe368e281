"""What is true of the encoders of every family."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from bvkeras.encoders.families.registry import FAMILIES as OBJECTS
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.inference import inference_encoder
from bvkeras.encoders.keras_encoder import KerasEncoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.encoders.native_encoder import NativeEncoder
from bvkeras.encoders.tokenizer_loading import load_tokenizer
from bvkeras.errors import ArgumentError, BackboneError
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.training.freezing import freeze
from tests.families import FAMILIES, family, keras_tokenizer
from tests.native import require_native

# The same sums in another order.
ROUNDING = 3e-5
# Roundings to bfloat16 in three layers whose weights are large.
BFLOAT16 = 0.1
TEXTS = (["The Moon, far away.", "Cheap"], ["It is a café 中文!", "no"])

every_family = pytest.mark.parametrize("name", FAMILIES)
# Their layers differ: attention of its own, shared layers, no segments.
families_apart = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=()
            if name in ("deberta_v3", "albert", "distilbert")
            else pytest.mark.full,
        )
        for name in FAMILIES
    ],
)


@pytest.fixture(scope="module")
def encoders(family_checkpoints):
    """Each as it came; do not change them."""
    return {name: load_backbone(family_checkpoints / name) for name in FAMILIES}


def states_of(encoder, **kwargs):
    inputs = encoder.preprocess(*TEXTS)
    states = HiddenStates(encoder.backbone)(inputs, **kwargs).numpy()
    return states[inputs["padding_mask"] == 1].astype(np.float32)


def changed(checkpoint, directory, **entries):
    """A copy of a checkpoint with other entries in its config.json."""
    copy = shutil.copytree(checkpoint, directory / "changed")
    path = copy / "config.json"
    config = json.loads(path.read_text("utf-8")) | entries
    path.write_text(
        json.dumps({k: v for k, v in config.items() if v is not ...})
    )
    return copy


def test_every_family_is_tested():
    tested = {"bert", *FAMILIES.values()}
    assert tested == {family.model_type for family in OBJECTS}


@every_family
def test_saved_encoder_is_the_same_encoder(name, encoders, tmp_path):
    encoder = encoders[name]
    encoder.save(tmp_path / "saved")
    loaded = load_backbone(tmp_path / "saved")
    assert loaded.identity() == encoder.identity()
    assert loaded.hidden_act == encoder.hidden_act
    assert type(loaded.tokenizer) is type(encoder.tokenizer)
    np.testing.assert_array_equal(states_of(loaded), states_of(encoder))


@every_family
def test_saved_by_keras_hub_and_preset(
    name, encoders, family_checkpoints, tmp_path, monkeypatch
):
    directory = tmp_path / "saved"
    encoders[name].backbone.save_to_preset(str(directory))
    keras_tokenizer(name, family_checkpoints).save_to_preset(str(directory))
    loaded = load_backbone(directory)
    made = family(name)
    assert loaded.hidden_act == made.default_hidden_act
    expected = load_backbone(
        family_checkpoints / name, hidden_act=loaded.hidden_act
    )
    assert loaded.digest() == expected.digest()
    texts = [text for column in TEXTS for text in column]
    for ids, others in zip(
        loaded.tokenizer.encode(texts),
        encoders[name].tokenizer.encode(texts),
        strict=True,
    ):
        assert ids.tolist() == others.tolist()
    # The real path; only the address of the download is a local one.
    preset = next(iter(made.backbone_class.presets))
    monkeypatch.setitem(
        made.backbone_class.presets[preset], "kaggle_handle", str(directory)
    )
    loaded = load_backbone(preset, dropout=0.0)
    assert loaded.backbone.dropout == 0.0
    assert loaded.hidden_act == ("tanh" if name == "albert" else "erf")
    assert loaded.tokenizer.encode(texts)[0].tolist() == (
        encoders[name].tokenizer.encode(texts)[0].tolist()
    )


@every_family
@pytest.mark.parametrize("implementation", ["reference", "native"])
def test_inference_path_equals_the_layer(
    name, implementation, encoders, monkeypatch
):
    if implementation == "native":
        require_native()
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", implementation)
    fast = {"reference": FastEncoder, "native": NativeEncoder}[implementation]
    encoder = encoders[name]
    inputs = encoder.preprocess(*TEXTS)
    mask = inputs["padding_mask"] == 1
    expected = HiddenStates(encoder.backbone)(inputs).numpy()
    specs = dict.fromkeys(inputs, tf.TensorSpec((None, None), tf.int32))
    for compute_dtype, bound in (("float32", ROUNDING), ("bfloat16", BFLOAT16)):
        forward = inference_encoder(encoder.backbone, None, compute_dtype)
        assert type(forward) is (KerasEncoder if name == "deberta_v3" else fast)
        function = tf.function(forward, input_signature=[specs])
        for index, state in enumerate(function(inputs)):
            assert state.dtype == "float32"
            error = np.abs(state.numpy()[mask] - expected[:, :, index][mask])
            assert error.mean() <= bound
    [chosen] = inference_encoder(encoder.backbone, [2], "float32")(inputs)
    np.testing.assert_allclose(
        chosen.numpy()[mask], expected[:, :, 2][mask], atol=ROUNDING
    )


def test_keras_encoder_copies_weights_and_maps_them(
    encoders, family_checkpoints
):
    encoder = load_backbone(family_checkpoints / "deberta_v3")
    inputs = encoder.preprocess(*TEXTS)
    forward = KerasEncoder(encoder.backbone)
    before = [state.numpy() for state in forward(inputs)]
    for weight in encoder.backbone.weights:
        weight.assign(weight * 0)
    for state, expected in zip(forward(inputs), before, strict=True):
        np.testing.assert_array_equal(state, expected)
    forward.map_weights(lambda weight: tf.Variable(weight * 0))
    assert not np.any(forward(inputs)[0])
    with pytest.raises(ArgumentError, match=r"DeBERTa-v3 has other layers"):
        FastEncoder(encoder.backbone)


@families_apart
def test_mixed_precision(name, encoders, family_checkpoints):
    encoder = load_backbone(family_checkpoints / name, dtype="mixed_bfloat16")
    layer = HiddenStates(encoder.backbone)
    assert layer(encoder.preprocess(*TEXTS)).dtype == "bfloat16"
    error = np.abs(states_of(encoder) - states_of(encoders[name]))
    assert error.mean() <= BFLOAT16
    assert encoder.digest() != encoders[name].digest()


@families_apart
def test_dropout_only_in_training(name, family_checkpoints):
    encoder = load_backbone(family_checkpoints / name, dropout=0.5)
    states = states_of(encoder)
    np.testing.assert_array_equal(states, states_of(encoder, training=False))
    trained = states_of(encoder, training=True)
    assert all(
        np.abs(trained[:, i] - states[:, i]).max() > 0.1
        for i in range(states.shape[1])
    )


@families_apart
def test_layer_in_a_keras_file(name, encoders, tmp_path):
    inputs = {
        key: keras.Input((None,), dtype="int32", name=key)
        for key in ("token_ids", "segment_ids", "padding_mask")
    }
    layer = HiddenStates(encoders[name].backbone, layers=[0, 2])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    batch = encoders[name].preprocess(*TEXTS)
    np.testing.assert_allclose(model(batch), loaded(batch), atol=ROUNDING)


@every_family
def test_what_is_frozen_stays_as_it_came(name, family_checkpoints):
    encoder = load_backbone(family_checkpoints / name)
    backbone, made = encoder.backbone, encoder.family
    num_layers = 0 if made.shares_layers else 2
    freeze(backbone, num_layers, freeze_embeddings=True)
    model = finetuning_model(backbone, 2)
    model.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    before = {weight.path: weight.numpy() for weight in backbone.weights}
    model.fit(encoder.preprocess(*TEXTS), np.array([0, 1]), verbose=0)
    frozen = [*made.embedding_layers(backbone)]
    frozen += made.transformer_layers(backbone)[:num_layers]
    kept = {weight.path for layer in frozen for weight in layer.weights}
    if not made.has_trained_pooler and made.pooler(backbone) is not None:
        kept |= {weight.path for weight in made.pooler(backbone).weights}
    for weight in backbone.weights:
        same = np.array_equal(weight.numpy(), before[weight.path])
        # Softmax does not see a constant added to all its inputs.
        if not weight.path.endswith("key/bias"):
            assert same == (weight.path in kept), weight.path


def test_layers_that_are_shared_cannot_be_frozen(family_checkpoints):
    backbone = load_backbone(family_checkpoints / "albert").backbone
    with pytest.raises(ArgumentError, match=r"0 for ALBERT, .* got 1"):
        freeze(backbone, 1)


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("name", ["roberta", "electra", "albert"])
def test_fine_tuned_model_reads_the_first_token(name, encoders, per_token):
    """As it is served: from the last hidden state, and a pooler if any."""
    encoder = encoders[name]
    model = finetuning_model(encoder.backbone, 3, per_token=per_token)
    inputs = encoder.preprocess(*TEXTS)
    features = HiddenStates(encoder.backbone, layers=[-1])(inputs)[:, :, 0]
    if not per_token:
        features = features[:, 0]
        pooler = encoder.family.trained_pooler(encoder.backbone)
        features = features if pooler is None else pooler(features)
    np.testing.assert_allclose(
        model(inputs), model.get_layer("logits")(features), atol=ROUNDING
    )


def test_folders_without_a_tokenizer_json(
    encoders, family_checkpoints, tmp_path
):
    folders = {}
    for name, encoder in encoders.items():
        folder = folders[name] = tmp_path / name
        shutil.copytree(family_checkpoints / f"{name}_files", folder)
        shutil.copy(family_checkpoints / name / "config.json", folder)
        tokenizer = load_tokenizer(folder, 1000, encoder.family)
        assert tokenizer.digest == encoder.tokenizer.digest, name
    (folders["roberta"] / "merges.txt").unlink()
    (folders["albert"] / "spiece.model").write_bytes(b"\x0a\xff\xff")
    (folders["deberta_v3"] / "spm.model").unlink()
    for name, message in {
        "roberta": "merges.txt is missing",
        "albert": "spiece.model is damaged",
        "deberta_v3": r"expected spm.model or tokenizer.json",
    }.items():
        with pytest.raises(BackboneError, match=message):
            load_tokenizer(folders[name], 1000, family(name))


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        ("roberta", {"layer_norm_eps": ...}, "layer_norm_eps 1e-12, expect"),
        ("roberta", {"pad_token_id": None}, "pad_token_id None, expected a"),
        ("roberta", {"max_position_embeddings": 2}, "a positive integer"),
        ("xlm_roberta", {"hidden_size": 17}, "hidden_size 17, .* multiple of"),
        ("distilbert", {"dim": "16"}, "dim as a positive integer, got '16'"),
        ("distilbert", {"activation": "relu"}, "activation 'relu', expected"),
        ("distilbert", {"attention_dropout": 0.3}, r"attention_dropout 0\.3"),
        ("electra", {"embedding_size": 7}, r"of shape .*, config.json makes"),
        ("deberta_v3", {"position_biased_input": True}, "expected False"),
        ("deberta_v3", {"conv_kernel_size": 3}, "conv_kernel_size 3, expect"),
        ("deberta_v3", {"max_relative_positions": 9}, "9, expected -1 or"),
        ("deberta_v3", {"pos_att_type": ["p2c"]}, r"pos_att_type \['p2c'\]"),
        ("albert", {"num_hidden_layers": 10**9}, "expected at most 512"),
        ("albert", {"num_hidden_groups": 2}, "3, expected a multiple of"),
        ("albert", {"inner_group_num": 2}, "inner_group_num 2, expected 1"),
        ("albert", {"hidden_size": 4096}, "asks for .* weights"),
    ],
)
def test_what_keras_hub_cannot_compute_is_named(
    name, entries, message, family_checkpoints, tmp_path
):
    copy = changed(family_checkpoints / name, tmp_path, **entries)
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(copy)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("deberta_v3", "deberta.embeddings.word_embeddings._weight"),
        ("roberta", "roberta.pooler.dense.weight"),
    ],
)
def test_tensors_that_change_nothing(
    name, tensor, encoders, family_checkpoints, tmp_path
):
    copy = shutil.copytree(family_checkpoints / name, tmp_path / "more")
    path = copy / "model.safetensors"
    tensors = load_file(path) | {tensor: np.ones((3, 3), np.float32)}
    save_file(tensors, path)
    assert load_backbone(copy).digest() == encoders[name].digest()


def test_another_kind_of_encoder_is_named(family_checkpoints, tmp_path):
    copy = changed(family_checkpoints / "roberta", tmp_path, model_type="mpnet")
    with pytest.raises(BackboneError, match=r"'mpnet', expected one of 'bert'"):
        load_backbone(copy)
