"""SST-2: sentiment of a phrase; accuracy.

python recipes/glue/sst2.py --data-dir GLUE --output-dir runs/sst2
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("sst2"))
