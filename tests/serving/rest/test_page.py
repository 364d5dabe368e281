"""The page at `/` in a real browser, against a real server."""

import types

import pytest

from bvkeras.serving.rest import page as served_page

TEXTS = {
    "text": "a joy from start to end",
    "text_b": "<img src=x onerror=alert(1)>",
    "question": "who was first?",
    # Offsets are of code points: one beyond 16 bits stands before the answer.
    "context": "🙂 Ada was first, and <b>Grace</b> was next.",
}


@pytest.fixture
def page(server, browser):
    """The open page; fails the test if it errs or asks elsewhere."""
    problems = []
    page = browser.new_page()
    page.on(
        "console",
        # The browser itself notes each refused request.
        lambda message: (
            "status of 400" in message.text or problems.append(message.text)
        ),
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(server.address)
            or problems.append(request.url)
        ),
    )
    page.goto(server.address)
    yield page
    page.close()
    assert not problems


def ask(page, **texts):
    for name in TEXTS:
        page.fill(f"#{name}", texts.get(name, ""))
    page.click("button")
    # It is "asking …" from the click to the last answer.
    page.wait_for_selector("#message:text-matches('answers? in|nothing')")
    return {
        task: page.inner_text(f'[data-task="{task}"] .answer')
        for task in ("sst2", "mnli", "stsb", "squad_v2")
    }


def predicted(server, name, **texts):
    body = {"signature_name": name, "instances": [texts]}
    status, answer = server.request("POST", "/v1/models/tiny:predict", body)
    assert status == 200
    return answer["predictions"][0]


def test_every_task_answers_as_the_server_does(page, server):
    answers = ask(page, **TEXTS)
    assert "4 answers in" in page.inner_text("#message")
    pair = {name: TEXTS[name] for name in ("text", "text_b")}
    span = {name: TEXTS[name] for name in ("question", "context")}
    for task, given in (("sst2", {"text": TEXTS["text"]}), ("mnli", pair)):
        expected = predicted(server, task, **given)
        for probability in expected["probabilities"]:
            assert f"{probability:.3f}" in answers[task]
        best = f'[data-task="{task}"] tr.best th'
        assert page.inner_text(best) == expected["label"]
        meters = page.eval_on_selector_all(
            f'[data-task="{task}"] meter', "all => all.map((m) => m.value)"
        )
        assert meters == pytest.approx(expected["probabilities"], abs=1e-6)
    assert answers["stsb"] == f"{predicted(server, 'stsb', **pair):.3f}"
    expected = predicted(server, "squad_v2", **span)
    assert expected["answer"] in answers["squad_v2"]
    assert TEXTS["context"] in answers["squad_v2"]
    marked = page.inner_text('[data-task="squad_v2"] mark')
    assert marked == expected["answer"]
    # Nothing that was typed became a part of the page.
    assert page.query_selector_all("img, b") == []


def test_only_tasks_that_have_their_texts_are_asked(page):
    answers = ask(page, text="a joy")
    assert "1 answer in" in page.inner_text("#message")
    assert answers["mnli"] == "needs text_b"
    assert answers["squad_v2"] == "needs question and context"
    ask(page)
    assert "nothing to ask" in page.inner_text("#message")


def test_refusal_is_shown_where_the_answer_would_be(page):
    answers = ask(page, text="x" * 3_000)
    assert "expected at most 2000" in answers["sst2"]
    assert page.query_selector('[data-task="sst2"] .answer.error')
    answers = ask(page, text="short")
    assert not page.query_selector('[data-task="sst2"] .answer.error')


def test_keys_are_enough(page):
    page.keyboard.press("Tab")
    page.keyboard.type("a joy")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("to see")
    assert page.input_value("#text") == "a joy\nto see"
    page.keyboard.press("Enter")
    page.wait_for_selector('[data-task="sst2"] tr.best')
    assert page.input_value("#text") == "a joy\nto see"


def test_page_says_what_was_trained_and_what_runs(page, server):
    text = page.inner_text("main")
    _, answer = server.request("GET", "/v1/models/tiny/metadata")
    about = answer["metadata"]["bvkeras"]
    for task in about["tasks"].values():
        assert f"{task['trained_parameters']:,} parameters trained" in text
        assert f"{task['total_parameters']:,} in all" in text
    labels = page.eval_on_selector_all(
        "textarea", "all => all.map((a) => a.labels[0].textContent)"
    )
    assert labels == ["Text", "Second text", "Question", "Context"]


def test_page_fits_a_telephone(page):
    page.set_viewport_size({"width": 360, "height": 640})
    ask(page, **TEXTS)
    assert page.evaluate(
        "document.documentElement.scrollWidth <= window.innerWidth"
    )
    lines = page.eval_on_selector_all(
        "td.number, tr th", "all => all.map((cell) => cell.offsetHeight)"
    )
    assert max(lines) < 40


def test_page_of_an_export_that_does_not_describe_itself():
    version = types.SimpleNamespace(
        tasks={}, description={}, signatures={"<b>": {}}
    )
    response = served_page.render("model", version)
    text = response.body.decode()
    assert "Its signatures: &lt;b&gt;." in text
    assert "<form" not in text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
