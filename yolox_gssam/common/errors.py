"""The one error a user is meant to see."""

from importlib.util import find_spec


class UserError(ValueError):
    """Bad input: one line that says what, where, the rule and what to do.

    The tools print the message and exit with status 1; a traceback means a fault of ours.
    """


INSTALL_TRAIN = 'pip install "yolox-gssam[train]" && pip install --no-deps --no-build-isolation yolox==0.3.0'
"""What to type for all that is not detection by exported networks; yolox last, since its build imports torch."""


def innermost_message(text: str) -> str | None:
    """The message of the `UserError` that a traceback of another process ends with; None if it ends otherwise.

    torch hands on errors of loader and training processes as the text of their traceback.
    """
    _, mark, message = text.rpartition(f"{UserError.__module__}.{UserError.__name__}: ")
    return message.strip() if mark else None


def require_yolox() -> None:
    """Raises ImportError, with the way to get it, where yolox is not installed."""
    if find_spec("yolox") is None:
        raise ImportError(
            "yolox_gssam needs yolox: install torch and torchvision, then run "
            "`pip install --no-deps --no-build-isolation yolox==0.3.0` (g++ and ninja build it)"
        )
