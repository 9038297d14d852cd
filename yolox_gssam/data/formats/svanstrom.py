"""The public drone clips of F. Svanström: videos with MATLAB labels, every N-th frame an image.

Data: F. Svanström, F. Alonso-Fernandez, C. Englund, "A Dataset for Multi-Sensor Drone Detection", Data in Brief, 2021
(CC0 1.0), `Data/Video_V/V_<CLASS>_<number>.mp4` in visible light and `Data/Video_IR/IR_...` in infrared, with
`..._LABELS.mat` beside each.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import encode_jpeg
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.faults import check_objects
from yolox_gssam.data.formats.films import Sampling, film_frames, without_colour
from yolox_gssam.data.guarded import GuardError, call_guarded
from yolox_gssam.data.labelled import LabelledImage, xywh_to_xyxy
from yolox_gssam.data.refinement.clip import WAYS
from yolox_gssam.data.refinement.find_tracks import find_tracks

SVANSTROM_CLASSES = ("airplane", "bird", "drone", "helicopter")
"""In the order of the label files."""
SENSORS: dict[str, tuple[str, ...]] = {
    "visible": ("Video_V",),
    "infrared": ("Video_IR",),
    "both": ("Video_V", "Video_IR"),
}
"""The folders of each choice of cameras."""
MAX_LABEL_BYTES = 2**26
"""The real label files hold less than 100 KB."""


@dataclass(frozen=True, eq=False)
class ClipLabels:
    """The boxes of one clip.

    Attributes:
        frames: number of labelled frames.
        boxes_xywh: (n, 4) float64 pixels, counted from 0 as COCO does; the file counts from 1.
        frame: (n,) int64 frame of each box, ascending, from 0.
        labels: (n,) int64 index into `SVANSTROM_CLASSES`.
        loose_xywh: (n, 4) the boxes of the label file where `boxes_xywh` are refined ones; None: they are not.
        way: (n,) how each refined box came about, index into `refinement.clip.WAYS`; None: not refined.
    """

    frames: int
    boxes_xywh: NDArray[np.float64]
    frame: NDArray[np.int64]
    labels: NDArray[np.int64]
    loose_xywh: NDArray[np.float64] | None = None
    way: NDArray[np.uint8] | None = None

    def notes(self, index: int) -> dict[str, Any]:
        """What a data set keeps of a box besides: the label file's box and how it was refined; empty if it was not."""
        if self.loose_xywh is None or self.way is None:
            return {}
        return {
            "original_bbox": self.loose_xywh[index].round(3).tolist(),
            "refined": WAYS[self.way[index]],
        }

    def shows(self, classes: Sequence[str]) -> bool:
        """Whether an object of one of the classes is in the clip."""
        return bool(np.isin(self.labels, [SVANSTROM_CLASSES.index(name) for name in classes]).any())


def find_clips(root: Path, sensor: str = "visible") -> list[Path]:
    """The clips of a sensor below `root` (the data set's own root, or the folder of the clips), by name.

    Raises:
        UserError: there are none, or a clip has no label file.
    """
    clips: list[Path] = []
    for name in SENSORS[sensor]:
        places = (root / "Data" / name, root / name, root)
        folder = next((path for path in places if path.is_dir()), None)
        prefix = name.removeprefix("Video_")
        found = sorted(folder.glob(f"{prefix}_*.mp4")) if folder else []
        if not found:
            raise UserError(
                f"{printable(root)}: no clips Data/{name}/{prefix}_*.mp4 in there; give the data set's root folder, or "
                f"another --sensor"
            )
        clips += found
    for clip in clips:
        if not os.path.isfile(clip):  # OpenCV would wait for a pipe without end; links to files are welcome
            raise UserError(f"{printable(clip)}: not a file; remove it")
        if not os.path.isfile(label_path(clip)):
            raise UserError(
                f"{printable(label_path(clip))}: no such label file; fetch it or remove the clip {printable(clip.name)}"
            )
    return clips


def label_path(clip: Path) -> Path:
    """The label file that belongs to a clip."""
    return clip.with_name(f"{clip.stem}_LABELS.mat")


def read_labels(path: Path) -> ClipLabels:
    """Reads one label file, a MATLAB groundTruth object.

    Raises:
        UserError: not such a file, or a box that is not four finite numbers with a size.
    """
    try:  # the compiled part of the parser trusts the file: a few wrong bytes crash it or keep it busy for ever
        return call_guarded(parse_labels, path)
    except GuardError as error:
        raise UserError(f"{printable(path)}: not a MATLAB groundTruth file: {error} while it was read") from error


