"""`python -m bvkeras`: the command line."""

import sys

from bvkeras.cli.main import main

sys.exit(main())
