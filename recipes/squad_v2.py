"""SQuAD 2.0: the span that answers a question, or none; exact match and F1.

    python recipes/squad_v2.py --data-dir SQUAD --output-dir runs/squad_v2 \\
        --epochs 0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1,2,3,4,5,6

The stop points above are the paper's; without `--epochs` there is one, after
one epoch. `SQUAD` holds `train-v2.0.json` and `dev-v2.0.json`.
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("squad_v2"))
