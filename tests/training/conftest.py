import pytest

from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from tests.tiny_runs import CLASSES, SCORES, finetune_classes, make_examples


@pytest.fixture(scope="session")
def finetuned(tiny_bert, tmp_path_factory):
    """A finished run with snapshots at 0.5, 1 and 2 epochs; do not change."""
    directory = tmp_path_factory.mktemp("finetune") / "run"
    finetune_classes(tiny_bert, directory)
    return directory


@pytest.fixture(scope="session")
def make_cache(tiny_bert, tmp_path_factory):
    """Writes the hidden states of 40 examples of a task, once a task."""
    encoder = load_backbone(tiny_bert, dropout=0.0)
    caches = {}

    def make(task):
        if task.name not in caches:
            caches[task.name] = write_cache(
                encoder,
                task,
                make_examples(task=task),
                tmp_path_factory.mktemp("cache"),
                max_tokens=16,
            )
        return caches[task.name]

    return make


@pytest.fixture(scope="session")
def classes_cache(make_cache):
    return make_cache(CLASSES)


@pytest.fixture(scope="session")
def scores_cache(make_cache):
    return make_cache(SCORES)
