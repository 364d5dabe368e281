"""Files of answers, whoever wrote them."""

import dataclasses
import json

import pytest

from bvkeras.errors import DataError
from bvkeras.evaluation.spans.answers_file import read_answers
from tests.data.squad_fixtures import make_question, make_span_examples

EXAMPLES = make_span_examples(
    make_question("b c", "b", name="one"), make_question("b c", name="two")
)


@pytest.fixture
def read(tmp_path):
    def read_it(contents, examples=EXAMPLES):
        path = tmp_path / "answers.json"
        if not isinstance(contents, bytes):
            contents = json.dumps(contents).encode()
        path.write_bytes(contents)
        return read_answers(path, examples)

    return read_it


def test_answers_come_in_the_order_of_the_questions(read):
    assert read({"two": "", "one": "Łódź\n"}) == ("Łódź\n", "")
    assert read('\ufeff{"two": "", "one": "ß"}'.encode()) == ("ß", "")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"one": "b"}, "has no answer to 1 of 2 questions, such as 'two'"),
        (
            {"one": "b", "two": "", "six": "", "six\n": ""},
            "2 of its ids are of no question, such as 'six'; expected the 2 "
            "questions of made up",
        ),
        (["b", ""], r'received \["b", ""\], expected a JSON object'),
        ({"one": "b", "two": None}, "question 'two': its answer is null"),
        ({"one": ["b"], "two": ""}, "question 'one': its answer is .*b"),
        ({"one": "b", "two": 1}, "'two': its answer is 1, expected text"),
        ({"one": "b\ud800", "two": ""}, "lone surrogate at character 1"),
        (b"one,b\ntwo,", "is not JSON in UTF-8"),
        (b'{"one": "\xff", "two": ""}', "is not JSON in UTF-8"),
        (b"[" * 100_000, "is not JSON in UTF-8"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(read, contents, message):
    with pytest.raises(DataError, match=message) as error:
        read(contents)
    assert "answers.json: " in str(error.value)
    assert "\n" not in str(error.value)


def test_questions_that_were_left_out_may_be_answered(read):
    skipped = dataclasses.replace(EXAMPLES, skipped=1)
    answers = {"one": "b", "two": "", "bad": "c"}
    assert read(answers, skipped) == ("b", "")
    with pytest.raises(DataError, match="has no answer to 1 of 2"):
        read({"one": "b", "bad": "c"}, skipped)
