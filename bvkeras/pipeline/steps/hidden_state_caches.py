"""All hidden states of an encoder, written to disk."""

import pathlib

from bvkeras.cache.writer import write_cache
from bvkeras.encoders.loading import load_backbone
from bvkeras.pipeline.step import Step


class HiddenStateCaches(Step):
    """Writes a cache of each split; gives `state.caches`."""

    @property
    def title(self) -> str:
        if not self.epochs:
            return "extract hidden states of the frozen encoder"
        return f"extract hidden states{self.state.suffix(self.epochs)}"

    @property
    def inputs(self) -> list[pathlib.Path]:
        if not self.epochs:
            return []
        return [self._snapshot / "snapshot.json"]

    @property
    def outputs(self) -> list[pathlib.Path]:
        return [
            self._directory / split / "manifest.json"
            for split in self.state.examples
        ]

    def perform(self) -> None:
        state, settings = self.state, self.state.settings
        encoder = state.encoder
        if self.epochs:
            encoder = load_backbone(self._snapshot / "encoder", dropout=0.0)
        state.caches[self.epochs] = {
            split: write_cache(
                encoder,
                state.task,
                examples,
                self._directory / split,
                max_tokens=settings.finetune.max_tokens,
                dtype=settings.cache_dtype,
                compute_dtype=settings.extraction_dtype,
            )
            for split, examples in state.examples.items()
        }

    @property
    def _directory(self) -> pathlib.Path:
        return self.state.output_dir / "cache" / self.state.place(self.epochs)

    @property
    def _snapshot(self) -> pathlib.Path:
        place = self.state.place(self.epochs)
        return self.state.output_dir / "finetune" / place
