"""The comparison of all rows, and its report."""

import datetime
import importlib.metadata
import pathlib
import platform

import bvkeras
from bvkeras.evaluation.comparison import Comparison
from bvkeras.pipeline.hardware import hardware
from bvkeras.pipeline.kinds import kind_of
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step
from bvkeras.reports.report import write_report


class Report(Step):
    """Compares the rows, and writes `report.*` and `plots/`.

    Attributes:
        comparison: Comparison, or None before it was made.
    """

    def __init__(self, state: RunState, epochs: float = 0.0):
        super().__init__(state, epochs)
        self.comparison: Comparison | None = None

    @property
    def title(self) -> str:
        return "compare and report"

    @property
    def inputs(self) -> list[pathlib.Path]:
        return [
            self.state.output_dir / path for path in self.state.files.values()
        ]

    @property
    def outputs(self) -> list[pathlib.Path]:
        names = ("report.json", "report.md", "report.html")
        return [self.state.output_dir / name for name in names]

    def perform(self) -> None:
        state = self.state
        self.comparison = Comparison(
            task=state.task.name,
            title=state.task.title,
            main_metric=state.task.metrics[0],
            backbone=state.encoder.name,
            systems=state.systems,
            examples={
                split: len(examples)
                for split, examples in state.examples.items()
            },
            created=datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"
            ),
            settings=state.settings.as_record(),
            files=state.files,
            versions=_versions(),
            histories=state.histories,
            encoder_parameters=state.encoder_parameters,
            layer_importance=state.layer_importance,
            command=state.command,
            hardware=hardware(),
            **kind_of(state.task.kind).report(state),
        )
        write_report(self.comparison, state.output_dir)


def _versions() -> dict[str, str]:
    packages = ("keras", "keras-hub", "tensorflow", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "bvkeras": bvkeras.__version__,
        **versions,
        "python": platform.python_version(),
    }
