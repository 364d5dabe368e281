"""A served task of several labels: the answer, and the page."""

import dataclasses

import pytest

import bvkeras
from bvkeras import tasks
from bvkeras.serving import ServedHead, ServedTask, export
from tests.serving.conftest import MAX_TOKENS, randomize
from tests.serving.rest.running_server import RunningServer

NAMES = ("a & b", "<b>", "c", "שלום")
TEXTS = ("a joy", "the cat sat on the mat", "zzz 7")


@pytest.fixture(scope="module")
def server(encoder, tmp_path_factory):
    head = bvkeras.models.PoolingClassifier(
        len(NAMES), 4, num_layers=encoder.num_layers, hidden_dim=16
    )
    randomize(head, 5)
    spec = dataclasses.replace(
        tasks.get("sst2"),
        name="traits",
        label_names=NAMES,
        metrics=("micro_f1",),
        kind=tasks.Kind.LABELS,
    )
    served = ServedTask.of(
        spec,
        ServedHead.of(head),
        max_tokens=MAX_TOKENS,
        layers=range(encoder.num_layers),
    )
    directory = tmp_path_factory.mktemp("labels") / "tiny"
    export(encoder, [served], directory)
    with RunningServer(directory) as running:
        yield running


def predicted(server, texts):
    body = {"instances": [{"text": text} for text in texts]}
    status, answer = server.request("POST", "/v1/models/tiny:predict", body)
    assert status == 200, answer
    return answer["predictions"]


def test_answers_name_each_label_of_one_half_or_more(server):
    answers = predicted(server, TEXTS)
    for answer in answers:
        assert set(answer) == {"labels", "probabilities"}
        assert answer["labels"] == "|".join(
            name
            for name, probability in zip(
                NAMES, answer["probabilities"], strict=True
            )
            if probability >= 0.5
        )
    # Neither all nor none of them, and not of one text alone.
    assert len({answer["labels"] for answer in answers}) > 1


def test_page_marks_all_labels_of_a_text(server, browser):
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.address)
    for text in TEXTS:
        [expected] = predicted(server, [text])
        page.fill("#text", text)
        page.click("button")
        page.wait_for_selector("#message:text-matches('1 answer in')")
        shown = page.inner_text('[data-task="traits"] .answer')
        for name, probability in zip(
            NAMES, expected["probabilities"], strict=True
        ):
            assert name in shown
            assert f"{probability:.3f}" in shown
        best = page.eval_on_selector_all(
            "tr.best th", "all => all.map((cell) => cell.textContent)"
        )
        assert "|".join(best) == expected["labels"]
        assert ("no label" in shown) == (not best)
    assert page.query_selector_all(".answer b") == []
    page.close()
    assert not problems
