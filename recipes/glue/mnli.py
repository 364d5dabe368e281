"""MNLI: entailment of a sentence pair, two dev sets; accuracy.

python recipes/glue/mnli.py --data-dir GLUE --output-dir runs/mnli
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("mnli"))
