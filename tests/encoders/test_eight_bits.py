"""Products of 8 bits: what they may change, and who can have them.

kernels/tests/encoder_int8_test.cc holds their integers.
"""

import numpy as np
import pytest

from bvkeras.cache.writer import write_cache
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.inference import computed_by, inference_encoder
from bvkeras.encoders.keras_encoder import KerasEncoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.encoders.native_encoder import NativeEncoder
from bvkeras.errors import ArgumentError
from bvkeras.pipeline.run import check_run
from tests.native import VARIANTS, force_variant, require_native
from tests.tiny_runs import CLASSES, make_examples

TEXTS = ["the moon", "a cheap one is not far away from here", "no"]
# Of two layers, each of four products whose factors are rounded by up to 1/254
# of the largest of a row: far from nothing, and far from garbage.
LEAST, MOST = 1e-4, 0.05
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def tiny(tiny_bert):
    return load_backbone(tiny_bert)


def states(encoder, forward):
    """All hidden states of real tokens."""
    inputs = encoder.preprocess(TEXTS)
    mask = inputs["padding_mask"] == 1
    return np.array([state.numpy()[mask] for state in forward(inputs)])


@pytest.mark.parametrize("variant", VARIANTS)
def test_eight_bits_change_states_a_little(tiny, monkeypatch, variant):
    force_variant(monkeypatch, variant)
    exact = states(tiny, NativeEncoder(tiny.backbone, None, "float32"))
    found = states(tiny, NativeEncoder(tiny.backbone, None, "int8"))
    np.testing.assert_array_equal(found[0], exact[0])
    errors = np.linalg.norm(found - exact, axis=-1)
    errors = errors / np.linalg.norm(exact, axis=-1)
    errors = errors[1:].mean(axis=-1)
    assert ((errors > LEAST) & (errors < MOST)).all()


def test_the_instruction_set_changes_the_last_bits_alone(tiny, monkeypatch):
    force_variant(monkeypatch, "portable")
    expected = states(tiny, NativeEncoder(tiny.backbone, None, "int8"))
    monkeypatch.delenv("BVKERAS_CPU_VARIANT")
    found = states(tiny, NativeEncoder(tiny.backbone, None, "int8"))
    # A state that is rounded the other way moves what follows by a step.
    errors = np.abs(found - expected) / np.abs(expected).max()
    assert np.median(errors) < ROUNDING
    assert errors.max() < MOST


def test_a_cache_says_what_it_was_computed_in(tiny, tmp_path):
    require_native()
    assert computed_by(tiny.backbone, "int8").startswith("native ")
    cache = write_cache(
        tiny, CLASSES, make_examples(5), tmp_path, compute_dtype="int8"
    )
    assert cache.manifest.identity["compute_dtype"] == "int8"
    assert cache.manifest.identity["dtype"] == "bfloat16"


def test_only_the_native_library_has_them(tiny, tmp_path, monkeypatch):
    for encoder in (FastEncoder, KerasEncoder):
        with pytest.raises(ArgumentError, match=r"^compute_dtype: .*'int8'$"):
            encoder(tiny.backbone, compute_dtype="int8")
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    message = r"^compute_dtype: received 'int8', which takes the native library"
    with pytest.raises(ArgumentError, match=message):
        inference_encoder(tiny.backbone, compute_dtype="int8")
    with pytest.raises(ArgumentError, match=message):
        write_cache(
            tiny,
            CLASSES,
            make_examples(5),
            tmp_path / "cache",
            compute_dtype="int8",
        )
    assert not (tmp_path / "cache").exists()


def test_a_run_is_refused_before_it_begins(
    tiny_bert, glue_dir, tmp_path, monkeypatch
):
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    with pytest.raises(ArgumentError, match=r"^compute_dtype: received 'int8'"):
        check_run(
            "cola",
            str(tiny_bert),
            tmp_path / "run",
            data_dir=glue_dir,
            extraction_dtype="int8",
        )


def test_other_layers_cannot_have_them(family_checkpoints):
    encoder = load_backbone(family_checkpoints / "deberta_v3")
    with pytest.raises(ArgumentError, match="only layers of BERT's kind"):
        inference_encoder(encoder.backbone, compute_dtype="int8")
