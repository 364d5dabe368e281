"""`bvkeras doctor`: what is installed and found."""

import argparse

from bvkeras.printable import say

SUMMARY = "what is installed and found"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: there is nothing to choose."""
    del parser


def run(options: argparse.Namespace) -> None:
    """Prints what is installed and found, a line for each thing."""
    from bvkeras.cli.diagnosis import diagnose

    del options
    for name, value in diagnose():
        say(f"{name + ':':24} {value}")
