"""Strangers' tables of each kind, from the file to an answer in a browser."""

import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.cli import main as cli
from bvkeras.data.sources import load_examples
from bvkeras.serving import TextModel
from tests.e2e.own_tables import ODD_TEXTS, write_tables
from tests.serving.rest.running_server import RunningServer

# Each kind is taken to its served answer by tests of its own in the short set.
pytestmark = [pytest.mark.full, pytest.mark.e2e]

_HEAD = (
    *("--units", "8", "--head-epochs", "40"),
    *("--head-learning-rate", "3e-2"),
)
# How often an answer to a row that was trained on is right, at the least.
_RIGHT = 0.8


@pytest.fixture(scope="module")
def served(tiny_bert, tmp_path_factory):
    """The tables, what was said of each, and one export of all heads."""
    folder = tmp_path_factory.mktemp("own tables")
    tables = write_tables(folder)
    for table in tables:
        place = folder / table.name
        described = [
            *("describe", "--train", str(table.path), *table.options),
            *("--backbone", str(tiny_bert), "--output-dir", str(place)),
        ]
        assert cli.main(described) == 0
        task = str(place / "task.json")
        steps = (
            (
                *("extract", task, "--encoder", str(tiny_bert)),
                *("--output-dir", str(place / "cache")),
            ),
            (
                *("train", task, "--cache", str(place / "cache"), *_HEAD),
                *("--output-dir", str(place / "head")),
            ),
        )
        for step in steps:
            assert cli.main(step) == 0
    heads = [str(folder / table.name / "head") for table in tables]
    export = folder / "tiny"
    command = ["export", *heads, "--encoder", str(tiny_bert)]
    assert cli.main([*command, "--output", str(export)]) == 0
    return folder, {table.name: table for table in tables}


@pytest.fixture(scope="module")
def server(served):
    with RunningServer(served[0] / "tiny") as running:
        yield running


def answered(server, name, texts):
    """The server's answers; one that is a number alone is a score."""
    keys = ("text", "text_b")
    body = {
        "signature_name": name,
        "instances": [dict(zip(keys, row, strict=False)) for row in texts],
    }
    status, answer = server.request("POST", "/v1/models/tiny:predict", body)
    assert status == 200, answer
    return [
        row if isinstance(row, dict) else {"score": row}
        for row in answer["predictions"]
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("topics", tasks.Kind.CLASSES),
        ("traits", tasks.Kind.LABELS),
        ("scores", tasks.Kind.SCORE),
        ("pairs", tasks.Kind.CLASSES),
    ],
)
def test_served_answers_to_odd_rows_are_right(
    served, server, tiny_bert, name, kind
):
    folder, tables = served
    table = tables[name]
    assert tasks.get(folder / name).kind is kind
    texts, labels = zip(*table.examples, strict=True)
    answers = []
    for first in range(0, len(texts), 16):
        answers += answered(server, name, texts[first : first + 16])
    if kind is tasks.Kind.SCORE:
        found = [answer["score"] for answer in answers]
        assert np.corrcoef(found, labels)[0, 1] > _RIGHT
    elif kind is tasks.Kind.LABELS:
        found = [answer["labels"] for answer in answers]
        assert (
            _share(found, ["|".join(label or ()) for label in labels]) > _RIGHT
        )
    else:
        found = [answer["label"] for answer in answers]
        assert _share(found, list(labels)) > _RIGHT
    model = TextModel.open(folder / name / "head", encoder=tiny_bert)
    expected = model.predict(*zip(*texts, strict=True))
    for key in ("score", "probabilities"):
        if key in answers[0]:
            np.testing.assert_allclose(
                [answer[key] for answer in answers], expected[key], atol=1e-4
            )


def test_page_answers_odd_texts_as_the_server_does(served, server, browser):
    tables = served[1]
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(server.address)
    for odd in ODD_TEXTS[:-1]:
        texts = f"7 7 7 {odd} 3", f"a b {odd}"
        page.fill("#text", texts[0])
        page.fill("#text_b", texts[1])
        page.click("button")
        page.wait_for_selector("#message:text-matches('4 answers in')")
        for name in tables:
            given = texts if name == "pairs" else texts[:1]
            [expected] = answered(server, name, [given])
            shown = page.inner_text(f'[data-task="{name}"] .answer')
            numbers = expected.get("probabilities", [expected.get("score")])
            for number in numbers:
                assert f"{number:.3f}" in shown
            if "label" in expected:
                best = f'[data-task="{name}"] tr.best th'
                assert page.inner_text(best) == expected["label"]
    assert page.query_selector_all(".answer b") == []
    page.close()
    assert not problems


def test_rows_without_text_or_label_are_left_out(served):
    folder, tables = served
    for name, table in tables.items():
        task = tasks.get(folder / name)
        texts = [
            pair
            for split in task.splits
            for pair in _rows(load_examples(task, split))
        ]
        assert sorted(texts) == sorted(texts for texts, _ in table.examples)


def _rows(examples):
    columns = [c for c in (examples.texts_a, examples.texts_b) if c]
    return zip(*columns, strict=True)


def _share(found, expected):
    pairs = list(zip(found, expected, strict=True))
    return sum(one == other for one, other in pairs) / len(pairs)
