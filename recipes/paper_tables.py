"""The paper's tables: every task and seed, one after the other, then a report.

    python recipes/paper_tables.py --data-dir GLUE --squad-dir SQUAD \\
        --backbone bert_base_en_uncased --output-dir runs/base

Each run has a directory of its own, `TASK-SEED`; finished ones are not made
again, so the command can be stopped and given again at any time. A run's
caches, gigabytes of the large tasks, are removed once its report is there.
"""

import sys

from bvkeras.cli.main import paper_tables

if __name__ == "__main__":
    sys.exit(paper_tables())
