"""Tables of words with tags, as tasks."""

import dataclasses
import json

import pytest

from bvkeras import tasks
from bvkeras.data.sources import load_examples
from bvkeras.data.tables.class_labels import UNSEEN
from bvkeras.data.tables.describe import describe_table
from bvkeras.errors import ArgumentError, DataError
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.table_files import TableFiles
from bvkeras.tasks.tag_scheme import TagScheme
from tests.tagged_sentences import (
    make_sentences,
    write_conll,
    write_json_lines,
)

SENTENCES = make_sentences(60)


def describe(path, *columns, **options):
    files = TableFiles((str(path),), **options.pop("files", {}))
    return describe_table(files, *(columns or ("words", "tags")), **options)


@pytest.mark.parametrize("write", [write_conll, write_json_lines])
def test_a_table_of_words_is_a_task(tmp_path, write):
    suffix = ".conll" if write is write_conll else ".jsonl"
    table = describe(write(tmp_path / f"people{suffix}", SENTENCES))
    spec = table.spec
    assert (spec.kind, spec.tag_scheme) == (Kind.TOKENS, TagScheme.IOB2)
    assert spec.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert spec.metrics[0] == "entity_f1"
    assert spec.small_settings.head.token_pooling == "flatten"
    split = {name: table.examples[name] for name in spec.splits}
    assert sum(map(len, split.values())) == len(SENTENCES)
    texts = [{s.text for s in part.sentences} for part in split.values()]
    assert texts[1]
    assert not texts[0] & texts[1]
    found = {f.what for f in table.findings.findings}
    assert "labels: tokens, inferred: words with tags" in found
    assert "training: sentences without an entity" in found
    # The same rows again, from the description alone.
    tasks.write_task(spec, tmp_path / "task.json")
    again = tasks.read_task(tmp_path)
    assert again == spec
    for name, part in split.items():
        assert load_examples(again, name).digest == part.digest


def test_tags_of_another_scheme_are_learned_as_iob2(tmp_path):
    wanted = [(w, TagScheme.IOBES.from_learned(t)) for w, t in SENTENCES]
    path = write_json_lines(tmp_path / "people.jsonl", wanted)
    table = describe(path)
    assert table.spec.tag_scheme is TagScheme.IOBES
    assert table.spec.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    tags = {s.text: s.tags for s in table.examples["train"].sentences}
    for words, expected in SENTENCES:
        assert tags.get(" ".join(words), tuple(expected)) == tuple(expected)


def test_parts_of_speech_have_no_entities(tmp_path):
    rows = [(["The", "cat", f"n{i}"], ["DET", "NOUN", "X"]) for i in range(20)]
    table = describe(write_json_lines(tmp_path / "a.jsonl", rows))
    assert table.spec.tag_scheme is TagScheme.PLAIN
    assert table.spec.label_names == ("DET", "NOUN", "X")
    assert table.spec.metrics == ("word_accuracy",)


def test_what_is_wrong_with_tags_is_said(tmp_path):
    rows = [*SENTENCES, (["in", "Ulm"], ["O", "I-LOC"]), (["x"], ["B-X"])]
    validation = tmp_path / "validation.jsonl"
    write_json_lines(
        validation, [(["a", f"{i}"], ["O", "B-LOC"]) for i in range(20)]
    )
    with open(validation, "a", encoding="utf-8") as file:
        file.write(json.dumps({"words": ["é"], "tags": ["B-NEW"]}) + "\n")
    table = describe(
        write_json_lines(tmp_path / "people.jsonl", rows),
        files={"validation": (str(validation),)},
        token_lengths=lambda texts, _: [len(text) for text in texts],
        max_tokens=64,
    )
    found = {f.what: f for f in table.findings.findings}
    broken = found["training: sentences whose tags are no iob2"]
    assert (broken.count, broken.is_warning) == (1, True)
    assert "people.jsonl row 61" in broken.note
    assert found["training: types of entities that come once"].note == "'X'"
    assert found[f"validation: {UNSEEN}, dropped"].count == 1
    assert found["training: sentences in several windows"].count > 0
    assert len(table.examples["validation"]) == 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(["a", "b"], ["O"])], r"row 1: has 2 words and 1 tags"),
        ([([" "], ["O"])], r"row 1: words holds ' ', expected words"),
        ([(["\ud800"], ["O"])], r"row 1: words holds half of a surrogate"),
        ([([], [])], r"row 1: words is \[\], expected a list of words"),
        ([(["a"], ["O"])] * 9, r"row 1: and 8 other rows have the tag O alone"),
        ([(["a"], ["B-X"])], r"row 1: and 0 other rows are too few"),
    ],
)
def test_tables_that_cannot_be_trained_on(tmp_path, rows, message):
    lines = [json.dumps({"words": w, "tags": t}) for w, t in rows]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(DataError, match=message):
        describe(path, kind="tokens")


def test_other_tags_than_the_task_has_are_named(tmp_path):
    path = write_conll(tmp_path / "people.conll", SENTENCES)
    spec = describe(path).spec
    spec = dataclasses.replace(spec, label_names=("O", "B-PER", "I-PER"))
    with pytest.raises(DataError, match=r"row \d+: tags has 'B-LOC', expected"):
        load_examples(spec, "train")


def test_one_column_of_words_and_one_of_tags(tmp_path):
    path = write_json_lines(tmp_path / "people.jsonl", SENTENCES)
    with pytest.raises(ArgumentError, match="text: got 2 columns, expected"):
        describe(path, ("words", "id"), "tags", kind="tokens")
    with pytest.raises(DataError, match="no column 'text', expected one of"):
        describe(path, "text", "tags")


def test_a_scheme_belongs_to_tags(tmp_path):
    spec = describe(write_conll(tmp_path / "a.conll", SENTENCES)).spec
    with pytest.raises(ArgumentError, match="tag_scheme: expected a TagScheme"):
        dataclasses.replace(spec, tag_scheme=None)
    with pytest.raises(ArgumentError, match="tag_scheme: expected None of"):
        dataclasses.replace(tasks.get("sst2"), tag_scheme=TagScheme.IO)
