"""Requests that make a model ready, and TensorFlow Serving's file of them."""

import functools
import itertools
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

_TEXTS = {
    "text": b"A sentence to get going.",
    "text_b": b"And another one.",
    "question": b"Who was first?",
    "context": b"The first of them all was Ada, who was followed by others.",
}
_PACKAGE = "bvkeras.warm_up"
_FIELD = descriptor_pb2.FieldDescriptorProto


def requests(
    tasks: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, np.ndarray]]:
    """One request of one row for each signature that takes texts.

    Args:
        tasks: dict of name to a description of `ServedTask.describe`.

    Returns:
        dict of signature to its inputs.
    """
    if not tasks:
        return {}
    names = {name: list(task["inputs"]) for name, task in tasks.items()}
    every = list(dict.fromkeys(itertools.chain.from_iterable(names.values())))
    names["serving_default"] = every
    names["hidden_states"] = names[next(iter(tasks))]
    if len(tasks) > 1:
        names["all"] = every
    return {
        signature: {
            name: np.array([_TEXTS[name]], dtype=object) for name in inputs
        }
        for signature, inputs in names.items()
    }


def write(path: pathlib.Path, tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the requests as TensorFlow Serving reads them.

    A TFRecord file of `tensorflow.serving.PredictionLog`: the server answers
    each before it takes a new version into use.

    Args:
        path: path. `assets.extra/tf_serving_warmup_requests` of a version.
        tasks: as of `requests`.
    """
    log_class = _prediction_log()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests(tasks).items():
            log = log_class()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString(deterministic=True))


def content(tasks: Mapping[str, Mapping[str, Any]]) -> bytes:
    """What `write` writes."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "requests"
        write(path, tasks)
        return path.read_bytes()


@functools.cache
def _prediction_log():
    """`PredictionLog`, as far as a request needs it.

    The numbers are those of tensorflow_serving/apis in its release 2.21; its
    package would bring a gRPC client for these few fields.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="bvkeras/warm_up.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )
    _message(file, "ModelSpec").field.add(
        name="signature_name", number=3, type=_FIELD.TYPE_STRING, label=1
    )
    request = _message(file, "PredictRequest")
    _add(request, "model_spec", 1, f".{_PACKAGE}.ModelSpec")
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=1)
    _add(entry, "value", 2, ".tensorflow.TensorProto")
    _add(request, "inputs", 2, f".{_PACKAGE}.PredictRequest.InputsEntry", 3)
    predict = _message(file, "PredictLog")
    _add(predict, "request", 1, f".{_PACKAGE}.PredictRequest")
    _add(
        _message(file, "PredictionLog"),
        "predict_log",
        6,
        f".{_PACKAGE}.PredictLog",
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog")
    )


def _message(file, name: str):
    return file.message_type.add(name=name)


def _add(message, name: str, number: int, type_name: str, label: int = 1):
    message.field.add(
        name=name,
        number=number,
        type=_FIELD.TYPE_MESSAGE,
        type_name=type_name,
        label=label,
    )
