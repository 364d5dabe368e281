"""RTE: entailment of a sentence pair; accuracy.

python recipes/glue/rte.py --data-dir GLUE --output-dir runs/rte
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("rte"))
