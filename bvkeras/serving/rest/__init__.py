"""A server of one export over HTTP, with TensorFlow Serving's REST paths."""
