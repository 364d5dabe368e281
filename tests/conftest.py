"""Fixtures every test may use: a tiny real BERT and small official files."""

import os
import pathlib
import shutil
import tarfile

import pytest

from bvkeras.data.tables.describe import describe_table
from bvkeras.tasks.table_files import TableFiles
from tests.data.glue_fixtures import write_glue
from tests.tagged_sentences import make_small_sentences, write_conll

# The process that shares the tests out reads this file, too, and runs none:
# it must not wait for TensorFlow. A fixture imports what does.
_TESTS = pathlib.Path(__file__).parent
# No name makes a test ask the network, nor what it starts.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Processes share the files out in this order, the others after these: begun
# last, a long one would leave the other processes without work.
_LONGEST_FILES = (
    "pipeline/test_run.py",
    "training/test_finetune.py",
    "models/test_pooling_models.py",
    "e2e/test_demo.py",
    "serving/test_runs.py",
    "docs/test_pages.py",
    "tuning/test_stacked_tuner.py",
    "pipeline/test_span_runs.py",
    "evaluation/test_evaluate.py",
    "e2e/test_user_script.py",
    "cache/test_datasets.py",
    "encoders/test_families.py",
    "training/test_head.py",
    "cuda/test_emulation.py",
    "tuning/test_search.py",
    "tuning/test_encoder_search.py",
    "training/test_spans.py",
    "cli/test_main.py",
    "faults/test_interrupted_run.py",
    "tuning/test_stacked_heads.py",
    "training/test_sentence_pooling.py",
    "training/test_freezing.py",
)
_TINY_BERT = _TESTS / "parity" / "tiny_tanh"


def pytest_collection_modifyitems(items):
    """Puts the longest files first."""
    places = {_TESTS / name: i for i, name in enumerate(_LONGEST_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def tiny_bert() -> pathlib.Path:
    """A random BERT in Hugging Face layout: 2 layers, 16 features.

    Made by tests/parity/make_reference.py.
    """
    return _TINY_BERT


@pytest.fixture(scope="session")
def family_checkpoints(tmp_path_factory) -> pathlib.Path:
    """A folder with a tiny random checkpoint of every family but BERT.

    Made by tests/parity/families/make_reference.py.
    """
    directory = tmp_path_factory.mktemp("families")
    path = _TESTS / "parity" / "families" / "checkpoints.tar.xz"
    with tarfile.open(path) as archive:
        # Python 3.11 has it from its fourth release on.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(directory, **safe)
    return directory


@pytest.fixture(scope="session")
def glue_dir(tmp_path_factory) -> pathlib.Path:
    """All nine GLUE tasks as small official files: 24 train, 9 dev rows."""
    return write_glue(tmp_path_factory.mktemp("glue"))


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; driven by path, nothing is downloaded.

    Not longer than a module: until it is closed asyncio has a loop that runs,
    and other tests could not run theirs.
    """
    path = os.environ.get("BVKERAS_BROWSER") or shutil.which("chromium")
    if path is None:
        if "browser" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail("there is no chromium; BVKERAS_BROWSER can name one")
        pytest.skip("there is no chromium; BVKERAS_BROWSER can name one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(params=["native", "reference"])
def each_implementation(request, monkeypatch) -> str:
    """Runs a test on the native library, and on the reference.

    The native one by the automatic choice: what it cannot do must fall back.
    """
    if request.param == "native":
        from tests.native import require_native

        require_native()
        monkeypatch.delenv("BVKERAS_IMPLEMENTATION", raising=False)
    else:
        monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "reference")
    return request.param


@pytest.fixture(scope="session")
def token_run(tiny_bert, tmp_path_factory) -> pathlib.Path:
    """A finished run that tags words: one fine-tuning for all who need it."""
    from bvkeras import pipeline
    from tests.pipeline.fast_run import TOKEN_SETTINGS, short_report

    directory = tmp_path_factory.mktemp("tokens")
    train = write_conll(directory / "pets.conll", make_small_sentences(120))
    table = describe_table(
        TableFiles((str(train),), held_out=0.2), "words", "tags", max_tokens=32
    )
    with short_report():
        pipeline.run(
            table.spec,
            str(tiny_bert),
            directory / "run",
            notes=table.findings.notes,
            **TOKEN_SETTINGS,
        )
    return directory / "run"
