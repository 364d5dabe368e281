"""Memory for batches that is used again when TensorFlow has done with it."""

import collections
import threading
import weakref

import numpy as np

from bvkeras.cache.token_arrays import aligned_bytes

# Batches differ in their longest example; a buffer shall fit the next, too.
_HEADROOM = 1.25
# More than a pipeline has under way; the smallest of more are given up.
_MOST_KEPT = 16


class BufferPool:
    """Gives out memory, and gives it out again once nobody holds it.

    A batch has megabytes, and new memory is slow: the system clears each page
    when it is first touched, which takes longer than to fill it. Several
    threads may use one pool.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._free: list[np.ndarray] = []
        # Filled at any moment, by whichever thread drops the last reference.
        self._returned: collections.deque[np.ndarray] = collections.deque()

    def take(self, num_bytes: int) -> np.ndarray:
        """Memory that nobody else holds, with whatever was in it.

        It comes back by itself when the array, all views of it and all
        tensors that took it over are gone.

        Args:
            num_bytes: int.

        Returns:
            uint8 array `(num_bytes,)`, aligned so that TensorFlow takes it
            over without a copy.
        """
        with self._lock:
            while self._returned:
                self._free.append(self._returned.popleft())
            self._free = sorted(self._free, key=len)[-_MOST_KEPT:]
            for place, buffer in enumerate(self._free):
                if buffer.size >= num_bytes:
                    del self._free[place]
                    break
            else:
                buffer = aligned_bytes(int(num_bytes * _HEADROOM))
        # An array of its own, not a view: NumPy lets views of a view hold
        # the first array alone, and the last of them would go unseen.
        array = np.frombuffer(buffer.data, np.uint8, num_bytes)
        weakref.finalize(array, self._returned.append, buffer).atexit = False
        return array
