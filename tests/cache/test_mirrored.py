"""Batches under `tf.distribute`: two devices, in a process of their own."""

import pathlib

from tests import fresh_process
from tests.cache.made_caches import make_cache

_ROOT = pathlib.Path(__file__).parents[2]
_SCRIPT = """
import sys
import keras
import tensorflow as tf
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.models.pooling_classifier import PoolingClassifier

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
cache = HiddenStateCache(sys.argv[1])
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = PoolingClassifier(
        num_classes=3, units=2, sequence_length=16, num_layers=3, hidden_dim=5
    )
    model.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
model.fit(cache.as_dataset(4), verbose=0)
print(model.predict(cache.as_dataset(4), verbose=0).shape)
"""


def test_two_devices_train_together(tmp_path):
    """The last batch, of three, leaves one of them less to do."""
    found = fresh_process.run("-c", _SCRIPT, make_cache(tmp_path), cwd=_ROOT)
    assert found.stdout == "(11, 3)\n", found.stderr[-2000:]
