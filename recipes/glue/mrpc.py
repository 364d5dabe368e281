"""MRPC: whether two sentences are paraphrases; accuracy and F1.

python recipes/glue/mrpc.py --data-dir GLUE --output-dir runs/mrpc
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("mrpc"))
