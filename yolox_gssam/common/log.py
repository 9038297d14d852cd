"""Log lines on the terminal, above the progress bars, and in a file."""

import sys
from pathlib import Path

from loguru import logger
from tqdm import tqdm

TERMINAL_FORMAT = "<green>{time:HH:mm:ss}</green> <level>{message}</level>"
FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}"


def setup_log(file: Path | None = None, quiet: bool = False) -> None:
    """Sends log lines from INFO (`quiet`: WARNING) up to standard error and, where a file is given, to it as well."""
    logger.remove()
    level = "WARNING" if quiet else "INFO"
    logger.add(
        lambda line: tqdm.write(line, file=sys.stderr, end=""), format=TERMINAL_FORMAT, colorize=None, level=level
    )
    if file is not None:
        logger.add(file, format=FILE_FORMAT, level="INFO", mode="a", encoding="utf-8")
