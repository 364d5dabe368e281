"""The parser of every verb: a wrong argument is one line."""

import argparse
from typing import NoReturn

from bvkeras.printable import printable


class Parser(argparse.ArgumentParser):
    """An argument parser whose error is one line that names the help."""

    def error(self, message: str) -> NoReturn:
        text = printable(f"error: {message}; see {self.prog} --help")
        self.exit(2, text.replace("\n", "\\n") + "\n")