def parse_labels(path: Path) -> ClipLabels:
    """`read_labels` in this very process."""
    table = _label_table(path)
    fields = {name: SVANSTROM_CLASSES.index(name.lower()) for name in table.dtype.names or () if name != "Time"}
    boxes: list[NDArray[np.float64]] = []
    frame: list[int] = []
    labels: list[int] = []
    for number, row in enumerate(table):
        for name, label in fields.items():
            cell = np.asarray(row[name])
            if cell.size == 0:
                continue
            if cell.ndim != 2 or cell.shape[1] != 4 or cell.dtype.kind not in "fiu" or not _are_boxes(cell):
                raise UserError(
                    f"{printable(path)}: frame {number}: {name} must hold boxes [x, y, width, height] above 0"
                )
            check_objects(len(cell), path, f"frame {number}")
            boxes.extend(cell.astype(np.float64))
            frame.extend([number] * len(cell))
            labels.extend([label] * len(cell))
    boxes_xywh = np.array(boxes, np.float64).reshape(-1, 4) - [1, 1, 0, 0]
    return ClipLabels(len(table), boxes_xywh, np.array(frame, np.int64), np.array(labels, np.int64))


def svanstrom_records(
    labels: Mapping[Path, ClipLabels], sampling: Sampling, classes: Sequence[str]
) -> Iterator[EncodedImage]:
    """Every N-th frame of each clip, named `<clip>_<frame, six digits>.jpg`; frames without objects too.

    Boxes of other classes than those asked for are left out.

    Args:
        labels: the clips and what `read_labels` says of each.
        classes: of `SVANSTROM_CLASSES`, in label order.

    Raises:
        UserError: a clip that cannot be decoded or ends too early.
    """
    label_of = {SVANSTROM_CLASSES.index(name): label for label, name in enumerate(classes)}
    for clip, truth in labels.items():
        tracks = link_tracks(truth).tolist()
        for number, image in film_frames(clip, sampling.frames(truth.frames)):
            here = (truth.frame == number) & np.isin(truth.labels, list(label_of))
            labelled = LabelledImage(
                file_name=f"{clip.stem}_{number:06d}.jpg",
                width=image.shape[1],
                height=image.shape[0],
                boxes_xyxy=xywh_to_xyxy(truth.boxes_xywh[here]),
                labels=np.array([label_of[label] for label in truth.labels[here].tolist()], np.int64),
                group=clip.stem,
                stratum=clip.stem.partition("_")[0],
                notes=[
                    {**truth.notes(index), "track_id": tracks[index], "track_linked": True}
                    for index in np.flatnonzero(here).tolist()
                ],
            )
            yield labelled, encode_jpeg(without_colour(image), sampling.jpeg_quality)


def link_tracks(truth: ClipLabels) -> NDArray[np.int64]:
    """The number, from 1, of the track of each box (n,), which a program finds: the label files tell none."""
    loose = truth.boxes_xywh if truth.loose_xywh is None else truth.loose_xywh
    tracks = np.zeros(len(truth.labels), np.int64)
    for number, indices in enumerate(find_tracks(loose, truth.frame, truth.labels), 1):
        tracks[indices] = number
    return tracks


def known_classes(names: Sequence[str]) -> tuple[str, ...]:
    """The names in lower case.

    Raises:
        UserError: a name that is not one of the four classes, or one twice.
    """
    lower = tuple(name.lower() for name in names)
    unknown = sorted(set(lower) - set(SVANSTROM_CLASSES))
    if unknown or len(set(lower)) < len(lower):
        raise UserError(f"classes must be different ones of {', '.join(SVANSTROM_CLASSES)}, not {' '.join(names)}")
    return lower


def _label_table(path: Path) -> NDArray[Any]:
    """The structured array of a label file, one row a frame."""
    try:
        from matio import load_from_mat  # half a second that nothing else need wait
    except ImportError as error:
        raise UserError(
            f"{printable(path)}: needs the package mat-io, for Python 3.11 and newer: pip install mat-io"
        ) from error

    if not path.is_file() or path.stat().st_size > MAX_LABEL_BYTES:
        raise UserError(f"{printable(path)}: no file, or too large for a label file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they speak of the parser; what matters is judged here
            table = load_from_mat(str(path))["gTruth"].properties["any"][0, 0]["LabelData"].reshape(-1)
        names = set(table.dtype.names) - {"Time"}
    except Exception as error:  # the parser of this format answers damage with errors of any kind
        raise UserError(
            f"{printable(path)}: not a MATLAB groundTruth file with LabelData ({type(error).__name__})"
        ) from error
    unknown = sorted(name for name in names if name.lower() not in SVANSTROM_CLASSES)
    if unknown:
        raise UserError(f"{printable(path)}: unknown classes {shorten(unknown)}; known: {', '.join(SVANSTROM_CLASSES)}")
    return table


def _are_boxes(cell: NDArray[Any]) -> bool:
    """Whether all rows are finite and have a size."""
    return bool(np.isfinite(cell).all() and (np.abs(cell) < 2**31).all() and (cell[:, 2:] > 0).all())
