"""Files that are whole or not there: written beside the target, flushed, then renamed. And what they are known by."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`, with its suffix; renames it to `path` when the block ends well.

    Where the block raises, the temporary file is removed and `path` is left as it was.

    Raises:
        UserError: the file could not be written (full disk, no permission).
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}; choose another place") from error
    part = Path(name)
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.chmod(0o666 & ~umask())
        part.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}; free space or choose another place") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def sole_writer(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps a folder of results to this process: two runs in one folder would take turns in overwriting each other.

    The lock goes with the process, however that ends; the file `.lock` stays and means nothing by itself.

    Raises:
        UserError: another process, or another block of this one, has the folder; or it cannot be written.
    """
    from filelock import FileLock, Timeout  # here, since detection needs no lock and goes without the package

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock = FileLock(Path(folder, ".lock"))
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: another run is writing there; wait for its end, or choose another folder") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another place") from error
    try:
        yield
    finally:
        lock.release()


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` as UTF-8 JSON, whole or not at all. NaN is refused: other readers of JSON reject it.

    Raises:
        UserError: the file could not be written.
        ValueError: `value` holds a NaN or an infinity.
    """
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8, see `atomic_path`."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def from_here(path: str) -> str:
    """A path below the working folder as seen from there, the same anywhere; others as they are."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        UserError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _flush_folder(folder: Path) -> None:
    """Brings a renaming to the disk, so that it outlives a loss of power; a system that cannot do it is left alone."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems cannot
        pass
    finally:
        os.close(handle)


def umask() -> int:
    """The process's file mode mask; the system only tells it by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
