"""A fine-tuned encoder with its own head, scored."""

import pathlib

from bvkeras.evaluation.comparison import ENCODER, SystemResult
from bvkeras.evaluation.compression import compression
from bvkeras.evaluation.evaluate import evaluate_snapshot
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step
from bvkeras.training.finetune import Snapshot


class EncoderRow(Step):
    """Scores the encoder of a stop point."""

    @property
    def title(self) -> str:
        return f"score the fine-tuned encoder{self.state.suffix(self.epochs)}"

    @property
    def inputs(self) -> list[pathlib.Path]:
        return [self._directory / "snapshot.json"]

    @property
    def outputs(self) -> list[pathlib.Path]:
        return self.evaluated(self._directory / "evaluation")

    def perform(self) -> None:
        state = self.state
        snapshot = next(s for s in state.snapshots if s.epochs == self.epochs)
        suffix = state.suffix(self.epochs)
        add_encoder_row(
            state,
            f"fine-tuned encoder{state.frozen_note}{suffix}",
            snapshot,
            {"fine-tune": snapshot.seconds},
            kind=ENCODER,
            epochs=self.epochs,
        )

    @property
    def _directory(self) -> pathlib.Path:
        place = self.state.place(self.epochs)
        return self.state.output_dir / "finetune" / place


def add_encoder_row(
    state: RunState,
    name: str,
    snapshot: Snapshot,
    seconds: dict[str, float],
    *,
    kind: str,
    epochs: float,
) -> None:
    """Scores a snapshot, and adds its row to a run.

    Args:
        state: RunState.
        name: str. The row's.
        snapshot: Snapshot.
        seconds: dict of step to wall time in seconds.
        kind: str. As `SystemResult`.
        epochs: float. As `SystemResult`.
    """
    state.histories[name] = snapshot.history
    state.add_file(name, snapshot.directory)
    scores, predict_seconds = state.scores(
        name,
        snapshot.directory / "evaluation",
        lambda split, *options: evaluate_snapshot(
            state.task, snapshot, state.examples[split], *options
        ),
    )
    parameters = state.encoder_parameters + snapshot.parameters
    trained = parameters - snapshot.frozen_parameters
    state.systems.append(
        SystemResult(
            name=name,
            scores=scores,
            trained_parameters=trained,
            total_parameters=parameters,
            compression=compression(state.encoder_parameters, trained),
            seconds={**seconds, "predict": predict_seconds},
            kind=kind,
            epochs=epochs,
        )
    )
