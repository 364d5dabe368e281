"""QQP: whether two questions are duplicates; accuracy and F1.

python recipes/glue/qqp.py --data-dir GLUE --output-dir runs/qqp
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("qqp"))
