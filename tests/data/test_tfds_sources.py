"""GLUE from `tensorflow_datasets`, prepared from local files."""

import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

from bvkeras import tasks
from bvkeras.data.glue_files import FOLDERS
from bvkeras.data.sources import load_examples
from bvkeras.errors import DataError

from .glue_fixtures import write_glue, write_paraphrase_corpus


@pytest.fixture(scope="module")
def official_dir(tmp_path_factory):
    directory = write_glue(tmp_path_factory.mktemp("official"))
    # `tensorflow_datasets` makes MRPC from the original corpus.
    shutil.rmtree(directory / "MRPC")
    write_paraphrase_corpus(directory / "MRPC")
    return directory


def prepare(name, official_dir, data_dir):
    """Lets the library's own builder prepare a task, without a network."""
    mrpc = {
        "dev_ids": "dev_ids.tsv",
        "train": "msr_paraphrase_train.txt",
        "test": "msr_paraphrase_test.txt",
    }

    def download(self, urls):
        return {key: official_dir / "MRPC" / mrpc[key] for key in urls}

    with pytest.MonkeyPatch.context() as patch:
        manager = tfds.download.DownloadManager
        patch.setattr(manager, "download", download)
        patch.setattr(
            manager, "download_and_extract", lambda self, url: official_dir
        )
        builder = tfds.builder(f"glue/{name}", data_dir=data_dir)
        builder.download_and_prepare()
    return pathlib.Path(builder.data_dir)


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory, official_dir):
    directory = tmp_path_factory.mktemp("prepared")
    tfds.disable_progress_bar()
    for name in FOLDERS:
        prepare(name, official_dir, directory)
    tfds.enable_progress_bar()
    return directory


@pytest.mark.parametrize("name", FOLDERS)
def test_examples_equal_those_of_the_official_files(
    name, prepared_dir, official_dir
):
    for split in tasks.get(name).splits:
        prepared = load_examples(name, split, prepared_dir)
        official = load_examples(name, split, official_dir)
        assert prepared.ids == official.ids
        assert prepared.texts_a == official.texts_a
        assert prepared.texts_b == official.texts_b
        assert prepared.labels.tolist() == official.labels.tolist()
        assert prepared.digest == official.digest


def test_default_directory_is_read_without_a_download(
    prepared_dir, official_dir, monkeypatch
):
    real_builder = tfds.builder
    monkeypatch.setattr(
        tfds, "builder", lambda name: real_builder(name, data_dir=prepared_dir)
    )
    examples = load_examples("wnli", "train", download=False)
    expected = load_examples("wnli", "train", official_dir)
    assert examples.digest == expected.digest


def test_default_directory_must_be_prepared_when_offline(tmp_path, monkeypatch):
    real_builder = tfds.builder
    monkeypatch.setattr(
        tfds, "builder", lambda name: real_builder(name, data_dir=tmp_path)
    )
    with pytest.raises(DataError, match="glue/rte: not prepared in"):
        load_examples("rte", "train", download=False)

    def fail(self, url):
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(
        tfds.download.DownloadManager, "download_and_extract", fail
    )
    with pytest.raises(DataError) as caught:
        load_examples("rte", "train")
    assert "cannot be downloaded (no route to host)" in str(caught.value)


def move_prepared(source, target, name, as_name):
    (version,) = (source / "glue" / name).iterdir()
    shutil.copytree(version, target / "glue" / as_name / version.name)
    return target / "glue" / as_name / version.name


def test_another_tasks_data_set_is_refused(prepared_dir, tmp_path):
    move_prepared(prepared_dir, tmp_path, "cola", "rte")
    with pytest.raises(DataError, match="has the features idx, label, sent"):
        load_examples("rte", "train", tmp_path)
    move_prepared(prepared_dir, tmp_path, "rte", "wnli")
    with pytest.raises(DataError, match=r"has the labels \['entailment', "):
        load_examples("wnli", "train", tmp_path)


def test_damaged_data_set_is_one_line(prepared_dir, tmp_path):
    folder = move_prepared(prepared_dir, tmp_path, "rte", "rte")
    for record in folder.glob("*train*tfrecord*"):
        content = bytearray(record.read_bytes())
        content[len(content) // 2] ^= 0xFF
        record.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read") as caught:
        load_examples("rte", "train", tmp_path)
    assert "\n" not in str(caught.value)
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read") as caught:
        load_examples("rte", "train", tmp_path)
    assert "\n" not in str(caught.value)
