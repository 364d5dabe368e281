"""`python -m bvkeras`: the command line."""

import sys

from bvkeras.cli import main

sys.exit(main())
