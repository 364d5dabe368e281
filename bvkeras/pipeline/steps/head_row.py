"""A pooled head trained on hidden states, and scored."""

import pathlib

from bvkeras.evaluation.comparison import (
    ENCODER,
    FROZEN_HEAD,
    HEAD,
    SystemResult,
)
from bvkeras.evaluation.compression import compression
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.evaluation.layer_importance import layer_importance
from bvkeras.pipeline.step import Step
from bvkeras.training.head import train_head


class HeadRow(Step):
    """Trains a head on the caches of a stop point, and scores it."""

    @property
    def title(self) -> str:
        return f"train and score the {self._name}"

    @property
    def inputs(self) -> list[pathlib.Path]:
        folder = self.state.output_dir / "cache" / self._place
        return [
            folder / split / "manifest.json" for split in self.state.examples
        ]

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
        seconds = {
            "extract": sum(cache.manifest.seconds for cache in caches.values()),
            "train head": head.seconds,
            "predict": predict_seconds,
        }
        if self.epochs:
            encoder_row = state.system(ENCODER, self.epochs)
            fine_tuning = encoder_row.seconds["fine-tune"]
            seconds = {"fine-tune": fine_tuning, **seconds}
            state.compared.append((name, encoder_row.name))
        state.systems.append(
            SystemResult(
                name=name,
                scores=scores,
                trained_parameters=head.parameters,
                total_parameters=state.encoder_parameters + head.parameters,
                compression=compression(
                    state.encoder_parameters, head.parameters
                ),
                seconds=seconds,
                kind=HEAD if self.epochs else FROZEN_HEAD,
                epochs=self.epochs,
            )
        )

    @property
    def _name(self) -> str:
        if not self.epochs:
            return "head on the frozen encoder"
        return f"pooled head on it{self.state.suffix(self.epochs)}"

    @property
    def _place(self) -> str:
        return self.state.place(self.epochs)
