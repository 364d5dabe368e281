"""The encoder fine-tuned on the task, with a snapshot at each stop point."""

import dataclasses
import pathlib
from collections.abc import Sequence

from bvkeras.encoders.loading import load_backbone
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step
from bvkeras.training.finetune import Snapshot, finetune


class FineTuning(Step):
    """Fine-tunes the encoder; gives `snapshots`."""

    @property
    def title(self) -> str:
        return "fine-tune"

    @property
    def inputs(self) -> list[pathlib.Path]:
        return []

    @property
    def outputs(self) -> list[pathlib.Path]:
        folder = self.state.output_dir / "finetune"
        return [
            folder / self.state.place(epochs) / "snapshot.json"
            for epochs in self.state.settings.finetune.epochs
        ]

    def perform(self) -> None:
        state = self.state
        state.snapshots = finetune_with_settings(
            state,
            state.backbone,
            state.output_dir / "finetune",
            state.settings.finetune.epochs,
        )


def finetune_with_settings(
    state: RunState,
    backbone: str | pathlib.Path,
    directory: pathlib.Path,
    epochs: Sequence[float],
    start: Snapshot | None = None,
) -> list[Snapshot]:
    """Fine-tunes an encoder with a run's settings.

    Args:
        state: RunState.
        backbone: str or path. What `load_backbone` opens.
        directory: path. Where the snapshots go.
        epochs: sequence of float. Stop points.
        start: Snapshot, or None. Whose head to go on with.
    """
    settings, config = state.settings, state.settings.finetune
    encoder = load_backbone(
        backbone,
        dropout=config.dropout,
        dtype=settings.compute_dtype,
        sentence_pooling=state.encoder.sentence_pooling,
    )
    return finetune(
        encoder,
        state.task,
        state.examples["train"],
        directory,
        dataclasses.replace(config, epochs=tuple(epochs)),
        start=start,
    )
