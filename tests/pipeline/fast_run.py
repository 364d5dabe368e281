"""What makes a run on the tiny BERT and the small files quick."""

from unittest import mock

FAST = {"max_tokens": 32, "batch_size": 8, "units": 4, "head_epochs": 2}

# With these the tiny BERT learns to tag most words, of 120 small sentences.
TOKEN_SETTINGS = {
    "learning_rate": 3e-2,
    "batch_size": 4,
    "epochs": (3.0,),
    "units": 8,
    "head_learning_rate": 0.1,
    "head_epochs": 8,
    "cache_dtype": "float32",
}


def without_pictures():
    """Leaves a run's pictures out: a good part of its time, tested elsewhere.

    Returns:
        context manager.
    """
    return mock.patch("bvkeras.reports.report.run_pictures", return_value=[])
