"""Memory that is used again, but never while somebody holds it."""

import numpy as np
import tensorflow as tf

from bvkeras.cache.buffer_pool import BufferPool


def _address(array):
    return array.ctypes.data


def test_memory_comes_back_with_the_last_view():
    pool = BufferPool()
    array = pool.take(1000)
    address = _address(array)
    view = array.reshape(10, 100)[2:].view(np.uint16)
    del array
    other = pool.take(1000)
    assert _address(other) != address
    del view
    assert _address(pool.take(1000)) == address


def test_a_tensor_holds_its_memory():
    pool = BufferPool()
    array = pool.take(4096)
    address = _address(array)
    array[:] = 7
    tensor = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    del array
    other = pool.take(4096)
    other[:] = 9
    assert tensor.numpy().tolist() == [7] * 4096
    del tensor
    assert _address(pool.take(4096)) == address


def test_a_buffer_serves_what_fits():
    pool = BufferPool()
    address = _address(pool.take(1000))
    assert _address(pool.take(10)) == address
    assert pool.take(2000).size == 2000
    assert pool.take(0).size == 0


def test_memory_is_aligned():
    pool = BufferPool()
    arrays = [pool.take(size) for size in (1, 63, 65, 1000)]
    assert all(_address(array) % 64 == 0 for array in arrays)


def test_no_more_is_kept_than_a_pipeline_uses():
    pool = BufferPool()
    arrays = [pool.take(64 * 2**i) for i in range(12)] * 2
    arrays += [pool.take(100) for _ in range(30)]
    del arrays
    pool.take(1)
    assert len(pool._free) <= 16
