"""The file of requests that TensorFlow Serving answers first."""

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401
from tensorflow_serving.apis import prediction_log_pb2

from bvkeras.serving import layout


def test_tensorflow_serving_can_read_and_answer_it(exported):
    signatures = tf.saved_model.load(str(exported.second)).signatures
    records = tf.data.TFRecordDataset(str(exported.second / layout.WARM_UP))
    asked = set()
    for record in records.as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        name = request.model_spec.signature_name
        asked.add(name)
        inputs = {
            key: tf.constant(tf.make_ndarray(tensor))
            for key, tensor in request.inputs.items()
        }
        expected = signatures[name].structured_input_signature[1]
        assert inputs.keys() == expected.keys()
        outputs = signatures[name](**inputs)
        for value in outputs.values():
            assert np.size(value.numpy())
    assert asked == signatures.keys() - {"tokens"}


def test_first_version_has_one_for_its_only_task(exported):
    path = exported.first / layout.WARM_UP
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    assert len(records) == 3
