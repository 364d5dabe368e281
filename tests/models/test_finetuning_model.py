"""The model that is fine-tuned: what its logits are computed from."""

import keras
import numpy as np
import pytest

from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError
from bvkeras.models.finetuning_model import finetuning_model


def padded_batch(seed=0):
    """Rows of 3, 7 and 9 tokens in 9; at padding any piece and segment."""
    random = np.random.default_rng(seed)
    lengths = np.array([3, 7, 9])
    return {
        "token_ids": random.integers(5, 194, (3, 9)).astype("int32"),
        "segment_ids": random.integers(0, 2, (3, 9)).astype("int32"),
        "padding_mask": (np.arange(9) < lengths[:, None]).astype("int32"),
    }


def expected_logits(backbone, model, batch):
    """In float64, from the last hidden states, row by row without padding."""
    kernel, bias = model.get_layer("logits").get_weights()
    states = backbone(batch, training=False)["sequence_output"]
    states = states.numpy().astype("float64")
    means = [
        row[: mask.sum()].mean(axis=0)
        for row, mask in zip(states, batch["padding_mask"], strict=True)
    ]
    return np.stack(means) @ kernel.astype("float64") + bias


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_logits_of_the_mean(tiny_bert, dtype):
    backbone = load_backbone(tiny_bert, dtype=dtype).backbone
    model = finetuning_model(backbone, 3, sentence_pooling="mean")
    model.get_layer("logits").set_weights(
        [
            np.random.default_rng(1).normal(size=shape).astype("float32")
            for shape in ((16, 3), (3,))
        ]
    )
    batch = padded_batch()
    logits = model(batch, training=False)
    assert logits.dtype == "float32"
    expected = expected_logits(backbone, model, batch)
    # Sums and products are in float32 whatever the backbone computes in.
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_padding_is_not_in_the_mean(tiny_bert):
    backbone = load_backbone(tiny_bert).backbone
    model = finetuning_model(backbone, 3, sentence_pooling="mean")
    batch, other = padded_batch(), padded_batch(seed=1)
    mask = batch["padding_mask"] == 1
    for name in ("token_ids", "segment_ids"):
        other[name] = np.where(mask, batch[name], other[name])
    assert (other["token_ids"] != batch["token_ids"]).any()
    np.testing.assert_allclose(model(batch), model(other), atol=1e-6)
    short = {name: values[:1, :3] for name, values in batch.items()}
    np.testing.assert_allclose(model(batch)[:1], model(short), atol=1e-6)


def test_the_mean_has_no_pooler(tiny_bert):
    backbone = load_backbone(tiny_bert).backbone
    model = finetuning_model(backbone, 2, sentence_pooling="mean")
    pooler = {id(weight) for weight in backbone.pooled_dense.weights}
    assert not pooler & {id(weight) for weight in model.weights}
    whole = finetuning_model(backbone, 2)
    assert pooler <= {id(weight) for weight in whole.weights}
    assert whole.count_params() - model.count_params() == 16 * 17


def test_the_first_token_alone(tiny_bert):
    backbone = load_backbone(tiny_bert, dropout=0.0).backbone
    model = finetuning_model(backbone, 2, sentence_pooling="first")
    pooler = {id(weight) for weight in backbone.pooled_dense.weights}
    assert not pooler & {id(weight) for weight in model.weights}
    batch = padded_batch()
    kernel, bias = model.get_layer("logits").get_weights()
    states = backbone(batch)["sequence_output"][:, 0]
    np.testing.assert_allclose(model(batch), states @ kernel + bias, atol=1e-6)


def test_spans_ignore_it(tiny_bert):
    backbone = load_backbone(tiny_bert).backbone
    batch = padded_batch()
    models = [
        finetuning_model(backbone, 2, per_token=True, sentence_pooling=pooling)
        for pooling in ("cls", "mean")
    ]
    np.testing.assert_array_equal(*(model(batch) for model in models))


def test_saved_model_of_the_mean(tiny_bert, tmp_path):
    backbone = load_backbone(tiny_bert).backbone
    model = finetuning_model(backbone, 2, sentence_pooling="mean")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    batch = padded_batch()
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_another_sentence_pooling(tiny_bert):
    backbone = load_backbone(tiny_bert).backbone
    with pytest.raises(ArgumentError, match=r"sentence_pooling: .* got 'max'"):
        finetuning_model(backbone, 2, sentence_pooling="max")
