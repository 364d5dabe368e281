"""Settings by the number of rows: enough steps, and not too many."""

import numpy as np
import pytest

from bvkeras.errors import ArgumentError
from bvkeras.tasks.own_settings import fitting_tokens, own_settings


def test_few_rows_are_seen_more_often():
    earlier = None
    for num_rows in (1, 50, 357, 1000, 7000, 20_000, 200_000):
        settings = own_settings(num_rows)
        if earlier:
            for before, after in zip(earlier, settings, strict=True):
                for kind in ("finetune", "head"):
                    more, fewer = (
                        np.max(getattr(one, kind).epochs)
                        for one in (before, after)
                    )
                    assert more >= fewer >= 1
        earlier = settings
    for one in own_settings(357):
        assert one.head.epochs * 357 / one.head.batch_size > 900
        assert one.finetune.epochs[0] * 357 / one.finetune.batch_size > 200


def test_small_encoders_have_their_rate_and_no_dropout():
    base, small = (one.finetune for one in own_settings(1000, 64))
    assert (base.max_tokens, small.max_tokens) == (64, 64)
    assert base.learning_rate < small.learning_rate
    assert (base.dropout, small.dropout) == (0.1, 0.0)


@pytest.mark.parametrize(
    ("quantile", "tokens"),
    [(5, 32), (32, 32), (33, 48), (70.2, 80), (900, 256)],
)
def test_fitting_tokens(quantile, tokens):
    assert fitting_tokens(quantile) == tokens


def test_no_rows():
    with pytest.raises(ArgumentError, match="num_rows: got 0"):
        own_settings(0)
