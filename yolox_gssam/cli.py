"""What every command line tool here shares: errors as one line, and the exit status."""

import argparse
import sys
from collections.abc import Callable

from yolox_gssam.errors import UserError


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
