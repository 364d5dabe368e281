"""A process that runs trials of a search another process hands out.

    python -m bvkeras.tuning.worker DIRECTORY

KerasTuner's environment variables say where that process is.
"""

import pathlib
import sys

from bvkeras.parent_process import end_with_parent
from bvkeras.tuning.head_search import HeadSearch

if __name__ == "__main__":
    end_with_parent()
    HeadSearch.open(pathlib.Path(sys.argv[1])).tuner().search()
