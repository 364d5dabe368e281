"""STS-B: similarity of two sentences, 0 to 5; Pearson and Spearman.

python recipes/glue/stsb.py --data-dir GLUE --output-dir runs/stsb
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("stsb"))
