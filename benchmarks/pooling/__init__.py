"""The pooling operation against TensorFlow's and PyTorch's own.

python -m benchmarks.pooling [QUESTION ...]
"""

import contextlib
import importlib

# PyTorch's compiler and TensorFlow each bring an LLVM, and the process ends
# where TensorFlow's is loaded first.
with contextlib.suppress(ImportError):
    importlib.import_module("triton")
