"""report.json is what report.schema.json says, and what it says is checked."""

import dataclasses
import importlib.resources
import json

import jsonschema
import pytest

from bvkeras.evaluation.comparison import Comparison, SystemResult

SCHEMA = json.loads(
    importlib.resources.files("bvkeras.reports")
    .joinpath("report.schema.json")
    .read_text(encoding="utf-8")
)


def check(report):
    jsonschema.validate(report, SCHEMA, jsonschema.Draft202012Validator)


def test_every_field_is_described():
    for owner, properties, more in (
        (Comparison, SCHEMA["properties"], {"format_version"}),
        (SystemResult, SCHEMA["$defs"]["system"]["properties"], set()),
    ):
        names = {field.name for field in dataclasses.fields(owner)}
        assert set(properties) == names | more


def test_reports_are_valid(make_comparison, make_run):
    check(make_comparison().to_dict())
    check(json.loads((make_run() / "report.json").read_text()))
    table = {"title": "A", "note": "", "columns": ["x"], "rows": [[1], ["-"]]}
    loss = {"head": [{"step": 1, "loss": float("nan")}]}
    check(make_comparison(tables=[table], histories=loss).to_dict())


@pytest.mark.parametrize(
    "damage",
    [
        lambda report: report.pop("systems"),
        lambda report: report.update(more=1),
        lambda report: report.update(format_version=2),
        lambda report: report["systems"][0].update(kind="other"),
        lambda report: report["systems"][0].update(compression="1x"),
        lambda report: report["differences"][0].pop("low"),
        lambda report: report["layer_importance"].update(head=["1"]),
    ],
)
def test_other_things_are_not(make_run, damage):
    report = json.loads((make_run() / "report.json").read_text())
    damage(report)
    with pytest.raises(jsonschema.ValidationError):
        check(report)
