"""What the command line tools here share: errors as one line, the exit status, and the form of help and values."""

import argparse
import math
import sys
from collections.abc import Callable
from typing import NoReturn

from yolox_gssam.errors import UserError


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, and leaves the examples of a description as they are."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like those of the tools themselves."""

    def error(self, message: str) -> NoReturn:
        """Prints the line and exits with status 2."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def count(text: str) -> int:
    """A whole number from 1, as a `type` for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def positive(text: str) -> float:
    """A finite number above 0, as a `type` for argparse."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def share(text: str) -> float:
    """A number from 0 to 1, as a `type` for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, not {text}")
    return value


def positive_share(text: str) -> float:
    """A number above 0 and at most 1, as a `type` for argparse."""
    value = share(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def run_tool(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], int | None]) -> None:
    """Parses the command line, calls `main(args)` and exits with what it returns (None: 0).

    A `UserError` becomes one line on standard error and status 1; Ctrl-C becomes status 130.
    """
    args = parser.parse_args()
    try:
        status = main(args) or 0
    except UserError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
