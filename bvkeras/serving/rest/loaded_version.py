"""One version of an export in memory, ready to answer."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from bvkeras import fileio
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import DataError
from bvkeras.serving import inspection, layout, loading, warm_up
from bvkeras.serving.native_signatures import native_signatures
from bvkeras.serving.ragged_rows import trim_rows
from bvkeras.serving.rest.one_line import one_line
from bvkeras.serving.rest.request_size import RequestSize
from bvkeras.serving.rest.token_counter import TokenCounter
from bvkeras.tasks.kind import Kind

_DESCRIBED = {
    *("inputs", "kind", "label_names", "max_tokens", "windows"),
    *("trained_parameters", "total_parameters"),
}


class LoadedVersion:
    """A SavedModel and its signatures.

    The encoder is computed by the native library where it is there and gives
    the graph's answers.

    Args:
        path: path. The version's folder.
        allow_unusual: bool. Load it although `bvkeras.serving.inspect` finds
            what no export of bvkeras has. Defaults to `False`.

    Attributes:
        path: path.
        description: dict. What the export says of its encoder and tasks;
            empty if it says nothing.
        tasks: dict of name to what `description` says of the task.
        signatures: dict of name to a dict of input name to tf.TensorSpec.
        counter: TokenCounter. Of what is asked of it.

    Raises:
        DataError: it cannot be read, or has unusual parts.
        MissingPackageError: tensorflow-text is not installed.
    """

    def __init__(self, path: pathlib.Path, allow_unusual: bool = False):
        self.path = path
        found = inspection.inspect(path)
        if found.unusual and not allow_unusual:
            raise DataError(
                f"{path} has {len(found.unusual)} unusual parts, the first: "
                f"{found.unusual[0]} (`bvkeras inspect` lists them, "
                "--allow-unusual serves it all the same)"
            )
        self.description = found.description or {}
        self._definitions = found.signature_definitions
        # Its weights live as long as it does.
        self._model = loading.load(path)
        functions = native_signatures(found, self._model.signatures)
        if functions is not None:
            self._model = None
        self._serve(functions or self._model.signatures)

    def _serve(self, functions: Mapping[str, Any]) -> None:
        """Answers by these functions, which `description` is of."""
        self._functions = dict(functions)
        self.signatures = {
            name: dict(function.structured_input_signature[1])
            for name, function in self._functions.items()
        }
        self.tasks = self._described_tasks()
        self._in_all = self._answered_by_all()
        self.counter = self._token_counter()
        # Rows of their outputs are those of their inputs.
        self._by_row = {"all", "serving_default", "tokens", *self.tasks}

    def warm_up(self) -> None:
        """Answers one request of each signature, so that the next is fast.

        Signatures that bvkeras did not write are left alone.
        """
        for name, inputs in warm_up.requests(self.tasks).items():
            if self.signatures.get(name, {}).keys() == inputs.keys():
                self.run(name, inputs)

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Computes a signature's outputs.

        Args:
            signature: str. One of `signatures`.
            inputs: dict of name to array; strings are bytes.

        Raises:
            tf.errors.InvalidArgumentError: the graph refuses the inputs.
        """
        specs = self.signatures[signature]
        tensors = {
            name: tf.constant(inputs[name], spec.dtype)
            for name, spec in specs.items()
        }
        outputs = self._functions[signature](**tensors)
        return {name: value.numpy() for name, value in outputs.items()}

    def together(self, signature: str) -> str | None:
        """Name of what requests of this signature may be computed with.

        Requests of one name can be put into one batch: by the signature of
        that name if theirs differ. None: each is computed alone.
        """
        if signature == "hidden_states":
            # Its output `row` counts the rows of the batch.
            return None
        return "all" if signature in self._in_all else signature

    def splits(self, signature: str) -> bool:
        """Whether some rows of a request can be computed without the others."""
        return bool(self.tasks) and signature in self._by_row

    def num_values(self, signature: str, size: RequestSize) -> int:
        """Numbers and texts that an answer will hold.

        Args:
            signature: str.
            size: RequestSize. What is asked.
        """
        shapes = [
            spec.shape.as_list()
            for spec in self._functions[signature].structured_outputs.values()
            if spec.shape.rank is not None
        ]
        num_rows, num_tokens = size.counts.shape[1], int(size.lengths.max())
        if any(shape.count(None) > 1 for shape in shapes):
            # Of tokens: each window of a text is a row.
            num_rows = int(size.counts.max(0).sum())
        total = 0
        for shape in shapes:
            free = iter((num_rows, num_tokens))
            total += math.prod(
                next(free, 1) if axis is None else axis for axis in shape
            )
        return total

    def pick(
        self, signature: str, outputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A signature's outputs, from those of its `together`.

        Args:
            signature: str.
            outputs: dict. Outputs of `together(signature)`.
        """
        names = self._functions[signature].structured_outputs
        if outputs.keys() == names.keys():
            return dict(outputs)
        return {name: outputs[f"{signature}/{name}"] for name in names}

    def trim(
        self, signature: str, outputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray | list[np.ndarray]]:
        """A signature's outputs, without what fills rows up.

        Args:
            signature: str.
            outputs: dict of name to array.

        Returns:
            The outputs; those of which rows have not equally many values are
            lists of arrays, one a row.
        """
        trimmed: dict[str, Any] = {}
        for name, task in self.tasks.items():
            kind = Kind(task["kind"])
            trimmed |= trim_rows(kind, outputs, f"{name}/")
            if name == signature or len(self.tasks) == 1:
                trimmed |= trim_rows(kind, outputs)
        return {**outputs, **trimmed}

    def metadata(self) -> dict[str, Any]:
        """Signatures as TensorFlow Serving shows them, and the description."""
        definitions = {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, definition in self._definitions.items()
        }
        return {
            "signature_def": {"signature_def": definitions},
            "bvkeras": self.description,
        }

    def _described_tasks(self) -> dict[str, dict[str, Any]]:
        tasks = self.description.get("tasks", {})
        try:
            for name, task in tasks.items():
                missing = _DESCRIBED - task.keys()
                if missing:
                    raise ValueError(f"{name} lacks {sorted(missing)[0]}")
                Kind(task["kind"])
                if set(task["inputs"]) != self.signatures[name].keys():
                    raise ValueError(f"{name} has other inputs")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{self.path / layout.DESCRIPTION} does not fit the graph: "
                f"{error}"
            ) from None
        return tasks

    def _token_counter(self) -> TokenCounter:
        if not self.tasks:
            return TokenCounter()
        path = self.path / layout.VOCABULARY
        try:
            return TokenCounter(
                self.tasks,
                WordPiece(
                    fileio.read_json(path),
                    **self.description["tokenizer"]["settings"],
                ),
                self.description["encoder"]["config"],
            )
        except Exception as error:
            raise DataError(
                f"{path} or {layout.DESCRIPTION} cannot be used: "
                f"{one_line(error)}"
            ) from None

    def _answered_by_all(self) -> set[str]:
        """Signatures that `all` answers with no more work for the encoder."""
        encodings = {
            (
                *(tuple(t["inputs"]), t["max_tokens"], str(t["windows"])),
                Kind(t["kind"]).traits.in_windows,
            )
            for t in self.tasks.values()
        }
        if "all" not in self.signatures or len(encodings) > 1:
            return set()
        outputs = self._functions["all"].structured_outputs.keys()
        members = {"all"}
        for name in (*self.tasks, "serving_default"):
            own = self._functions[name].structured_outputs.keys()
            named = {f"{name}/{output}" for output in own}
            if own == outputs or named <= outputs:
                members.add(name)
        return members
