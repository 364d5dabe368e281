import pytest

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.compression import compression, format_compression


def test_paper_is_209_times():
    ratio = compression(109_482_240, 524_418)
    assert ratio == pytest.approx(208.769, abs=1e-3)
    assert format_compression(ratio) == "209x"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.0, "1x"),
        (0.99996, "1x"),
        (0.8, "0.8x"),
        (5.68, "5.7x"),
        (9.99, "10x"),
        (62.4, "62x"),
        (12345.6, "12,346x"),
    ],
)
def test_format(ratio, text):
    assert format_compression(ratio) == text


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 5), "encoder_parameters"), ((5, 0), "trained_parameters")],
)
def test_no_parameters_is_an_error(arguments, name):
    with pytest.raises(ArgumentError, match=f"{name}: received 0"):
        compression(*arguments)
