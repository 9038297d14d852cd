"""What a data set's files were when a run began: by it a run knows its data again, and notices when they change."""

import hashlib
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of
from yolox_gssam.common.text import printable
from yolox_gssam.data.coco_reader import CocoSplit

CHANGED = "changed while the run used it; put it back as it was and go on with --resume, or start a new run"


class Snapshot:
    """The annotation file and the images of one split, as they are now.

    Nothing is read but the annotation file: of an image only its size in bytes and its time of change are kept. An
    image that is missing now is reported when it is needed.

    Raises:
        UserError: the annotation file cannot be read.
    """

    def __init__(self, split: CocoSplit) -> None:
        self.split = split
        self._annotations = sha256_of(split.path)
        self._states = {path: _state(path) for path in self._image_paths()}

    def hash(self) -> str:
        """SHA-256 over the annotation file and every image's name and size in bytes: the same wherever the set lies."""
        digest = hashlib.sha256(self._annotations.encode())
        for image, path in zip(self.split.images, self._image_paths(), strict=True):
            size, _ = self._states[path]
            digest.update(f"\0{image.file_name}\0{size}".encode())
        return digest.hexdigest()

    def check_annotations(self) -> None:
        """Raises UserError if the annotation file is not what it was."""
        if sha256_of(self.split.path) != self._annotations:
            raise UserError(f"{printable(self.split.path)}: {CHANGED}")

    def check_image(self, path: Path) -> None:
        """Raises UserError if the image is not what it was; one that is gone is left to who reads it."""
        state = _state(path)
        if state[0] >= 0 and state != self._states.get(path, state):
            raise UserError(f"{printable(path)}: {CHANGED}")

    def _image_paths(self) -> list[Path]:
        return [self.split.image_dir / image.file_name for image in self.split.images]


def _state(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; -1 and 0 for a file that is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return -1, 0
    return status.st_size, status.st_mtime_ns
