"""A pooled head trained on hidden states, and scored."""

import pathlib

from bvkeras.evaluation.comparison import ENCODER, FROZEN_HEAD, HEAD
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.evaluation.layer_importance import layer_importance
from bvkeras.pipeline.steps.cached_row import CachedRow
from bvkeras.training.head import train_head


class HeadRow(CachedRow):
    """Trains a head on the caches of a stop point, and scores it."""

    @property
    def title(self) -> str:
        return f"train and score the {self._name}"

    @property
    def outputs(self) -> list[pathlib.Path]:
        folder = self.state.output_dir / "head" / self._place
        return [folder / "head.json", *self.evaluated(folder / "evaluation")]

    def perform(self) -> None:
        state, name = self.state, self._name
        caches = state.caches[self.epochs]
        head = train_head(
            state.task,
            caches["train"],
            state.output_dir / "head" / self._place,
            state.settings.head,
        )
        state.histories[name] = head.history
        state.add_file(name, head.model_path)
        state.add_file(
            f"{name}, hidden states", state.output_dir / "cache" / self._place
        )
        scores, predict_seconds = state.scores(
            name,
            head.directory / "evaluation",
            lambda split, directory, *threshold: evaluate_head(
                state.task,
                head,
                caches[split],
                directory,
                state.examples[split],
                *threshold,
            ),
        )
        state.layer_importance[name] = layer_importance(
            head,
            caches[state.task.evaluation_splits[0]],
            head.directory / "evaluation",
        )
        if self.epochs:
            encoder = state.system(ENCODER, self.epochs)
            state.compared.append((name, encoder.name))
        self.add_row(
            head,
            "train head",
            scores,
            predict_seconds,
            name=name,
            kind=HEAD if self.epochs else FROZEN_HEAD,
        )

    @property
    def _name(self) -> str:
        if not self.epochs:
            return "head on the frozen encoder"
        return f"pooled head on it{self.state.suffix(self.epochs)}"
