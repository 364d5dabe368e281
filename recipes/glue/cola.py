"""CoLA: acceptability of a sentence; Matthews correlation.

python recipes/glue/cola.py --data-dir GLUE --output-dir runs/cola
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("cola"))
