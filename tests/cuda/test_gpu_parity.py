"""The parity grid on a GPU: `pytest -m gpu`.

Deselected unless it is asked for, and a failure where a GPU or the CUDA
kernels are missing then: nothing is skipped. docs/kernels.md says how to
report what it found.
"""

import pytest
import tensorflow as tf

from bvkeras.ops import library
from bvkeras.ops.implementation import MOST_KERNEL_UNITS
from tests.ops.parity_cases import (
    DTYPES,
    GRID,
    MORE_SHAPES,
    ROUNDINGS,
    SHAPES,
    WIDE,
    of_grid,
    of_shapes,
)
from tests.ops.test_native_parity import check_results, native, run

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu():
    """Puts everything on the GPU, and lets nothing go elsewhere."""
    if not tf.config.list_physical_devices("GPU"):
        pytest.fail("TensorFlow sees no GPU")
    problem = library.gpu_problem()
    if problem is not None:
        pytest.fail(f"the CUDA kernels cannot run: {problem}")
    placement = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(False)
    # The bounds are those of float32, not of TF32.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    with tf.device("/GPU:0"):
        yield
    tf.config.set_soft_device_placement(placement)


def check(shape, dtype, operation, mask, approximate, form, keep):
    arguments = (shape, dtype, operation, mask)
    results = run(native(approximate, keep), *arguments, form)
    for result in results.values():
        assert "GPU" in getattr(result, "device", "GPU")
    # Beyond 128 units the product is TensorFlow's.
    roundings = ROUNDINGS if shape[4] > MOST_KERNEL_UNITS else 1
    check_results(results, *arguments, approximate, form, roundings)
    again = run(native(approximate, keep), *arguments, form)
    for name, result in results.items():
        same = tf.bitcast(result, tf.uint8) == tf.bitcast(again[name], tf.uint8)
        assert tf.reduce_all(same)


@pytest.mark.parametrize("number", range(len(GRID)))
def test_every_combination(number):
    check(*of_grid(number))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + MORE_SHAPES, ids=str)
def test_every_shape(shape, dtype):
    check(*of_shapes(shape, dtype))


@pytest.mark.parametrize("keep", ["stash", "recompute"])
@pytest.mark.parametrize("operation", ["pooling", "shared", "per position"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", WIDE, ids=str)
def test_many_units(shape, dtype, operation, keep):
    check(shape, dtype, operation, "holes", False, "stacked", keep)


def test_more_rows_than_a_gpu_has_threads():
    # 300,000 rows: every multiprocessor has many tiles.
    shape = (64, 384, 13, 64, 16, 2)
    for dtype in DTYPES:
        check(shape, dtype, "per position", "ragged", False, "stacked", "stash")
