"""The paper's steps in order: `run`, its settings, and the paper's runs."""

from bvkeras.pipeline.run import check_run, run
from bvkeras.pipeline.settings import RunSettings

__all__ = ["RunSettings", "check_run", "run"]
