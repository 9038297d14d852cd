"""The stages of a demo: frames -> detected -> drawn. Each can run in a thread of its own."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.letterbox import narrow_fault
from yolox_gssam.detections import Detections
from yolox_gssam.inference.drawing import draw_detections
from yolox_gssam.inference.frames import Frame
from yolox_gssam.inference.overlay import attention_panels
from yolox_gssam.inference.pipeline import map_in_threads
from yolox_gssam.inference.predictor import Predictor

AttentionMaps = Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]
"""Takes a letterboxed image (1, h, w, 3), returns stage name -> (h', w') in [0, 1]."""


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """A frame with its detections.

    Attributes:
        maps: stage name -> (h', w') attention over the letterboxed input; empty where not asked for.
        input_hw: height and width of that input, in pixels.
        seconds: what detection took, from image to boxes, without the maps; other frames may have had a part of it.
    """

    frame: Frame
    detections: Detections
    maps: dict[str, NDArray[np.float32]]
    input_hw: tuple[int, int]
    seconds: float


DrawnFrame = tuple[DetectedFrame, NDArray[np.uint8], NDArray[np.uint8] | None]
"""A frame; the picture with its detections; and that beside its attention maps, None where there are none. Both BGR."""


def detect_frames(
    predictor: Predictor, frames: Iterable[Frame], attention: AttentionMaps | None
) -> Iterator[DetectedFrame]:
    """Runs the detector on each frame, and `attention` where given; in order, as many at once as the backend likes.

    Raises:
        UserError: `attention` was given and the network has none, or a frame of which nothing is left in the input.
    """

    def detect(frame: Frame) -> tuple[Frame, Detections, float]:
        problem = narrow_fault(frame.image.shape[:2], predictor.test_size)
        if problem:
            raise UserError(f"{frame.source}: {problem}")
        start = time.perf_counter()
        (detections,) = predictor.predict([frame.image])
        return frame, detections, time.perf_counter() - start

    streams = predictor.backend.streams
    detected = map(detect, frames) if streams == 1 else map_in_threads(detect, frames, streams, streams)
    for frame, detections, seconds in detected:
        maps: dict[str, NDArray[np.float32]] = {}
        input_hw = predictor.test_size
        if attention is not None:
            batch = predictor.preprocess([frame.image])
            input_hw = (batch.shape[1], batch.shape[2])
            maps = attention(batch)
            if not maps:
                raise UserError("this network has no attention maps to save; leave out --save-attention")
        yield DetectedFrame(frame, detections, maps, input_hw, seconds)


def draw_frame(detected: DetectedFrame, class_names: Sequence[str]) -> DrawnFrame:
    image = draw_detections(detected.frame.image, detected.detections, class_names)
    panels = attention_panels(image, detected.maps, detected.input_hw) if detected.maps else None
    return detected, image, panels
