import json

import numpy as np
import pytest

from bvkeras.data.sources import load_examples
from bvkeras.errors import ArgumentError, RunError
from bvkeras.evaluation.spans import ensemble as span_ensemble
from bvkeras.evaluation.spans.ensemble import (
    combine_candidates,
    evaluate_span_ensemble,
)
from bvkeras.evaluation.spans.squad_metrics import answer_scores
from tests.data.squad_fixtures import write_squad


def candidates(**shares):
    return [
        {"text": text.replace("nothing", ""), "probability": share}
        for text, share in shares.items()
    ]


FIRST = candidates(one=0.5, nothing=0.3, two=0.2)
SECOND = candidates(two=0.6, nothing=0.35, three=0.05)


def test_mean():
    both = combine_candidates(FIRST, SECOND, "mean")
    assert list(both) == ["two", "", "one", "three"]
    assert list(both.values()) == pytest.approx([0.4, 0.325, 0.25, 0.025])


def test_maximum():
    both = combine_candidates(FIRST, SECOND, "maximum")
    assert list(both) == ["two", "one", "", "three"]
    assert list(both.values()) == pytest.approx(
        np.array([0.6, 0.5, 0.35, 0.05]) / 1.5
    )


def test_unknown_rule_is_named():
    with pytest.raises(ArgumentError, match="rule: expected one of mean, maxi"):
        combine_candidates(FIRST, SECOND, "median")


@pytest.fixture
def systems(tmp_path):
    """A split's questions, and two systems' folders of nbest.json."""
    examples = load_examples("squad_v2", "validation", write_squad(tmp_path))
    folders = []
    for number, right in enumerate((0.2, 0.7)):
        nbest = {}
        for question in examples.questions:
            texts = {answer.text: right for answer in question.answers[:1]}
            texts |= {"else": 0.9 - right, "": 0.1}
            nbest[question.id] = [
                {"text": text, "probability": share}
                for text, share in texts.items()
            ]
        folder = tmp_path / f"system_{number}" / "validation"
        folder.mkdir(parents=True)
        (folder / "nbest.json").write_text(json.dumps(nbest), "utf-8")
        folders.append(folder)
    return examples, folders


def test_files_and_scores(systems, tmp_path):
    examples, folders = systems
    result = evaluate_span_ensemble(
        examples, *folders, tmp_path / "both", "maximum", 0.5
    )
    folder = tmp_path / "both" / "validation"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("predictions.json", "texts.json", "na_prob.json", "nbest.json"),
        "scores.json",
    }
    texts, na_probs, given = (
        json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in ("texts", "na_prob", "predictions")
    )
    for question in examples.questions:
        # The right text has .7 and "else" .7; without an answer "else" .7.
        found = texts[question.id]
        assert found in {"else", *(a.text for a in question.answers[:1])}
        assert na_probs[question.id] == pytest.approx(0.1 / 0.8)
        assert given[question.id] == found
    exact, f1 = answer_scores(
        examples.questions, [given[name] for name in examples.ids]
    )
    assert result.metrics == {
        "exact": pytest.approx(exact.mean()),
        "f1": pytest.approx(f1.mean()),
    }


def test_mean_prefers_what_one_is_sure_of(systems, tmp_path):
    examples, folders = systems
    nbest = json.loads((folders[1] / "nbest.json").read_text("utf-8"))
    for entries in nbest.values():
        entries[:] = candidates(**{"else": 0.05, "nothing": 0.95})
    (folders[1] / "nbest.json").write_text(json.dumps(nbest), "utf-8")
    evaluate_span_ensemble(examples, *folders, tmp_path / "both", "mean", 0.5)
    folder = tmp_path / "both" / "validation"
    na_probs = json.loads((folder / "na_prob.json").read_text("utf-8"))
    given = json.loads((folder / "predictions.json").read_text("utf-8"))
    # "" (.1 + .95) / 2, "else" (.7 + .05) / 2.
    assert list(na_probs.values()) == pytest.approx(
        [0.525 / 0.9] * len(examples)
    )
    assert set(given.values()) == {""}


def test_without_a_text_there_is_no_answer(systems, tmp_path):
    examples, folders = systems
    for folder in folders:
        nbest = {name: candidates(nothing=1.0) for name in examples.ids}
        (folder / "nbest.json").write_text(json.dumps(nbest), "utf-8")
    evaluate_span_ensemble(examples, *folders, tmp_path / "both", "mean", 1.0)
    path = tmp_path / "both" / "validation" / "na_prob.json"
    assert set(json.loads(path.read_text()).values()) == {1.0}


def test_it_is_done_once(systems, tmp_path, monkeypatch):
    examples, folders = systems
    arguments = (examples, *folders, tmp_path / "both", "mean")
    first = evaluate_span_ensemble(*arguments, "exact")
    monkeypatch.setattr(span_ensemble, "combine_candidates", None)
    again = evaluate_span_ensemble(*arguments, "exact")
    assert again.metrics == first.metrics
    assert again.threshold == first.threshold
    with pytest.raises(RunError, match="was made with threshold"):
        evaluate_span_ensemble(*arguments, 0.25)
    (folders[0] / "nbest.json").write_text("{}")
    with pytest.raises(RunError, match="was made with nbest"):
        evaluate_span_ensemble(*arguments, "exact")
