"""What rows of heads on hidden states share: the class `CachedRow`."""

import pathlib

from bvkeras.evaluation.comparison import ENCODER, SystemResult
from bvkeras.evaluation.compression import compression
from bvkeras.pipeline.step import Step
from bvkeras.training.head import TrainedHead


class CachedRow(Step):
    """A head on the caches of a stop point, trained and scored."""

    @property
    def inputs(self) -> list[pathlib.Path]:
        folder = self.state.output_dir / "cache" / self._place
        return [
            folder / split / "manifest.json" for split in self.state.examples
        ]

    def add_row(
        self,
        head: TrainedHead,
        training: str,
        scores: dict[str, dict[str, float]],
        predict_seconds: float,
        *,
        name: str,
        kind: str,
    ) -> None:
        """Adds a head's row, with the seconds of all it rests on.

        Args:
            head: TrainedHead.
            training: str. What the step of its training is called.
            scores: dict of split to its metrics.
            predict_seconds: float. What scoring it took.
            name: str. The row's.
            kind: str. As `SystemResult`.
        """
        state = self.state
        seconds = {
            "extract": sum(
                cache.manifest.seconds
                for cache in state.caches[self.epochs].values()
            ),
            training: head.seconds,
            "predict": predict_seconds,
        }
        if self.epochs:
            encoder = state.system(ENCODER, self.epochs)
            seconds = {"fine-tune": encoder.seconds["fine-tune"], **seconds}
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
                kind=kind,
                epochs=self.epochs,
            )
        )

    @property
    def _place(self) -> str:
        return self.state.place(self.epochs)
