"""What makes a run on the tiny BERT and the small files quick."""

import contextlib
import functools
from unittest import mock

from bvkeras.evaluation.paired_bootstrap import paired_difference

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


def few_draws():
    """Draws for the intervals of a run's differences, but not often.

    Returns:
        context manager.
    """
    return mock.patch(
        "bvkeras.evaluation.paired_bootstrap.paired_difference",
        functools.partial(paired_difference, repeats=50),
    )


@contextlib.contextmanager
def short_report():
    """`few_draws`, and no pictures: slow, and tested elsewhere."""
    pictures = mock.patch(
        "bvkeras.reports.report.run_pictures", return_value=[]
    )
    with few_draws(), pictures:
        yield
