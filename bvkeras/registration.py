"""Registers with Keras what a saved model may hold: importing this does it."""

from bvkeras import layers as _layers  # noqa: F401
from bvkeras import models as _models  # noqa: F401
from bvkeras.training import optimizers as _optimizers  # noqa: F401
