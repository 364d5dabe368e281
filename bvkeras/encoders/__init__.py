"""Encoders: one way to load them, their hidden states, their tokenizer."""

import keras  # noqa: F401, before any module of ours: bvkeras/__init__.py
