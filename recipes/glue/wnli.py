"""WNLI: what a pronoun refers to; accuracy.

python recipes/glue/wnli.py --data-dir GLUE --output-dir runs/wnli
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("wnli"))
