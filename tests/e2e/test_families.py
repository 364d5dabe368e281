"""From texts to answers on an encoder of every family."""

import csv

import numpy as np
import pytest
import tensorflow as tf

import bvkeras
from bvkeras.cli import main as cli
from bvkeras.errors import ArgumentError
from bvkeras.serving import TextModel
from bvkeras.serving.rest.model_versions import ModelVersions
from tests.families import FAMILIES, WORD_PIECES
from tests.serving.rest.running_server import RunningServer

TEXTS = [f"{'café 中文' if i % 2 else 'the Moon'} {i}" for i in range(16)]
LABELS = ["good" if i % 2 else "bad" for i in range(16)]
QUICK = ("electra",)
SETTINGS = {
    "units": 4,
    "batch_size": 8,
    "max_tokens": 24,
    "head_epochs": 1,
    "head_learning_rate": 3e-2,
}


@pytest.mark.parametrize(
    "name",
    [
        # Its tokenizer is in the graph; the others are opened in
        # tests/encoders, and served like it.
        pytest.param(name, marks=() if name in QUICK else pytest.mark.full)
        for name in FAMILIES
    ],
)
def test_head_from_a_cache_saved_exported_and_served(
    name, family_checkpoints, tmp_path
):
    """By a cache of hidden states; the encoder is frozen."""
    model = bvkeras.TextClassifier.from_preset(
        family_checkpoints / name, name="tone", **SETTINGS
    )
    model.fit(TEXTS, LABELS)
    expected = model.predict(TEXTS, probabilities=True)
    model.save(tmp_path / "saved")
    loaded = bvkeras.load(tmp_path / "saved")
    found = loaded.predict(TEXTS, probabilities=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)

    run = ModelVersions(tmp_path / "saved").get()
    texts = np.array([text.encode() for text in TEXTS], object)
    assert run.counter.count("tone", {"text": texts}).lengths.max() <= 24
    answer = run.run("tone", {"text": texts})
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    batch = run.run("hidden_states", {"text": texts})
    del batch["hidden_states"], batch["row"]
    answer = run.run("tokens", batch)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)

    if name not in WORD_PIECES:
        with pytest.raises(ArgumentError, match=r"serve take the run itself"):
            model.export(tmp_path / "export")
        assert not (tmp_path / "export").exists()
        return
    model.export(tmp_path / "export")
    assert bvkeras.serving.inspect(tmp_path / "export").unusual == []
    exported = tf.saved_model.load(str(tmp_path / "export" / "1"))
    answer = exported.signatures["tone"](text=tf.constant(TEXTS))
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    # Heads join it: the encoder is made anew, of its family.
    command = ["export", str(tmp_path / "saved"), "--add"]
    assert cli.main([*command, "--output", str(tmp_path / "export")]) == 0


@pytest.mark.full
@pytest.mark.parametrize("name", FAMILIES)
def test_fine_tuned_and_asked_over_http(name, family_checkpoints, tmp_path):
    model = bvkeras.TextClassifier.from_preset(
        family_checkpoints / name,
        name="tone",
        encoder_training="fine_tuned",
        learning_rate=1e-3,
        **SETTINGS,
    )
    model.fit(TEXTS, LABELS, epochs=1)
    expected = model.predict(TEXTS, probabilities=True)
    model.save(tmp_path / "saved")
    with RunningServer(tmp_path / "saved") as server:
        status, answer = server.request(
            "POST", "/v1/models/saved:predict", {"instances": TEXTS}
        )
        assert status == 200, answer
        found = [row["probabilities"] for row in answer["predictions"]]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert server.request("GET", "/v1/models/saved/metadata")[0] == 200
        assert server.stop() == 0


@pytest.mark.full
def test_whole_run_from_a_table(family_checkpoints, tmp_path):
    """As the demo does it, on a checkpoint in RoBERTa's layout."""
    table = tmp_path / "tone.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(TEXTS * 4, LABELS * 4, strict=True))
    command = ["run", "--train", str(table), "--text", "text", "--label"]
    command += ["label", "--backbone", str(family_checkpoints / "roberta")]
    command += ["--output-dir", str(tmp_path / "run"), "--epochs", "1"]
    command += ["--head-epochs", "2", "--max-tokens", "24"]
    assert cli.main(command) == 0
    assert (tmp_path / "run" / "report.md").is_file()
    for system in ("head", "encoder"):
        opened = TextModel.open(tmp_path / "run", system=system)
        assert set(opened.predict(TEXTS)["label"]) <= {"good", "bad"}
