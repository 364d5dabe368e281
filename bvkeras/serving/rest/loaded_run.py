"""A finished run in memory, ready to answer as an export of it would."""

import pathlib

from bvkeras.encoders.inference import inference_encoder
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.serving.rest.token_counter import TokenCounter
from bvkeras.serving.runs import open_run
from bvkeras.serving.served_model import ServedModel


class LoadedRun(LoadedVersion):
    """What `bvkeras run` wrote, or a saved classifier, and its signatures.

    Texts are taken apart in this process, so that an encoder whose tokenizer
    no graph computes can be served, too.

    Args:
        path: path. What `bvkeras.serving.TextModel.open` opens, but no export.

    Raises:
        BvkerasError: as `bvkeras.serving.runs.open_run`.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        task, encoder, _ = open_run(path)
        self._encoder = encoder
        # Signatures of a SavedModel alone are described by TensorFlow.
        self._definitions = {}
        self.description = {
            "encoder": {
                "name": encoder.name,
                "digest": encoder.digest(),
                "config": encoder.config(),
            },
            "tasks": {
                task.name: task.describe(encoder.backbone.count_params())
            },
        }
        self._model = ServedModel(
            inference_encoder(encoder.backbone, compute_dtype="float32"),
            encoder.tokenizer,
            [task],
        )
        self._serve(self._model.signatures())

    def _token_counter(self) -> TokenCounter:
        return TokenCounter(
            self.tasks, self._encoder.tokenizer, self._encoder.config()
        )
