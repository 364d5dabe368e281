"""Words with tags, from a file to a report and to answers."""

import dataclasses
import json

import numpy as np
import pytest

from bvkeras import pipeline, tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cli import main as cli
from bvkeras.data.sources import load_examples
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.evaluation.tokens.entity_metrics import (
    entity_metrics,
    sentence_counts,
)
from bvkeras.evaluation.tokens.tagged_words_file import read_tagged
from bvkeras.reports.report import read_report
from bvkeras.serving.tagged_answers import entity_lists, word_tags
from bvkeras.serving.text_model import TextModel
from bvkeras.tasks.tag_scheme import TagScheme
from bvkeras.training.head import TrainedHead, train_head
from tests.pipeline.fast_run import TOKEN_SETTINGS, short_report

_SYSTEMS = ("finetune/epoch_3", "head/epoch_3", "head/frozen")


def answers_of(run, system):
    return read_tagged(run / system / "evaluation" / "validation.jsonl")


def test_every_system_is_scored_by_entities(token_run):
    report = read_report(token_run)
    assert [system.name for system in report.systems] == [
        "fine-tuned encoder",
        "pooled head on it",
        "head on the frozen encoder",
    ]
    assert report.main_metric == "entity_f1"
    for system, folder in zip(report.systems, _SYSTEMS, strict=True):
        found = answers_of(token_run, folder)
        counts = sentence_counts(found.labels, found.predictions).sum(axis=0)
        assert system.scores["validation"] == pytest.approx(
            entity_metrics(list(system.scores["validation"]), counts)
        )
    scores = [s.scores["validation"]["entity_f1"] for s in report.systems]
    assert scores[1] > 0.6
    assert scores[2] > 0.5
    assert 0.5 < report.baseline["validation"]["entity_f1"] < 1
    [difference] = report.differences
    assert difference["difference"] == pytest.approx(scores[1] - scores[0])
    assert difference["low"] <= difference["difference"] <= difference["high"]
    assert report.baseline_name == "each word's most frequent tag"
    [table] = report.tables
    assert {row[0] for row in table["rows"]} == {"LOC", "PET"}
    assert any("McNemar" in note for note in report.notes)
    assert any("tags as iob2" in note for note in report.notes)
    assert len(report.layer_importance["pooled head on it"]) == 3
    errors = token_run / report.files["pooled head on it, errors on validation"]
    assert "wrong borders" in errors.read_text("utf-8")


def test_every_word_has_one_answer(token_run):
    task = tasks.read_task(token_run)
    examples = load_examples(task, "validation")
    found = answers_of(token_run, "head/epoch_3")
    assert found.ids == examples.ids
    assert found.words == tuple(s.words for s in examples.sentences)
    assert found.labels == tuple(s.tags for s in examples.sentences)
    chances = np.concatenate(found.probabilities)
    assert ((chances > 0.1) & (chances <= 1)).all()
    # Some of the sentences have several windows.
    cache = HiddenStateCache(token_run / "cache" / "epoch_3" / "validation")
    assert len(cache) > len(examples)
    assert (cache.labels() >= 0).sum() >= sum(map(len, found.words))


def test_the_served_graph_tags_words_as_the_run_did(token_run):
    model = TextModel.open(token_run)
    found = answers_of(token_run, "head/epoch_3")
    entities = entity_lists(model.predict([" ".join(w) for w in found.words]))
    tags = [
        word_tags(words, one, model.label_names)
        for words, one in zip(found.words, entities, strict=True)
    ]
    differ = [
        (words, one, other)
        for words, one, other in zip(
            found.words,
            tags,
            # What goes on with nothing begins an entity.
            map(TagScheme.IOB2.to_learned, found.predictions),
            strict=True,
        )
        # Of such words each part between the points has an answer.
        if one != other and not any("." in word[:-1] for word in words)
    ]
    assert not differ
    assert len(found) > 15
    for words, one in zip(found.words, entities, strict=True):
        for entity in one:
            text = " ".join(words)[entity["start"] : entity["end"]]
            assert entity["text"] == text
            assert 0 < entity["score"] <= 1


def test_a_run_goes_on_where_it_was(token_run, tiny_bert):
    before = (token_run / "report.json").stat().st_mtime_ns
    with short_report():
        again = pipeline.run(
            tasks.read_task(token_run),
            str(tiny_bert),
            token_run,
            **TOKEN_SETTINGS,
        )
    assert (token_run / "report.json").stat().st_mtime_ns > before
    assert again.systems == read_report(token_run).systems


def test_a_cache_of_other_sentences_is_refused(token_run, tmp_path):
    task = tasks.read_task(token_run)
    head = TrainedHead.open(token_run / "head" / "epoch_3")
    cache = HiddenStateCache(token_run / "cache" / "epoch_3" / "validation")
    examples = load_examples(task, "validation")
    for wrong in (None, examples.take([0])):
        with pytest.raises(ArgumentError, match="examples: expected those"):
            evaluate_head(task, head, cache, tmp_path, wrong)
    other = dataclasses.replace(task, label_names=("O", "B-LOC", "I-LOC"))
    with pytest.raises(ArgumentError, match="made for 5 tags"):
        train_head(other, cache, tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_texts_and_words_are_answered_as_tables(token_run, tmp_path):
    (tmp_path / "new.conll").write_text("The\ncat\nsat\n\nZo\n.\n", "utf-8")
    (tmp_path / "new.csv").write_text("words\nThe cat sat\n", "utf-8")
    for name, output in (("new.conll", "a.jsonl"), ("new.csv", "b.csv")):
        cli.main(
            [
                *("predict", str(token_run)),
                *("--input", str(tmp_path / name)),
                *("--output", str(tmp_path / output)),
            ]
        )
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["row"] for row in rows] == [1, 5]
    assert [len(row["tags"]) for row in rows] == [3, 2]
    header, row = (tmp_path / "b.csv").read_text("utf-8").splitlines()
    assert header == "row,entities"
    assert json.loads(row[3:-1].replace('""', '"')) == rows[0]["entities"]


def test_errors_of_two_files_are_compared(token_run, tmp_path, capsys):
    paths = [
        str(token_run / system / "evaluation" / "validation.jsonl")
        for system in _SYSTEMS[:2]
    ]
    cli.main(
        [
            *("errors", *paths, "--names", "encoder,head"),
            *("--task", str(token_run), "--output-dir", str(tmp_path)),
        ]
    )
    assert "# Errors of encoder and head" in capsys.readouterr().out
    errors = json.loads((tmp_path / "errors.json").read_text("utf-8"))
    assert set(errors["systems"][0]["by_type"]) == {"LOC", "PET"}
    assert (tmp_path / "differences.tsv").exists()
