"""The most that this processor does, measured by peaks.cc."""

import ctypes
import os
import pathlib
import subprocess
import tempfile

import tensorflow as tf

_SOURCE = pathlib.Path(__file__).with_name("peaks.cc")
PEAKS = {
    "float32": "FloatPeak",
    "bfloat16": "BFloat16Peak",
    "bandwidth": "ReadBandwidth",
}


def threads() -> int:
    """That TensorFlow's operations run on."""
    set_ = tf.config.threading.get_intra_op_parallelism_threads()
    return set_ or len(os.sched_getaffinity(0))


def measure_peaks() -> dict[str, float]:
    """FLOP/s of both products, bytes a second of memory; 0 for none.

    Raises:
        subprocess.CalledProcessError: The compiler refuses the source.
        FileNotFoundError: There is no C++ compiler.
    """
    with tempfile.TemporaryDirectory() as directory:
        library = pathlib.Path(directory) / "peaks.so"
        command = [os.environ.get("CXX", "c++"), "-O2", "-std=c++17"]
        command += ["-shared", "-fPIC", "-pthread", _SOURCE, "-o", library]
        subprocess.run(command, check=True)
        loaded = ctypes.CDLL(str(library))
        peaks = {}
        for name, symbol in PEAKS.items():
            function = getattr(loaded, symbol)
            function.restype = ctypes.c_double
            peaks[name] = function(threads())
    return peaks
