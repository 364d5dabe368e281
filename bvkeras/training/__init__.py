"""Fine-tuning an encoder, and training heads on its hidden states."""

import keras  # noqa: F401, before any module of ours: bvkeras/__init__.py
