"""The recipes: one for each task, all with the same options."""

import pathlib
import re
import runpy
import sys

import pytest

from bvkeras import tasks
from bvkeras.reports.report import read_report
from bvkeras.tasks.glue import GLUE
from tests import fresh_process

_RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
_OPTIONS = (
    "--data-dir",
    "--backbone",
    "--epochs",
    "--learning-rate",
    "--batch-size",
    "--max-tokens",
    "--freeze-layers",
    "--freeze-embeddings",
    "--sentence-pooling",
    "--units",
    "--head-epochs",
    "--head-learning-rate",
    "--head-dropout",
    "--output-dir",
    "--seed",
    "--limit",
    "--skip-bad",
    "--dev-threshold",
    "--stride",
    "--question-tokens",
)


def _path(task):
    is_glue = task in {spec.name for spec in GLUE}
    return (_RECIPES / "glue" if is_glue else _RECIPES) / f"{task}.py"


def test_there_is_one_recipe_for_each_task():
    expected = {_path(task) for task in tasks.names()}
    assert expected <= set(_RECIPES.rglob("*.py"))


@pytest.mark.parametrize("task", tasks.names())
def test_help_names_the_task_and_every_option(task, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(_path(task)), "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(_path(task)), run_name="__main__")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert tasks.get(task).title in text
    assert f"runs/{task}" in text
    assert not [option for option in _OPTIONS if f"{option} " not in text]


@pytest.mark.parametrize("task", tasks.names())
def test_recipe_is_imported_without_running(task):
    runpy.run_path(str(_path(task)), run_name="recipe")


@pytest.mark.full
def test_recipe_runs_as_a_script(tiny_bert, glue_dir, tmp_path):
    output_dir = tmp_path / "a run"
    done = fresh_process.run(
        *(_path("rte"), "--data-dir", glue_dir, "--backbone", tiny_bert),
        *("--epochs", "0.5", "--learning-rate", "1e-3"),
        *("--batch-size", "8", "--max-tokens", "32", "--units", "3"),
        *("--head-epochs", "2", "--head-learning-rate", "1e-2"),
        *("--head-dropout", "0.1", "--seed", "5", "--limit", "20"),
        *("--output-dir", output_dir, "--no-frozen"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    comparison = read_report(output_dir / "report.json")
    assert comparison.examples == {"train": 20, "validation": 9}
    expected = {
        "epochs": [0.5],
        "learning_rate": 1e-3,
        "batch_size": 8,
        "max_tokens": 32,
        "units": 3,
        "head_epochs": 2,
        "head_learning_rate": 1e-2,
        "head_dropout": 0.1,
        "seed": 5,
        "limit": 20,
    }
    assert expected.items() <= comparison.settings.items()
    for system in comparison.systems:
        assert system.name in done.stdout
    for path in ("report.md", "report.json", *comparison.files.values()):
        assert str(output_dir / path) in done.stdout
        assert (output_dir / path).exists()
    assert "Warning" not in done.stderr
    for step in (
        *("fine-tune:", "predict:", "extract train:", "train head:"),
        *("mean hidden states:", "fit regression:"),
    ):
        (line, *_) = [x for x in done.stderr.splitlines() if x.startswith(step)]
        assert re.search(r"[\d,]+/[\d,]+ \w+ · [\d.,]+/s · .* left", line)
