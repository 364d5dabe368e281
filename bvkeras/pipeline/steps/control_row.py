"""The encoder after one more epoch, as a control."""

import pathlib

from bvkeras.evaluation.comparison import CONTROL
from bvkeras.pipeline.step import Step
from bvkeras.pipeline.steps.encoder_row import add_encoder_row
from bvkeras.pipeline.steps.fine_tuning import finetune_with_settings


class ControlRow(Step):
    """Fine-tunes the last snapshot one epoch further, and scores it."""

    @property
    def title(self) -> str:
        return "train and score the encoder one more epoch"

    @property
    def inputs(self) -> list[pathlib.Path]:
        place = self.state.place(self.state.settings.finetune.epochs[-1])
        return [self.state.output_dir / "finetune" / place / "snapshot.json"]

    @property
    def outputs(self) -> list[pathlib.Path]:
        folder = self.state.output_dir / "control" / "epoch_1"
        return [
            folder / "snapshot.json",
            *self.evaluated(folder / "evaluation"),
        ]

    def perform(self) -> None:
        state = self.state
        last = state.snapshots[-1]
        further = finetune_with_settings(
            state,
            last.encoder_directory,
            state.output_dir / "control",
            (1.0,),
            start=last,
        )[0]
        add_encoder_row(
            state,
            f"encoder after one more epoch{state.frozen_note}",
            further,
            {"fine-tune": last.seconds, "one more epoch": further.seconds},
            kind=CONTROL,
            epochs=last.epochs + 1,
        )
