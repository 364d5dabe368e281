"""Fixtures every test may use: a tiny real BERT and small official files."""

import pathlib

import pytest

from tests.data.glue_fixtures import write_glue

_TINY_BERT = pathlib.Path(__file__).parent / "parity" / "tiny_tanh"


@pytest.fixture(scope="session")
def tiny_bert() -> pathlib.Path:
    """A random BERT in Hugging Face layout: 2 layers, 16 features.

    Made by tests/parity/make_reference.py.
    """
    return _TINY_BERT


@pytest.fixture(scope="session")
def glue_dir(tmp_path_factory) -> pathlib.Path:
    """All nine GLUE tasks as small official files: 24 train, 9 dev rows."""
    return write_glue(tmp_path_factory.mktemp("glue"))
