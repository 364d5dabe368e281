"""One version of an export in memory, ready to answer."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from bvkeras.errors import DataError, MissingPackageError
from bvkeras.serving import inspection, layout, warm_up

_DESCRIBED = {
    *("inputs", "kind", "label_names", "max_tokens", "windows"),
    *("trained_parameters", "total_parameters"),
}


class LoadedVersion:
    """A SavedModel and its signatures.

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
        try:
            # Registers the tokenizer's operation.
            import tensorflow_text  # noqa: F401
        except ImportError as error:
            raise MissingPackageError(
                f"tensorflow-text cannot be imported: {error}"
            ) from None
        try:
            self._model = tf.saved_model.load(str(path))
        except (tf.errors.OpError, ValueError, OSError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path} cannot be loaded: {reason}") from None
        self._functions = dict(self._model.signatures)
        self.signatures = {
            name: dict(function.structured_input_signature[1])
            for name, function in self._functions.items()
        }
        self.tasks = self._described_tasks()
        self._in_all = self._answered_by_all()

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
                if set(task["inputs"]) != self.signatures[name].keys():
                    raise ValueError(f"{name} has other inputs")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{self.path / layout.DESCRIPTION} does not fit the graph: "
                f"{error}"
            ) from None
        return tasks

    def _answered_by_all(self) -> set[str]:
        """Signatures that `all` answers with no more work for the encoder."""
        encodings = {
            (tuple(t["inputs"]), t["max_tokens"], str(t["windows"]))
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
