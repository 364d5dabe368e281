"""QNLI: whether a sentence answers a question; accuracy.

python recipes/glue/qnli.py --data-dir GLUE --output-dir runs/qnli
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("qnli"))
