"""Checkpoints as people have them: their weights right, or refused."""

import json
import logging
import pathlib

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bvkeras.encoders.config_checks import known_entries
from bvkeras.encoders.families.bert import Bert
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import BackboneError

TINY = pathlib.Path(__file__).parents[1] / "parity" / "tiny_tanh"
POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 12345\n"
)
# What `BertConfig().to_dict()` of transformers 5.24 and 4.46 has.
BERT_ENTRIES = """
    _attn_implementation_autoset _name_or_path add_cross_attention
    architectures attention_probs_dropout_prob bad_words_ids
    begin_suppress_tokens bos_token_id chunk_size_feed_forward
    classifier_dropout cross_attention_hidden_size decoder_start_token_id
    diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size eos_token_id
    exponential_decay_length_penalty finetuning_task forced_bos_token_id
    forced_eos_token_id gradient_checkpointing hidden_act
    hidden_dropout_prob hidden_size id2label initializer_range
    intermediate_size is_decoder is_encoder_decoder label2id layer_norm_eps
    length_penalty max_length max_position_embeddings min_length model_type
    no_repeat_ngram_size num_attention_heads num_beam_groups num_beams
    num_hidden_layers num_return_sequences output_attentions
    output_hidden_states output_scores pad_token_id position_embedding_type
    prefix problem_type pruned_heads quantization_config
    remove_invalid_values repetition_penalty return_dict
    return_dict_in_generate sep_token_id suppress_tokens
    task_specific_params temperature tf_legacy_loss tie_encoder_decoder
    tie_word_embeddings tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version type_vocab_size typical_p use_bfloat16 use_cache
    vocab_size
"""


def edit_config(directory, **changes):
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    config = {key: value for key, value in config.items() if value != "none"}
    path.write_text(json.dumps(config))


def edit_weights(directory, change):
    path = directory / "model.safetensors"
    save_file(change(load_file(path)), path)


def refused(directory, message):
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(directory)
    assert str(directory) in str(raised.value)
    assert "\n" not in str(raised.value)


# Weights that are in no file.


def without_pooler(tensors):
    return {k: v for k, v in tensors.items() if "pooler" not in k}


def test_missing_pooler_is_drawn_and_named(directory, caplog):
    edit_weights(directory, without_pooler)
    with caplog.at_level(logging.WARNING, "bvkeras"):
        encoder = load_backbone(directory)
        again = load_backbone(directory)
    [record] = caplog.records
    assert record.getMessage() == (
        f"{directory}/model.safetensors has no pooler.dense.weight and "
        "pooler.dense.bias: drawn at random, from the seed of the "
        "fine-tuning; hidden states do not depend on them"
    )
    kernels = [e.backbone.pooled_dense.kernel.numpy() for e in (encoder, again)]
    np.testing.assert_array_equal(*kernels)
    assert 0.01 < kernels[0].std() < 0.03
    assert not encoder.backbone.pooled_dense.bias.numpy().any()


def test_missing_pooler_follows_the_seed_of_a_training(directory):
    edit_weights(directory, without_pooler)
    kernels = []
    for seed in (1, 1, 2):
        encoder = load_backbone(directory)
        encoder.start_pooler(seed)
        kernels.append(encoder.backbone.pooled_dense.kernel.numpy())
        # Of what is trained by now nothing is drawn again.
        encoder.start_pooler(3)
        np.testing.assert_array_equal(
            encoder.backbone.pooled_dense.kernel.numpy(), kernels[-1]
        )
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert abs(kernels[1] - kernels[2]).max() > 0.01


def test_pooler_in_the_files_is_kept(tiny):
    before = tiny.backbone.pooled_dense.kernel.numpy()
    tiny.start_pooler(1)
    kernel = tiny.backbone.pooled_dense.kernel.numpy()
    np.testing.assert_array_equal(kernel, before)


def test_nothing_is_said_of_a_pooler_that_is_not_needed(directory, caplog):
    edit_weights(directory, without_pooler)
    with caplog.at_level(logging.WARNING, "bvkeras"):
        load_backbone(directory, sentence_pooling="mean")
    assert not caplog.records


@pytest.mark.parametrize(
    "name", ["pooler.dense.bias", "encoder.layer.1.output.dense.bias"]
)
def test_any_other_missing_weight_is_refused(directory, name):
    def change(tensors):
        # So that there are not too few of them.
        tensors["cls.predictions.bias"] = tensors.pop(name)
        return tensors

    edit_weights(directory, change)
    refused(directory, f"has no tensor {name}")


# Weights that there are too many of.


@pytest.mark.parametrize(
    "name",
    [
        "encoder.layer.0.attention.self.distance_embedding.weight",
        "encoder.layer.0.attention.self.query.SCB",
        "encoder.layer.0.crossattention.self.query.weight",
        "encoder.layer.2.output.dense.bias",
        "embeddings.word_embeddings.lora_A.weight",
        "bert.encoder.layer.0.output.dense.weight_scale",
        "pooler.projection.weight",
    ],
)
def test_what_would_change_the_encoder_is_refused(directory, name):
    edit_weights(directory, lambda t: t | {name: np.ones(3, "float32")})
    plain = name.removeprefix("bert.")
    refused(directory, f"has {plain}, which is no part of the BERT that")


