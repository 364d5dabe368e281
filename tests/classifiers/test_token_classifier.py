"""Words in, tags out; texts in, entities out."""

import numpy as np
import pytest

import bvkeras
from bvkeras.errors import ArgumentError, RunError
from bvkeras.serving import TextModel
from bvkeras.serving.tagged_answers import entity_lists
from bvkeras.tasks.tag_scheme import TagScheme
from tests.tagged_sentences import make_small_sentences

SENTENCES = make_small_sentences(60)
WORDS = [words for words, _ in SENTENCES]
# As somebody may have them.
TAGS = [TagScheme.IOBES.from_learned(tags) for _, tags in SENTENCES]
_FAST = {"head_epochs": 12, "head_learning_rate": 0.1, "max_tokens": 32}
TEXT = "🙂 The cat sat on 日本. שלום, dog!"


@pytest.fixture(scope="module")
def model(tiny_bert):
    model = bvkeras.TokenClassifier.from_preset(tiny_bert, **_FAST)
    history = model.fit(WORDS, TAGS, validation_data=(WORDS, TAGS))
    assert set(history.history) == {"loss", "val_loss"}
    losses = history.history["loss"]
    assert losses[-1] < losses[0] / 2
    return model


def test_tags_come_back_in_the_scheme_they_came_in(model):
    assert model.task.tag_scheme is TagScheme.IOBES
    assert model.task.label_names[:2] == ("O", "B-LOC")
    found = model.predict(WORDS)
    assert [len(tags) for tags in found] == [len(words) for words in WORDS]
    letters = {tag[0] for tags in found for tag in tags}
    assert set("SOBEI") >= letters > set("SO")
    scores = model.evaluate(WORDS, TAGS)
    assert scores["entity_f1"] > 0.5
    right = sum(
        tag == other
        for one, two in zip(found, TAGS, strict=True)
        for tag, other in zip(one, two, strict=True)
    )
    # By IOB2 fewer words can be wrong: not the last one of an entity.
    assert scores["word_accuracy"] >= right / sum(map(len, TAGS)) > 0.5


def test_entities_are_parts_of_their_texts(model):
    found = model.find_entities([TEXT, "\u200b"])
    assert found[1] == []
    assert found[0]
    for entity in found[0]:
        assert entity.text == TEXT[entity.start : entity.end]
        assert entity.type in ("LOC", "PET")


def test_tables_of_words(model, tiny_bert):
    table = {"tokens": WORDS, "tags": TAGS}
    other = bvkeras.TokenClassifier.from_preset(
        tiny_bert, text="tokens", **_FAST | {"head_epochs": 1}
    )
    other.fit(table)
    assert other.task.text_columns == ("tokens",)
    assert len(other.predict(table)) == len(WORDS)
    assert other.evaluate(table).keys() == model.evaluate(WORDS, TAGS).keys()


def test_saved_and_exported_it_says_the_same(model, tmp_path):
    model.save(tmp_path / "model")
    loaded = bvkeras.load(tmp_path / "model")
    assert isinstance(loaded, bvkeras.TokenClassifier)
    assert loaded.predict(WORDS[:9]) == model.predict(WORDS[:9])
    model.export(tmp_path / "export")
    served = TextModel.open(tmp_path / "export").predict([TEXT])
    [found] = model.find_entities([TEXT])
    assert [e["text"] for e in entity_lists(served)[0]] == [
        entity.text for entity in found
    ]


# The pipeline fine-tunes a tagger for tests/pipeline/test_token_runs.py.
@pytest.mark.full
def test_a_fine_tuned_encoder(tiny_bert, capsys):
    model = bvkeras.TokenClassifier.from_preset(
        tiny_bert, encoder_training="fine_tuned", **_FAST | {"head_epochs": 1}
    )
    model.fit(WORDS[:8], TAGS[:8], epochs=1)
    model.summary()
    printed = capsys.readouterr().out
    assert "entities, tokens" in printed
    assert "B-PET" in printed


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ("a b", None, "x: expected a list of words for each sentence, got str"),
        (["a b"], [["O"]], "x: row 0 is 'a b', expected a list of words"),
        ([[]], [[]], "x: row 0 is .*, expected a list of words"),
        ([["a", 1]], [["O", "O"]], "x: row 0 holds 1, expected str"),
        ([["a"]], None, "y: expected tags, one a word, got none"),
        ([["a"]], "tags", "y: expected tags, one a word, got 'tags', and x is"),
        ([["a"]], [["O"]] * 2, "y: expected 1 rows of tags"),
        ([["a"]], [["O", "O"]], "y: row 0 has 2 tags for 1 words"),
        ([["a"]], [["O"]], "y: all words have the tag O, expected some others"),
        ({"text": [["a"]]}, None, "x: has no column 'words', it has text"),
        ([], [], "x: expected at least one"),
    ],
)
def test_what_is_no_sentence_is_named(tiny_bert, x, y, message):
    model = bvkeras.TokenClassifier.from_preset(tiny_bert)
    with pytest.raises(ArgumentError, match=message):
        model.fit(x, y)


def test_what_cannot_be_is_refused(model, tiny_bert):
    with pytest.raises(ArgumentError, match="y: row 0 has the tag 'B-X'"):
        model._numbers(model.task, [(("a",), ("S-X",))])
    with pytest.raises(ArgumentError, match="sample_weight: expected none"):
        model.fit(WORDS, TAGS, sample_weight=np.ones(len(WORDS)))
    with pytest.raises(ArgumentError, match="text: expected one column"):
        bvkeras.TokenClassifier.from_preset(tiny_bert, text=("a", "b"))
    with pytest.raises(RunError, match="TokenClassifier: it was not trained"):
        bvkeras.TokenClassifier.from_preset(tiny_bert).predict([["a"]])
