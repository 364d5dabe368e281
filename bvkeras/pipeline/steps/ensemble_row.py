"""A fine-tuned encoder and its pooled head together, scored."""

import pathlib

from bvkeras.evaluation.comparison import ENCODER, HEAD, SystemResult
from bvkeras.evaluation.compression import compression
from bvkeras.evaluation.kinds import kind_of
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step


class EnsembleRow(Step):
    """Scores what encoder and head of a stop point say together.

    Args:
        state: RunState.
        epochs: float. As `Step`.
        rule: str. One of `bvkeras.evaluation.ensemble.RULES`.
    """

    def __init__(self, state: RunState, epochs: float, rule: str):
        super().__init__(state, epochs)
        self.rule = rule

    @property
    def title(self) -> str:
        return f"score the {self._name}"

    @property
    def inputs(self) -> list[pathlib.Path]:
        return [
            path for folder in self._folders for path in self.evaluated(folder)
        ]

    @property
    def outputs(self) -> list[pathlib.Path]:
        task = self.state.task
        return [
            self._directory / kind_of(task.kind).ensemble_file(task, split)
            for split in task.evaluation_splits
        ]

    def perform(self) -> None:
        state = self.state
        encoder = state.system(ENCODER, self.epochs)
        head = state.system(HEAD, self.epochs)
        scores, seconds = state.scores(
            self._name, self._directory, self._evaluate
        )
        trained = encoder.trained_parameters + head.trained_parameters
        state.systems.append(
            SystemResult(
                name=self._name,
                scores=scores,
                trained_parameters=trained,
                total_parameters=(
                    encoder.total_parameters + head.trained_parameters
                ),
                compression=compression(state.encoder_parameters, trained),
                seconds={
                    **head.seconds,
                    "predict": encoder.seconds["predict"]
                    + head.seconds["predict"]
                    + seconds,
                },
                kind=f"ensemble_{self.rule}",
                epochs=self.epochs,
            )
        )

    def _evaluate(self, split, directory, *threshold):
        state = self.state
        return kind_of(state.task.kind).evaluate_ensemble(
            state.task,
            state.examples[split],
            self._folders,
            directory,
            self.rule,
            *threshold,
        )

    @property
    def _name(self) -> str:
        suffix = self.state.suffix(self.epochs)
        return f"{self.rule} of encoder and head{suffix}"

    @property
    def _directory(self) -> pathlib.Path:
        place = self.state.place(self.epochs)
        return self.state.output_dir / "ensemble" / place / self.rule

    @property
    def _folders(self) -> list[pathlib.Path]:
        place = self.state.place(self.epochs)
        return [
            self.state.output_dir / part / place / "evaluation"
            for part in ("finetune", "head")
        ]
