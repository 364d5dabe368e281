"""The CUDA kernels, checked and timed on a GPU without TensorFlow.

    python -m tools.gpu_check

docs/gpu.md says what it needs and what it does.
"""