def test_heads_and_counted_positions_change_nothing(directory, tiny):
    edit_weights(
        directory,
        lambda tensors: {
            **{f"bert.{name}": tensor for name, tensor in tensors.items()},
            "bert.embeddings.position_ids": np.arange(128)[None],
            "bert.embeddings.token_type_ids": np.zeros((1, 128), np.int64),
            "cls.predictions.transform.dense.weight": np.ones((16, 16), "f"),
            "cls.seq_relationship.bias": np.ones(2, "float32"),
            "classifier.weight": np.ones((3, 16), "float32"),
            "qa_outputs.bias": np.ones(2, "float32"),
        },
    )
    assert load_backbone(directory).digest() == tiny.digest()


def test_a_tensor_under_two_names_is_refused(directory):
    name = "encoder.layer.0.output.dense.bias"
    edit_weights(directory, lambda t: t | {f"bert.{name}": t[name] * 2})
    refused(directory, f"has {name} twice")


# Weights in other types.


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        (np.int8, "I8"),
        (np.uint8, "U8"),
        (np.int32, "I32"),
        (ml_dtypes.float8_e4m3fn, "F8_E4M3"),
    ],
)
def test_quantised_weights_are_refused(directory, dtype, stored):
    name = "encoder.layer.0.output.dense.weight"
    edit_weights(directory, lambda t: t | {name: t[name].astype(dtype)})
    refused(directory, rf"has {name} of type {stored}, .* quantised")


# Weights in several files, or in none.


def shard(directory, places=None, names=("one.safetensors", "two.safetensors")):
    """Splits the weights in two, and names other places in the index."""
    path = directory / "model.safetensors"
    tensors = load_file(path)
    path.unlink()
    placed = {
        name: names[number % 2] for number, name in enumerate(sorted(tensors))
    }
    for file in names:
        part = {n: t for n, t in tensors.items() if placed[n] == file}
        save_file(part, directory / file)
    index = {"metadata": {}, "weight_map": placed | (places or {})}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_one_checkpoint(directory, tiny):
    shard(directory)
    encoder = load_backbone(directory)
    assert encoder.digest() == tiny.digest()
    np.testing.assert_array_equal(
        encoder.backbone.pooled_dense.kernel.numpy(),
        tiny.backbone.pooled_dense.kernel.numpy(),
    )


def test_a_missing_shard_is_named(directory):
    shard(directory)
    (directory / "two.safetensors").unlink()
    refused(directory, "two.safetensors is missing, which model.safetensors.in")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../outside.safetensors", "names the file '../outside.safetensors'"),
        ("/etc/passwd", "names the file '/etc/passwd'"),
        ("..\\\\outside.safetensors", "in its own folder"),
        ("vocab.txt", "names the file vocab.txt, expected .safetensors"),
        ("one.safetensors", "says more is in one.safetensors; it is not"),
        (3, "3 is no string"),
    ],
)
def test_shards_outside_the_folder_are_refused(directory, file, message):
    shard(directory, {"more": file})
    refused(directory, message)


def test_a_shard_that_repeats_a_tensor_is_refused(directory):
    shard(directory)
    path = directory / "two.safetensors"
    save_file(load_file(path) | load_file(directory / "one.safetensors"), path)
    refused(directory, "two.safetensors has .*, and so has one.safetensors")


def test_more_weights_than_the_shards_hold_are_not_made(directory):
    shard(directory)
    edit_config(directory, vocab_size=10**9)
    refused(directory, "asks for 16,0.* weights, .*index.json holds ")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_git_lfs_pointers_are_named(directory, name):
    (directory / name).write_text(POINTER)
    refused(directory, f"{name} is a git-lfs pointer .* run git lfs pull in")


def test_adapters_are_refused(directory):
    (directory / "adapter_config.json").write_text("{}")
    refused(directory, "adapter_config.json changes the weights of another")


# Entries of config.json.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_decoder": True}, "is_decoder True: a decoder"),
        ({"add_cross_attention": True}, "add_cross_attention True"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder True"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads .*heads taken out"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised weights"),
        ({"compression_config": {"format": "int"}}, "compressed weights"),
        ({"auto_map": {"AutoModel": "own.Model"}}, "never run here"),
    ],
)
def test_entries_that_change_the_encoder_are_refused(
    directory, changes, message
):
    edit_config(directory, **changes)
    refused(directory, message)


def test_every_entry_of_a_bert_is_known():
    assert known_entries(Bert()) >= set(BERT_ENTRIES.split())


def test_entries_that_change_nothing(directory, tiny, caplog):
    edit_config(
        directory,
        torch_dtype="float16",
        chunk_size_feed_forward=4,
        pad_token_id=7,
        pruned_heads={},
        use_cache=False,
        tie_word_embeddings=False,
    )
    with caplog.at_level(logging.WARNING, "bvkeras"):
        assert load_backbone(directory).digest() == tiny.digest()
        assert not caplog.records
        edit_config(directory, my_own_entry=3)
        assert load_backbone(directory).digest() == tiny.digest()
    [record] = caplog.records
    assert "not known here and not applied: my_own_entry" in (
        record.getMessage()
    )


def test_entries_that_are_left_out_have_the_defaults_of_transformers(
    directory, tiny
):
    edit_config(
        directory,
        type_vocab_size="none",
        layer_norm_eps="none",
        hidden_dropout_prob="none",
        attention_probs_dropout_prob="none",
    )
    assert load_backbone(directory).digest() == tiny.digest()
    edit_config(directory, hidden_act="none")
    assert load_backbone(directory).hidden_act == "erf"
    edit_config(directory, num_hidden_layers="none")
    refused(directory, "config.json asks for")
