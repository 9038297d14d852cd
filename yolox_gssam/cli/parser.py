"""What the command line tools here share: errors as one line, the exit status, and the form of help and values."""

import argparse
import difflib
import math
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from yolox_gssam.cli.host_flags import HostFlag
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.shipped import NETWORKS

TILES_HELP = (
    "cut images larger than twice the input into tiles of its size (auto), or all larger ones into N x N pixels, so "
    "that small objects keep their size; a tile takes the time of an image"
)
NUMBER = re.compile(r"-\.?\d")
_TOOL = re.compile(r"(?:python )?\btools/(\w+)\.py\b(?: (?:image|video) --path| webcam --camid)?")
_SUBCOMMANDS = {"demo": "predict", "prepare_dataset": "data"}
"""Subcommands of `yolox-gssam` that have another name than their file in tools/."""


class PlainFormatter(argparse.HelpFormatter):
    """Names other programs as the user names this one."""

    def format_help(self) -> str:
        return as_typed(super().format_help(), self._prog)


class HelpFormatter(PlainFormatter, argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, and leaves the examples of a description as they are."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which knows the flags of YOLOX's own tools.

    argparse takes what follows an unknown flag for the fields of the experiment, and then misses what stands there.

    Args:
        host_flags: of YOLOX's own tool; what they ask for is said on standard error, or refused.
    """

    def __init__(self, *args: Any, host_flags: Iterable[HostFlag] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self._host_flags = {name: flag for flag in host_flags for name in flag.names}

    def error(self, message: str) -> NoReturn:
        """Prints the line and exits with status 2."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it, behind a look at each flag."""
        return super().parse_known_args(self._own(sys.argv[1:] if args is None else args), namespace)

    def _own(self, args: Sequence[str]) -> list[str]:
        """The command line without YOLOX's flags."""
        own: list[str] = []
        waiting = deque(args)
        while waiting:
            token = waiting.popleft()
            if token == "--":
                return [*own, token, *waiting]
            name, equals, value = token.partition("=")
            flag = self._host_flags.get(name)
            if flag is None:
                self._require_known(token, name)
                own.append(token)
                continue
            values = [value] if equals else [waiting.popleft() for _ in range(min(flag.values, len(waiting)))]
            if flag.refused or (flag.accepted is not None and not set(values).issubset(flag.accepted)):
                self.error(f"{' '.join([name, *values])}: an option of YOLOX's; {flag.says}")
            print(f"{self.prog}: {name} is not needed: {flag.says}", file=sys.stderr)
        return own

    def _require_known(self, token: str, name: str) -> None:
        if not token.startswith("-") or token == "-" or NUMBER.match(token):
            return
        known = self._option_string_actions
        if name in known or (name.startswith("--") and any(option.startswith(name) for option in known)):
            return
        if not name.startswith("--") and token[:2] in known:  # -b8
            return
        near = difflib.get_close_matches(name, [*known, *self._host_flags], n=1)
        self.error(f"{name}: no such option{f'; did you mean {near[0]}?' if near else ''}")


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], Any], summary: str, formatter: Any = HelpFormatter
) -> argparse.ArgumentParser:
    """The parser of a subcommand, which `args.run` runs."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, formatter_class=formatter
    )
    parser.set_defaults(run=run)
    return parser


def add_network(parser: argparse._ActionsContainer, default: str) -> None:
    """Takes a network of any kind, `args.ckpt`."""
    known = (
        f"checkpoint of tools/train.py, file of tools/export.py, or a network that comes along: {' or '.join(NETWORKS)}"
    )
    parser.add_argument("-c", "--ckpt", default=default, metavar="FILE", help=known)


def add_fields(parser: argparse.ArgumentParser, what: str) -> None:
    """Takes the rest of the command line as fields of the experiment, `args.opts`."""
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="FIELD VALUE", help=what)


def refuse_options(args: argparse.Namespace, parser: argparse.ArgumentParser, names: Iterable[str], why: str) -> None:
    """Raises UserError, "--NAME " and why, where one of these attributes of `args` is not the parser's default."""
    for name in names:
        if getattr(args, name) != parser.get_default(name):
            raise UserError(f"--{name.replace('_', '-')} {why}")


def as_typed(text: str, program: str) -> str:
    """`text` with "tools/NAME.py" as "yolox-gssam NAME" where `program`, what the user typed, is no file of tools/."""
    if not program.startswith("yolox-gssam"):
        return text
    return _TOOL.sub(lambda tool: f"yolox-gssam {_SUBCOMMANDS.get(tool[1], tool[1])}", text)


def natural(text: str) -> int:
    """A whole number from 0, as a `type` for argparse."""
    return _at_least(0, text)


def count(text: str) -> int:
    """A whole number from 1, as a `type` for argparse."""
    return _at_least(1, text)


def several(text: str) -> int:
    """A whole number from 2, as a `type` for argparse."""
    return _at_least(2, text)


def _at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
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
        print(f"{parser.prog}: error: {as_typed(str(error), parser.prog)}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
