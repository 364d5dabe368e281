import shutil

import pytest

from bvkeras.encoders.loading import load_backbone


@pytest.fixture(scope="module")
def tiny(tiny_bert):
    """The tiny BERT, opened once: not to be changed."""
    return load_backbone(tiny_bert)


@pytest.fixture
def directory(tiny_bert, tmp_path):
    """A copy of the tiny Hugging Face directory, to be changed."""
    return shutil.copytree(tiny_bert, tmp_path / "model")
