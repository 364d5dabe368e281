"""Linear pooling: dispatch, the reference that defines it, native forms."""

import keras

from bvkeras.errors import BackendError

if keras.backend.backend() != "tensorflow":
    raise BackendError(
        f"Keras runs on {keras.backend.backend()}, and bvkeras on TensorFlow "
        "alone: set KERAS_BACKEND=tensorflow before Keras is imported"
    )
