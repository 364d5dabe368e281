import dataclasses
import json
import math

import pytest

from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.comparison import Comparison


def test_json_round_trip(make_comparison):
    comparison = make_comparison(
        baseline={"validation": {"accuracy": 0.5}}, notes=["one"]
    )
    text = json.dumps(comparison.to_dict(), allow_nan=False)
    assert Comparison.from_dict(json.loads(text)) == comparison


def test_loss_that_is_not_finite_becomes_null(make_comparison):
    records = [
        {"step": 1, "loss": math.nan},
        {"step": 2, "loss": math.inf},
        {"step": 3, "loss": 0.5},
    ]
    value = make_comparison(histories={"head": records}).to_dict()
    assert [row["loss"] for row in value["histories"]["head"]] == [
        None,
        None,
        0.5,
    ]
    assert Comparison.from_dict(value).to_dict() == value


def test_standard_error_is_for_accuracy_only(make_comparison):
    comparison = make_comparison()
    error = comparison.standard_error("validation", "accuracy", 0.5)
    assert error == pytest.approx(0.5 / math.sqrt(1530))
    assert comparison.standard_error("validation", "matthews", 0.5) is None


def test_score_that_is_not_finite_is_refused(make_comparison):
    scores = {"validation": {"accuracy": math.nan}}
    with pytest.raises(ArgumentError, match="accuracy on validation is nan"):
        make_comparison(scores=[scores, scores])


def test_main_metric_must_be_there(make_comparison):
    with pytest.raises(ArgumentError, match="has no f1 on validation"):
        make_comparison(main_metric="f1")


def test_scored_split_must_have_a_count(make_comparison):
    with pytest.raises(ArgumentError, match="no count for 'validation'"):
        make_comparison(examples={"train": 3})


def test_no_systems_is_refused(make_comparison):
    with pytest.raises(ArgumentError, match="systems: received none"):
        make_comparison(systems=[])


def remove_title(value):
    del value["title"]


def remove_kind(value):
    del value["systems"][1]["kind"]


def add_system_field(value):
    value["systems"][1]["speed"] = 3


def set_version(value):
    value["format_version"] = 2


def set_systems(value):
    value["systems"] = 5


def set_scores(value):
    value["systems"][0]["scores"] = {"validation": 3}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_title, "comparison: missing fields title"),
        (remove_kind, r"systems\[1\]: missing fields kind"),
        (add_system_field, r"systems\[1\]: unknown fields speed"),
        (set_version, "format_version is 2; expected 1"),
        (set_systems, "unusable value"),
        (set_scores, "unusable value"),
    ],
)
def test_damaged_dict_is_refused(make_comparison, damage, message):
    value = make_comparison().to_dict()
    damage(value)
    with pytest.raises(DataError, match=message):
        Comparison.from_dict(value)


def test_not_a_dict_is_refused():
    with pytest.raises(DataError, match="received list; expected a dict"):
        Comparison.from_dict([])


def test_total_seconds_count_shared_steps_once(make_comparison):
    base = make_comparison().systems[0]
    rows = [
        ("encoder", 1.0, {"fine-tune": 10.0, "predict": 1.0}),
        ("head", 1.0, {"fine-tune": 10.0, "extract": 2.0, "train head": 3.0}),
        ("regression", 1.0, {"fine-tune": 10.0, "extract": 2.0, "fit": 4.0}),
        ("ensemble_mean", 1.0, {"fine-tune": 10.0, "predict": 9.0}),
        ("encoder", 2.0, {"fine-tune": 20.0, "predict": 1.0}),
        ("frozen_head", 0.0, {"extract": 5.0, "train head": 3.0}),
    ]
    systems = [
        dataclasses.replace(
            base, name=f"{kind} {epochs}", kind=kind, epochs=epochs, seconds=own
        )
        for kind, epochs, own in rows
    ]
    comparison = make_comparison(systems=systems)
    # 20 of fine-tuning, 1 + 1 of predicting, 2 + 5, 3 + 3 and 4.
    assert comparison.total_seconds == 39
