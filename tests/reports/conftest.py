import dataclasses
import functools
import shutil

import numpy as np
import pytest

from bvkeras.evaluation.paired_bootstrap import paired_difference
from bvkeras.evaluation.predictions import write_predictions
from bvkeras.fileio import write_json
from bvkeras.reports import paper_tables
from tests.evaluation.conftest import make_comparison

__all__ = ["make_comparison"]


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch):
    """The bootstrap draws often enough to be there, and no more."""
    monkeypatch.setattr(
        paper_tables,
        "paired_difference",
        functools.partial(paired_difference, repeats=100),
    )


_RIGHT = {
    **{"encoder": 0.7, "head": 0.8, "frozen_head": 0.5, "control": 0.75},
    **{"regression": 0.78, "frozen_regression": 0.48},
}
_NAMES = {
    "encoder": "fine-tuned encoder",
    "head": "pooled head on it",
    "frozen_head": "head on the frozen encoder",
    "control": "encoder after one more epoch",
    "regression": "regression on the mean of its hidden states",
    "frozen_regression": "regression on the frozen encoder",
}


@pytest.fixture
def make_run(make_comparison, tmp_path):
    """Writes a run with every kind of system; gives its directory.

    Keywords replace fields of the comparison; `settings` are added to its.
    With `regression` it has those rows, which spans have not.
    """

    def make(
        task="cola",
        seed=0,
        stops=(1.0,),
        settings=None,
        regression=False,
        **changes,
    ):
        directory = tmp_path / f"{task}-{seed}"
        base = make_comparison()
        labels = np.random.default_rng(9).integers(0, 2, 200)
        systems, files, importance = [], {}, {}
        rows = [(kind, e) for e in stops for kind in ("encoder", "head")]
        rows += [("frozen_head", 0.0), ("control", stops[-1] + 1)]
        if regression:
            rows += [("regression", e) for e in stops]
            rows += [("frozen_regression", 0.0)]
        for number, (kind, epochs) in enumerate(rows):
            ending = f", epoch {epochs:g}" if len(stops) > 1 else ""
            name = _NAMES[kind] + (
                ending if kind in ("encoder", "head", "regression") else ""
            )
            generator = np.random.default_rng((seed, number, *task.encode()))
            right = generator.random(200) < _RIGHT[kind] + epochs / 100
            found = np.where(right, labels, 1 - labels)
            path = directory / kind / f"{epochs:g}.tsv"
            write_predictions(
                path, range(200), found, labels, np.eye(2)[found], "ab"
            )
            files[f"{name}, validation"] = f"{kind}/{epochs:g}.tsv"
            is_head = "head" in kind
            if is_head:
                importance[name] = [1.0, 2.0, 5.0 + seed]
            systems.append(
                dataclasses.replace(
                    base.systems[int(is_head)],
                    name=name,
                    kind=kind,
                    epochs=epochs,
                    scores={"validation": {"accuracy": right.mean()}},
                )
            )
        fields = {
            "task": task,
            "title": task.upper(),
            "systems": systems,
            "examples": {"train": 1000, "validation": 200},
            "files": files,
            "settings": {
                "seed": seed,
                "limit": None,
                "freeze_layers": 0,
                "freeze_embeddings": False,
                **(settings or {}),
            },
            "layer_importance": importance,
            "histories": {},
            "encoder_parameters": 22_713_216,
            "differences": [
                {
                    "first": systems[0].name,
                    "second": systems[1].name,
                    "split": "validation",
                    "metric": "accuracy",
                    "difference": 0.1,
                    "low": 0.05,
                    "high": 0.15,
                }
            ],
        }
        comparison = make_comparison(**{**fields, **changes})
        write_json(directory / "report.json", comparison.to_dict())
        return directory

    yield make
    shutil.rmtree(tmp_path, ignore_errors=True)
