"""What is computed together, and that each gets its own answer."""

import asyncio
import threading

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.serving.rest.batcher import Batcher
from bvkeras.serving.rest.limits import Limits
from bvkeras.serving.rest.predict_request import PredictRequest
from bvkeras.serving.rest.request_error import RequestError
from bvkeras.serving.rest.request_size import RequestSize

# As TensorFlow says it.
REFUSAL = """Graph execution error:

Detected at node Assert/Assert defined at (most recent call last):
<stack traces unavailable>
assertion failed: [a bad\x1b
row]
\t [[{{node Assert/Assert}}]] [Op:__inference_signature_wrapper_7]"""


class Version:
    """Counts a text's bytes; keeps what it was asked for."""

    def __init__(self, alone=(), bad=b"", extra_row=False):
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()
        self._alone, self._bad, self._extra_row = alone, bad, extra_row

    def together(self, signature):
        return None if signature in self._alone else "all"

    def splits(self, signature):
        return signature not in self._alone and not self._extra_row

    def run(self, signature, inputs):
        self.gate.wait(10)
        texts = inputs["text"].tolist()
        self.asked.append((signature, texts))
        if self._bad and self._bad in texts:
            raise tf.errors.InvalidArgumentError(None, None, REFUSAL)
        sizes = np.array([len(text) for text in texts])
        if self._extra_row and len(texts) > 1:
            sizes = np.append(sizes, 0)
        return {"size": sizes}

    def pick(self, signature, outputs):
        return {"size": outputs["size"], "of": signature}


def request(*texts, signature="all"):
    array = np.array([t.encode() for t in texts], dtype=object)
    size = RequestSize.of_lengths([len(t) for t in texts])
    return PredictRequest(signature, {"text": array}, len(texts), True, size)


def answers(version, requests, timeout=10.0, **limits):
    """Answers, or errors, of requests that arrive at once."""

    async def ask():
        batcher = Batcher(Limits(**limits))
        running = asyncio.create_task(batcher.run())
        try:
            return await asyncio.gather(
                *(
                    asyncio.wait_for(batcher.answer(version, one), timeout)
                    for one in requests
                ),
                return_exceptions=True,
            )
        finally:
            running.cancel()
            version.gate.set()
            batcher.close()

    return asyncio.run(ask())


def sizes(found):
    return [answer["size"].tolist() for answer in found]


def test_requests_that_wait_are_one_batch():
    version = Version()
    found = answers(
        version, [request("aa"), request("bbb", "bb"), request("c" * 4)]
    )
    assert sizes(found) == [[2], [3, 2], [4]]
    assert version.asked == [("all", [b"aa", b"bbb", b"bb", b"cccc"])]


def test_one_signature_is_asked_as_such_and_several_as_all():
    version = Version()
    same = [request("aa", signature="sst2")] * 2
    answers(version, same)
    mixed = [request("aa", signature=name) for name in ("sst2", "cola")]
    found = answers(version, mixed)
    assert [name for name, _ in version.asked] == ["sst2", "all"]
    assert [answer["of"] for answer in found] == ["sst2", "cola"]


def test_batches_are_no_larger_than_asked():
    version = Version()
    requests = [request("aa") for _ in range(7)]
    assert sizes(answers(version, requests, batch_rows=3)) == [[2]] * 7
    assert [len(texts) for _, texts in version.asked] == [3, 3, 1]
    version = Version()
    answers(version, [request("a", "a", "a"), request("a")], batch_rows=1)
    assert [len(texts) for _, texts in version.asked] == [1, 1, 1, 1]


def test_large_request_is_computed_in_parts_and_lets_others_pass():
    version = Version()
    large = request("a" * 9, "a", "a" * 8, "aa", "a" * 7)
    found = answers(version, [large, request("b" * 6)], batch_tokens=10)
    assert sizes(found) == [[9, 1, 8, 2, 7], [6]]
    assert [[len(t) for t in texts] for _, texts in version.asked] == [
        [1, 2], [6], [7], [8], [9],
    ]  # fmt: skip


def test_small_requests_and_large_ones_have_half_each():
    version = Version()
    large = [request(*["x" * 8] * 2) for _ in range(3)]
    small = [request("aa") for _ in range(10)]
    answers(version, large + small, batch_tokens=16, batch_rows=4)
    asked = ["".join(t.decode()[0] for t in ts) for _, ts in version.asked]
    assert asked == ["xx", "aaaa", "aaaa", "xx", "aa", "xx"]


