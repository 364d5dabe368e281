"""A served task of tagged words: the answer, and the page."""

import pytest

from bvkeras.serving import export_runs
from bvkeras.serving.tagged_answers import entity_lists
from bvkeras.serving.text_model import TextModel
from tests.serving.rest.running_server import RunningServer

TEXTS = (
    "The cat sat on 日本. 🙂🙂 The dog ran, שלום, to 中.",
    "\u200b",
    "Zo sat on <b>mat</b> in 日文, and the dog ran. " * 6,
    "🙂",
)


@pytest.fixture(scope="module")
def directory(token_run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokens") / "tiny"
    export_runs([token_run], directory)
    return directory


@pytest.fixture(scope="module")
def server(directory):
    # Fewer tokens at a time than the long text has: parts are computed apart.
    with RunningServer(directory, "--batch-tokens", "64") as running:
        yield running


def ask(server, **body):
    status, answer = server.request("POST", "/v1/models/tiny:predict", body)
    assert status == 200, answer
    return answer


def test_entities_have_their_places_in_the_text(server):
    rows = [{"text": text} for text in TEXTS]
    answers = ask(server, instances=rows)["predictions"]
    assert [set(answer) for answer in answers] == [
        {"entity", "type", "start", "end", "score"}
    ] * len(TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        places = list(zip(answer["start"], answer["end"], strict=True))
        assert [text[first:end] for first, end in places] == answer["entity"]
        assert places == sorted(places)
        assert set(answer["type"]) <= {"PET", "LOC"}
        assert all(0 < score <= 1 for score in answer["score"])
    counts = [len(answer["start"]) for answer in answers]
    # Rows have as many as they have, whatever is asked with them.
    assert counts[1] == 0
    assert counts[2] > counts[0] > 1
    alone = [ask(server, instances=[row])["predictions"][0] for row in rows]
    for one, other in zip(alone, answers, strict=True):
        assert one["entity"] == other["entity"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    columns = ask(server, inputs={"text": list(TEXTS)})["outputs"]
    assert columns["start"] == [answer["start"] for answer in answers]


def test_the_export_and_the_run_say_the_same(directory, token_run):
    models = TextModel.open(directory), TextModel.open(token_run)
    one, other = (entity_lists(model.predict(TEXTS)) for model in models)
    assert [[e["text"] for e in row] for row in one] == [
        [e["text"] for e in row] for row in other
    ]


def test_page_marks_the_entities_in_the_text(server, browser):
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.address)
    for text in (TEXTS[0], TEXTS[2].strip(), TEXTS[3]):
        [expected] = ask(server, instances=[{"text": text}])["predictions"]
        page.fill("#text", text)
        page.click("button")
        page.wait_for_selector("#message:text-matches('1 answer in')")
        marked = page.eval_on_selector_all(
            ".answer mark", "all => all.map((mark) => mark.textContent)"
        )
        assert marked == expected["entity"]
        kinds = page.eval_on_selector_all(
            ".answer .type", "all => all.map((kind) => kind.textContent)"
        )
        assert kinds == expected["type"]
        shown = page.inner_text(".answer")
        assert ("no entities" in shown) == (not marked)
    assert page.query_selector_all(".answer b") == []
    page.close()
    assert not problems
