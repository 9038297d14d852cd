"""The front door: a trained detector in three lines.

from yolox_gssam import Detector
detector = Detector.load()              # the network that comes along; "infrared", or a file of your own
detections = detector(image_bgr)        # boxes_xyxy, scores, labels, names
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import INSTALL_TRAIN, UserError
from yolox_gssam.common.shipped import NETWORKS, find_network
from yolox_gssam.detections import Detections
from yolox_gssam.inference.backends import FILE_SUFFIXES
from yolox_gssam.inference.frames import find_images, image_frames
from yolox_gssam.inference.network import Network, open_network
from yolox_gssam.inference.source_kind import Kind, recognize
from yolox_gssam.inference.video_io import VideoReader

DEFAULT = "visible"


class Detector:
    """A trained network, ready for images and video.

    Args:
        network: as `load_network` gives it.
        score_threshold: objects with a lower score are left out, 0 to 1.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score is left out, 0 to 1.
        square: pad images to the whole input, as in evaluation, and not only to multiples of 32.
        tiles: "auto" cuts images larger than twice the input into overlapping tiles of its size, a number N all larger
            ones into tiles of N x N pixels; "off" reduces them. A tile takes the time of an image.
    """

    def __init__(
        self,
        network: Network,
        score_threshold: float = 0.25,
        nms_threshold: float = 0.45,
        square: bool = False,
        tiles: str = "off",
    ) -> None:
        for name, value in (("score_threshold", score_threshold), ("nms_threshold", nms_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {value}")
        self.network = network
        tight = network.dynamic_size and not square
        self.predictor = network.predictor(
            score_threshold, nms_threshold, class_agnostic=True, tight=tight, tiles=tiles
        )

    @classmethod
    def load(
        cls,
        weights: str | Path = DEFAULT,
        *,
        score_threshold: float = 0.25,
        nms_threshold: float = 0.45,
        tiles: str = "off",
        input_size: tuple[int, int] | None = None,
        device: str | None = None,
        backend: str | None = None,
    ) -> "Detector":
        """A detector from a network that comes along, or from a file.

        Args:
            weights: "visible" or "infrared"; or a file: an .onnx or .xml of tools/export.py, or a checkpoint of
                training (.pth), which needs torch and yolox.
            score_threshold, nms_threshold, tiles: see `Detector`.
            input_size: height and width of the network's input, multiples of 32; by default the trained ones.
            device: "cpu", "cuda", "cuda:N" or "mps"; by default the best that the backend can use.
            backend: "onnxruntime", "openvino", "torch" or "compile"; by default what the file's suffix says.

        Raises:
            UserError: no such file, or one that cannot be used here; the message says what to do.
        """
        fields = () if input_size is None else ("test_size", str(tuple(input_size)))
        network = load_network(weights, device, backend, options=fields)
        return cls(network, score_threshold, nms_threshold, tiles=tiles)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that it tells apart, in the order of the labels."""
        return self.network.class_names

    def __call__(self, image_bgr: NDArray[np.uint8]) -> Detections:
        """The objects on one image, best score first.

        Args:
            image_bgr: (H, W, 3) uint8 as OpenCV reads it, or (H, W) in grey.

        Returns:
            Boxes in the image's pixels; one may reach beyond the image.

        Raises:
            ValueError: not such an image.
        """
        image = np.asarray(image_bgr)
        if image.dtype != np.uint8 or image.size == 0 or not (image.ndim == 2 or image.shape[2:] == (3,)):
            raise ValueError(
                f"an image is (H, W, 3) or (H, W) uint8, in BGR; this one has shape {image.shape} and type "
                f"{image.dtype}"
            )
        colour = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
        (detections,) = self.predictor.predict([colour])
        return detections

    def stream(self, source: str | int | Path) -> Iterator[tuple[NDArray[np.uint8], Detections]]:
        """Each frame (BGR) of a video, a camera, a stream, an image or a folder of images, with its objects.

        Args:
            source: a path, a URL, or the number of a camera.

        Raises:
            UserError: nothing there that can be read.
        """
        kind, place = recognize(str(source))
        if kind is Kind.IMAGES:
            path = Path(place)
            root = path if path.is_dir() else path.parent
            for frame in image_frames(find_images(path), root, _refuse):
                yield frame.image, self(frame.image)
            return
        with VideoReader(int(place) if kind is Kind.CAMERA else place) as reader, closing(reader.frames()) as frames:
            for frame in frames:
                yield frame.image, self(frame.image)


def load_network(
    weights: str | Path = DEFAULT,
    device: str | None = None,
    backend: str | None = None,
    half: bool = False,
    streams: int = 1,
    exp_file: str | Path | None = None,
    options: Sequence[str] = (),
) -> Network:
    """The network of `Detector.load`; torch is imported for a checkpoint, an exp file or fields of one alone.

    Args:
        half: 16 bit, for a checkpoint.
        streams: images at a time, where the backend can share its threads among them.
        exp_file, options: of a checkpoint: exp file and fields (name, value, ...) that win over what it says itself.

    Raises:
        UserError: as `Detector.load`.
    """
    path = find_network(weights)
    fields = dict(zip(options[::2], options[1::2], strict=False))
    if path.suffix in FILE_SUFFIXES and exp_file is None and fields.keys() <= {"test_size"}:
        if half:
            raise UserError(f"{path}: an exported network has its own precision; leave out --fp16")
        network = open_network(path, device, backend, streams)
        if str(weights) in NETWORKS:
            network = replace(network, exp={**network.exp, "exp_name": str(weights)})
        return network.at_size(_size(fields["test_size"]), path) if fields else network
    missing = [package for package in ("torch", "yolox") if find_spec(package) is None]
    if missing:
        raise UserError(f"{path}: a checkpoint needs {' and '.join(missing)}: {INSTALL_TRAIN}")
    from yolox_gssam.common.device import choose_device
    from yolox_gssam.experiment.loading import load_detector

    return load_detector(exp_file, path, options, choose_device(device), backend, half, streams)[1]


def _size(text: str) -> tuple[int, int]:
    """Height and width from "(H, W)" or "H,W".

    Raises:
        UserError: other text.
    """
    sides = text.strip("()").split(",")
    if len(sides) != 2 or not all(side.strip().isdecimal() for side in sides):
        raise UserError(f"test_size must be (height, width), two multiples of 32 such as (416, 416), not {text}")
    return int(sides[0]), int(sides[1])


def _refuse(line: str) -> None:
    raise UserError(line)
