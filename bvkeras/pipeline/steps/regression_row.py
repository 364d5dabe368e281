"""Regression on the mean of the hidden states, fitted and scored."""

import pathlib

from bvkeras.evaluation.comparison import (
    FROZEN_HEAD,
    FROZEN_REGRESSION,
    HEAD,
    REGRESSION,
)
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.pipeline.steps.cached_row import CachedRow
from bvkeras.training.regression import train_regression


class RegressionRow(CachedRow):
    """Fits a regression to the caches of a stop point, and scores it.

    It comes after the head of the same caches, which it is compared with.
    """

    @property
    def title(self) -> str:
        return f"fit and score the {self._name}"

    @property
    def outputs(self) -> list[pathlib.Path]:
        return [
            self._directory / "head.json",
            *self.evaluated(self._directory / "evaluation"),
        ]

    def perform(self) -> None:
        state, name = self.state, self._name
        caches = state.caches[self.epochs]
        probe = train_regression(
            state.task,
            caches["train"],
            self._directory,
            seed=state.settings.seed,
        )
        state.add_file(name, probe.model_path)
        scores, predict_seconds = state.scores(
            name,
            self._directory / "evaluation",
            lambda split, directory: evaluate_head(
                state.task, probe, caches[split], directory
            ),
        )
        head = state.system(HEAD if self.epochs else FROZEN_HEAD, self.epochs)
        state.compared_with_regression.append((head.name, name))
        self.add_row(
            probe,
            "fit regression",
            scores,
            predict_seconds,
            name=name,
            kind=REGRESSION if self.epochs else FROZEN_REGRESSION,
        )

    @property
    def _name(self) -> str:
        if not self.epochs:
            return "regression on the frozen encoder"
        suffix = self.state.suffix(self.epochs)
        return f"regression on the mean of its hidden states{suffix}"

    @property
    def _directory(self) -> pathlib.Path:
        return self.state.output_dir / "regression" / self._place