def test_what_cannot_be_split_is_not():
    version = Version(alone={"hidden_states"})
    large = request("aa", "a" * 50, signature="hidden_states")
    assert sizes(answers(version, [large], batch_tokens=10)) == [[2, 50]]
    assert len(version.asked) == 1


def test_texts_of_like_length_are_together_and_the_oldest_first():
    version = Version()
    texts = ["a" * n for n in (10, 90, 11, 80, 9)]
    found = answers(version, [request(text) for text in texts])
    assert sizes(found) == [[10], [90], [11], [80], [9]]
    lengths = [[len(t) for t in texts] for _, texts in version.asked]
    assert lengths == [[10, 11, 9], [90, 80]]


def test_some_are_computed_alone():
    version = Version(alone={"hidden_states"})
    requests = [
        request("aa", signature=name)
        for name in ("hidden_states", "all", "hidden_states", "all")
    ]
    answers(version, requests)
    assert [(n, len(t)) for n, t in version.asked] == [
        ("hidden_states", 1), ("all", 2), ("hidden_states", 1),
    ]  # fmt: skip


def test_inputs_of_other_shapes_are_other_batches():
    class Tokens(Version):
        def run(self, signature, inputs):
            self.asked.append(inputs["ids"].shape)
            return {"size": inputs["ids"].sum(axis=1)}

    version = Tokens()
    requests = [
        PredictRequest(
            *("tokens", {"ids": np.ones((1, width), int)}, 1, False),
            RequestSize.of_lengths([width]),
        )
        for width in (3, 4, 3)
    ]
    assert sizes(answers(version, requests)) == [[3], [4], [3]]
    assert version.asked == [(2, 3), (1, 4)]


def test_bad_row_fails_its_own_request_alone():
    version = Version(bad=b"bb")
    good, bad, other = answers(
        version, [request("aa"), request("bb"), request("cc")]
    )
    assert sizes([good, other]) == [[2], [2]]
    assert isinstance(bad, RequestError)
    assert bad.status == 400
    assert str(bad) == "the model refuses the inputs: a bad\\x1b row"


def test_answers_that_cannot_be_told_apart_are_computed_alone():
    version = Version(extra_row=True)
    assert sizes(answers(version, [request("aa"), request("bbb")])) == [
        [2],
        [3],
    ]


def test_failure_of_the_server_is_no_fault_of_the_client(caplog):
    class Broken(Version):
        def run(self, signature, inputs):
            raise RuntimeError("out of luck")

    for requests in ([request("aa")], [request("aa"), request("bb")]):
        for error in answers(Broken(), requests):
            assert error.status == 500
            assert "luck" not in str(error)
    assert "out of luck" in caplog.text


def test_more_than_may_wait_is_refused_and_the_rest_answered():
    version = Version()
    requests = [request("a"), request("a"), request("a")]
    *found, refused = answers(version, requests, waiting_rows=2)
    assert sizes(found) == [[1], [1]]
    assert refused.status == 503


def test_late_answer_is_an_error_and_takes_no_work():
    version = Version()
    version.gate.clear()
    late = [request("first"), request("a"), request("b")]
    found = answers(version, late, timeout=0.2, batch_rows=1)
    assert [type(error) for error in found] == [TimeoutError] * 3
    # What waited after the first was never computed.
    assert [texts for _, texts in version.asked] == [[b"first"]]


def test_rest_of_a_late_request_is_not_computed():
    version = Version()
    version.gate.clear()
    found = answers(version, [request("a" * 9, "b" * 9)], 0.2, batch_tokens=9)
    assert isinstance(found[0], TimeoutError)
    assert [texts for _, texts in version.asked] == [[b"a" * 9]]


def test_batch_can_wait_for_more():
    async def ask(wait):
        version = Version()
        batcher = Batcher(Limits(batch_wait=wait))
        running = asyncio.create_task(batcher.run())
        first = asyncio.create_task(batcher.answer(version, request("aa")))
        await asyncio.sleep(0.05)
        await batcher.answer(version, request("bb"))
        await first
        running.cancel()
        batcher.close()
        return len(version.asked)

    assert asyncio.run(ask(0.5)) == 1
    assert asyncio.run(ask(0.0)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_rows": 0},
        {"batch_tokens": 0},
        {"tokens": 0},
        {"values": 0},
        {"body_bytes": 0},
        {"rows": -1},
        {"text_bytes": 0},
        {"waiting_rows": 0},
        {"batch_wait": -1.0},
        {"batch_wait": float("nan")},
        {"timeout": 0.0},
        {"timeout": float("inf")},
    ],
)
def test_limits_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
