"""What makes a run on the tiny BERT and the small files quick."""

from unittest import mock

FAST = {"max_tokens": 32, "batch_size": 8, "units": 4, "head_epochs": 2}


def without_pictures():
    """Leaves a run's pictures out: a good part of its time, tested elsewhere.

    Returns:
        context manager.
    """
    return mock.patch("bvkeras.reports.report.run_pictures", return_value=[])
