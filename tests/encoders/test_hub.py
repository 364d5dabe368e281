"""Models on the Hugging Face hub, from a local cache and no network."""

import fnmatch
import json
import pathlib
import shutil
from unittest import mock

import huggingface_hub
import keras_hub
import pytest
from huggingface_hub import constants, errors

from bvkeras import tasks
from bvkeras.encoders import hub
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import BackboneError, RunError
from bvkeras.pipeline import check_run
from bvkeras.pipeline.run import _prepared
from tests.encoders.hub_cache import write_hub_model

MODEL = "pets/tiny-bert"
OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


@pytest.fixture
def cache(tiny_bert, tmp_path, monkeypatch):
    """A local cache that holds one model, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    # A relative name must not find a folder of the repository.
    monkeypatch.chdir(tmp_path)
    write_hub_model(tmp_path / "hub", MODEL, tiny_bert, OLD)
    return tmp_path / "hub"


def write_other(cache, source, commit, **layout):
    """Another commit, of a model that computes the other GELU."""
    changed = cache.parent / "changed"
    shutil.copytree(source, changed)
    path = changed / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "hidden_act": "gelu"}))
    write_hub_model(cache, MODEL, changed, commit, **layout)


@pytest.mark.parametrize(
    "name", [f"hf://{MODEL}", MODEL, f"hf://{MODEL}@main", f"{MODEL}@{OLD}"]
)
def test_model_from_the_local_cache(cache, tiny_bert, name):
    encoder = load_backbone(name)
    assert encoder.name == f"hf://{MODEL}@{OLD}"
    expected = load_backbone(tiny_bert)
    assert encoder.digest() == expected.digest()
    assert encoder.tokenizer.digest == expected.tokenizer.digest
    assert load_backbone(encoder.name).digest() == expected.digest()


def test_revision_is_followed(cache, tiny_bert):
    write_other(cache, tiny_bert, NEW, revision="refs/pr/1")
    assert load_backbone(f"hf://{MODEL}").hidden_act == "tanh"
    other = load_backbone(f"hf://{MODEL}@refs/pr/1")
    assert (other.name, other.hidden_act) == (f"hf://{MODEL}@{NEW}", "erf")


def test_directory_of_that_name_wins(cache, tiny_bert):
    shutil.copytree(tiny_bert, MODEL)
    assert load_backbone(MODEL).name == "tiny-bert"
    assert not hub.is_on_hub(MODEL)
    # What lies there and is no encoder is no reason to ask the hub.
    pathlib.Path("pets/train.csv").write_text("text,label\n")
    with pytest.raises(BackboneError, match=r"'pets/train\.csv' is neither"):
        load_backbone("pets/train.csv")


def test_no_preset_has_a_name_of_the_hub():
    assert not any(map(hub.is_on_hub, keras_hub.models.BertBackbone.presets))


def test_nothing_that_runs_code_is_downloaded(cache, monkeypatch):
    asked = []

    def download(model, *, revision, allow_patterns):
        asked.extend(allow_patterns)
        return str(cache / "models--pets--tiny-bert" / "snapshots" / OLD)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    load_backbone(f"hf://{MODEL}")
    files = {
        True: (
            "config.json",
            "model.safetensors",
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "vocab.txt",
            "tokenizer.json",
            "sentencepiece.bpe.model",
            "spm.model",
            "merges.txt",
            "1_Pooling/config.json",
        ),
        False: (
            "pytorch_model.bin",
            "model.pt",
            "tf_model.h5",
            "flax_model.msgpack",
            "modeling_pets.py",
            "onnx/model.onnx",
            "model.pickle",
            "training_args.bin",
        ),
    }
    for wanted, names in files.items():
        for name in names:
            found = any(fnmatch.fnmatch(name, each) for each in asked)
            assert found is wanted, name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hf://pets/other",
            r"hf://pets/other: HF_HUB_OFFLINE forbids downloads, and the "
            r"cache .*hub does not have it whole$",
        ),
        (
            "runs/typo",
            "'runs/typo' is neither a directory nor a preset; hf://runs/typo: "
            "HF_HUB_OFFLINE forbids",
        ),
        (f"hf://{MODEL}@v9", f"hf://{MODEL}@v9: HF_HUB_OFFLINE forbids"),
        ("hf://", "'hf://' is no model on the hub: expected hf://organisation"),
        ("hf://a/b/c", "'hf://a/b/c' is no model on the hub"),
        (f"hf://{MODEL}@../../secret", "is no model on the hub"),
        ("hf://a--b/c", r"hf://a--b/c: is no name of the hub \("),
    ],
)
def test_what_is_not_there_is_one_line(cache, name, message):
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(name)
    assert "\n" not in str(raised.value)


def test_model_of_pickles_alone(cache, tiny_bert):
    pickles = cache.parent / "pickles"
    pickles.mkdir()
    shutil.copy(tiny_bert / "config.json", pickles)
    (pickles / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    write_hub_model(cache, "pets/old", pickles, OLD)
    message = r"^hf://pets/old has no model\.safetensors: .*pytorch_model\.bin"
    with pytest.raises(BackboneError, match=message):
        load_backbone("hf://pets/old")


_RESPONSE = mock.Mock(headers={})


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            errors.GatedRepoError("gated", response=_RESPONSE),
            "is gated: accept its terms",
        ),
        (
            errors.RepositoryNotFoundError("404", response=_RESPONSE),
            "the hub has no model 'pets/tiny-bert', or it is private",
        ),
        (
            errors.RevisionNotFoundError("404", response=_RESPONSE),
            "the model has no revision 'v1'",
        ),
        (
            errors.LocalEntryNotFoundError("Got: ConnectError"),
            "the hub cannot be reached, and the cache .* does not have it",
        ),
        (
            OSError("took too long\nmore"),
            "cannot be downloaded: took too long$",
        ),
    ],
)
def test_refusals_of_the_hub_are_one_line(cache, monkeypatch, error, message):
    def download(*args, **kwargs):
        raise error

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    message = f"^hf://{MODEL}@v1: {message}"
    with pytest.raises(BackboneError, match=message) as raised:
        load_backbone(f"hf://{MODEL}@v1")
    assert "\n" not in str(raised.value)


def test_run_goes_on_with_its_commit(cache, tiny_bert, glue_dir, tmp_path):
    """`main` has moved on since; what the run began with is opened again."""
    run = tmp_path / "run"
    settings = {"max_tokens": 32}

    def prepare(name):
        return _prepared("rte", name, run, glue_dir, settings)

    state, record = prepare(f"hf://{MODEL}")
    assert state.backbone == record["backbone"] == f"hf://{MODEL}@{OLD}"
    run.mkdir()
    (run / "settings.json").write_text(json.dumps(record))
    tasks.write_task(state.task, run / tasks.TASK_FILE)
    write_other(cache, tiny_bert, NEW)
    assert load_backbone(MODEL).name == f"hf://{MODEL}@{NEW}"
    state, again = prepare(MODEL)
    assert again == record
    assert state.encoder.hidden_act == "tanh"
    for other, named in (
        (f"hf://{MODEL}@main", f"hf://{MODEL}@{NEW}"),
        (str(tiny_bert), "this"),
    ):
        message = f"with backbone = hf://{MODEL}@{OLD}, not {named}; use"
        with pytest.raises(RunError, match=message):
            check_run("rte", other, run, data_dir=glue_dir, **settings)
