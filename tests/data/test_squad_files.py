"""The official SQuAD files: what they hold, and what is wrong with them."""

import copy
import json
import logging

import pytest

from bvkeras.data.span_question import SpanAnswer, SpanQuestion
from bvkeras.data.squad_files import find_file, read_questions
from bvkeras.errors import DataError

CONTEXT = "Zoë sat on a mat 🐈 and Zoë ran."
GOOD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Cats",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {
                            "id": "q2",
                            "question": "Who ran?",
                            "answers": [{"text": "Zoë", "answer_start": 23}],
                            "is_impossible": False,
                        },
                        {
                            "id": "q1",
                            "question": "Who flew?",
                            "answers": [],
                            "plausible_answers": [
                                {"text": "Zoë", "answer_start": 0}
                            ],
                            "is_impossible": True,
                        },
                    ],
                }
            ],
        }
    ],
}


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it."""

    def read(data, **options):
        path = tmp_path / "train-v2.0.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return read_questions(path, **options)

    return read


def changed(change):
    """`GOOD` after a change of its article, paragraph and first question."""
    data = copy.deepcopy(GOOD)
    article = data["data"][0]
    paragraph = article["paragraphs"][0]
    change(article, paragraph, paragraph["qas"][0])
    return data


def test_questions_come_in_the_order_of_their_ids(read):
    questions, left_out = read(GOOD)
    assert questions == (
        SpanQuestion("q1", "Cats", "Who flew?", CONTEXT, ()),
        SpanQuestion(
            "q2", "Cats", "Who ran?", CONTEXT, (SpanAnswer("Zoë", 23),)
        ),
    )
    assert left_out == ()
    assert questions[1].answers[0].end == 26


def test_version_1_says_nothing_of_impossible_questions(read):
    def remove(article, paragraph, question):
        paragraph["qas"] = [question]
        del question["is_impossible"]

    ((question,), _) = read(changed(remove))
    assert question.answers == (SpanAnswer("Zoë", 23),)


def test_no_answers_without_a_word_are_unanswerable(read):
    def remove(article, paragraph, question):
        paragraph["qas"] = [question]
        del question["is_impossible"]
        question["answers"] = []

    ((question,), skipped) = read(changed(remove))
    assert (question.answers, skipped) == ((), ())


def test_number_is_an_id(read):
    def number(article, paragraph, question):
        paragraph["qas"] = [question]
        question["id"] = 5

    ((question,), _) = read(changed(number))
    assert question.id == "5"


def test_byte_order_mark_and_escapes_are_read(tmp_path):
    path = tmp_path / "train.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode("ascii"))
    assert read_questions(path)[0][0].context == CONTEXT


def set_start(article, paragraph, question):
    question["answers"][0]["answer_start"] = 22


def set_start_of_all(article, paragraph, question):
    question["answers"][0] = {"text": "nobody", "answer_start": 1}


def set_negative_start(article, paragraph, question):
    question["answers"][0]["answer_start"] = -9


def set_text_as_start(article, paragraph, question):
    question["answers"][0]["answer_start"] = "23"


def set_true_as_start(article, paragraph, question):
    question["answers"][0]["answer_start"] = True


def remove_start(article, paragraph, question):
    del question["answers"][0]["answer_start"]


def empty_answer(article, paragraph, question):
    question["answers"][0]["text"] = ""


def answer_is_text(article, paragraph, question):
    question["answers"] = ["Zoë"]


def remove_answers(article, paragraph, question):
    del question["answers"]


def no_answer(article, paragraph, question):
    question["answers"] = []


def impossible_with_answer(article, paragraph, question):
    question["is_impossible"] = True


def impossible_is_text(article, paragraph, question):
    question["is_impossible"] = "no"


def remove_id(article, paragraph, question):
    del question["id"]


def true_as_id(article, paragraph, question):
    question["id"] = True


def repeat_id(article, paragraph, question):
    question["id"] = "q1"


def remove_question(article, paragraph, question):
    del question["question"]


def question_is_text(article, paragraph, question):
    paragraph["qas"][0] = "Who ran?"


def lone_surrogate(article, paragraph, question):
    question["question"] = "Who \ud800?"


BAD = [
    (
        set_start,
        "question 'q2': answer 0 'Zoë' is not at its answer_start 22; the "
        "context has it at 0",
    ),
    (
        set_start_of_all,
        "question 'q2': answer 0 'nobody' is not at its answer_start 1; the "
        "context has 'oë sat' there, and it nowhere",
    ),
    (set_negative_start, "question 'q2': answer 0 'Zoë' is not at its answe"),
    (
        set_text_as_start,
        "question 'q2': answer 0: its answer_start is '23', expected a number",
    ),
    (set_true_as_start, "answer 0: its answer_start is True, expected a num"),
    (remove_start, "answer 0: its answer_start is None, expected a number"),
    (empty_answer, "question 'q2': answer 0 is empty"),
    (answer_is_text, "question 'q2': answer 0: its text is None, expected t"),
    (remove_answers, "question 'q2': it has no list 'answers'"),
    (
        no_answer,
        "question 'q2': is_impossible is false and it has no answer, expected",
    ),
    (
        impossible_with_answer,
        "question 'q2': is_impossible is true and it has 1 answers, expected",
    ),
    (impossible_is_text, "question 'q2': is_impossible is 'no', expected tr"),
    (
        remove_id,
        "paragraph 0, question 0 ('Who ran?'): its id is missing",
    ),
    (true_as_id, "question 0 ('Who ran?'): its id is True, expected a string"),
    (repeat_id, "question 'q1': the id comes twice, first in article 'Cats'"),
    (remove_question, "question 'q2': its question is None, expected text"),
    (question_is_text, "paragraph 0, question 0: it is no JSON object"),
    (lone_surrogate, "question 'q2': its question has a lone surrogate at c"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_malformed_question_is_named(change, message, read, tmp_path):
    with pytest.raises(DataError) as error:
        read(changed(change))
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'train-v2.0.json'}: article 'Cats', ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("change", [change for change, _ in BAD])
def test_malformed_question_can_be_skipped(change, read, caplog):
    with caplog.at_level(logging.WARNING, logger="bvkeras"):
        questions, left_out = read(changed(change), skip_bad=True)
    assert len(questions) == 1
    (problem,) = left_out
    assert "article 'Cats'" in problem
    (line,) = caplog.messages
    assert line.startswith("left out 1 malformed questions, the first: ")
    assert "article 'Cats'" in line


def remove_paragraphs(article, paragraph, question):
    del article["paragraphs"]


def remove_context(article, paragraph, question):
    del paragraph["context"]


def remove_questions(article, paragraph, question):
    del paragraph["qas"]


def paragraph_is_text(article, paragraph, question):
    article["paragraphs"] = ["text"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_paragraphs, "article 'Cats', it has no list 'paragraphs'"),
        (remove_context, "question 'q2': its context is None, expected text"),
        (remove_questions, "article 'Cats', paragraph 0: it has no list 'qas'"),
        (paragraph_is_text, "paragraph 0: it has no list 'qas'"),
    ],
)
def test_malformed_paragraph_is_named(change, message, read):
    with pytest.raises(DataError) as error:
        read(changed(change))
    assert message in str(error.value)
    with pytest.raises(DataError, match="has no question"):
        read(changed(change), skip_bad=True)


def test_article_without_a_title_has_a_number(read):
    def change(article, paragraph, question):
        del article["title"]
        set_start(article, paragraph, question)

    with pytest.raises(DataError, match="article 'number 0', question 'q2'"):
        read(changed(change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON in UTF-8"),
        (b'{"data": "\xff"}', "is not JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON in UTF-8"),
        (b"[]", "has no list 'data'"),
        (b'{"data": {}}', "has no list 'data'"),
        (b'{"data": []}', "has no question"),
        (b'{"data": [5]}', "article 'number 0', it has no list"),
    ],
)
def test_file_that_is_none_of_them_is_one_line(content, message, tmp_path):
    path = tmp_path / "train.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_questions(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_questions(tmp_path / "train.json")


def test_a_part_of_the_official_file_is_found(tmp_path):
    assert find_file(tmp_path, "train") is None
    for name in ("half-train-v1.1.json", "half-train-v2.0.json"):
        (tmp_path / name).touch()
    assert find_file(tmp_path, "train").name == "half-train-v2.0.json"
    assert find_file(tmp_path, "validation") is None
    (tmp_path / "other-train-v2.0.json").touch()
    with pytest.raises(DataError, match=r"has half-train.*, other-train"):
        find_file(tmp_path, "train")
    (tmp_path / "train-v2.0.json").touch()
    assert find_file(tmp_path, "train").name == "train-v2.0.json"
