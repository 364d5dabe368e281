from tests.evaluation.conftest import make_comparison

__all__ = ["make_comparison"]
