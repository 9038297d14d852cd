"""Tiles against SAHI's sliced prediction (https://github.com/obss/sahi, MIT), on 4K frames put together from real ones.

As a script: average precision and time with tiles, with SAHI and without either, all with the same network:
python tests/inference/test_tiles_sahi.py DATASET [FRAMES]
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam import Detector
from yolox_gssam.data.coco_reader import CocoSplit, load_split, read_image
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.coco_metrics import evaluate_coco, percent

SIZE_HW = (2160, 3840)
SCORE = 0.25
OVERLAP = 64
CLIPS = Path(__file__).parents[3] / "shared" / "data" / "svanstrom" / "Data" / "Video_IR"


def four_k(
    images: list[NDArray[np.uint8]], boxes: list[NDArray[np.float64]], size_hw: tuple[int, int] = SIZE_HW
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Images side by side, row after row, on a 4K frame; their boxes there."""
    frame = np.full((*size_hw, 3), 114, np.uint8)
    height, width = images[0].shape[:2]
    placed = [np.zeros((0, 4))]
    places = [
        (top, left)
        for top in range(0, size_hw[0] - height + 1, height)
        for left in range(0, size_hw[1] - width + 1, width)
    ]
    for image, own, (top, left) in zip(images, boxes, places, strict=False):
        frame[top : top + height, left : left + width] = image
        placed.append(own + np.array([left, top, left, top]))
    return frame, np.concatenate(placed)


def sahi_prediction(detector: Detector, size_hw: tuple[int, int]) -> Callable[[NDArray[np.uint8]], Detections]:
    """SAHI with the network of `detector`, whole frame and slices, one box for one object whatever its class."""
    from sahi.models.base import DetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.prediction import ObjectPrediction

    class Model(DetectionModel):
        def load_model(self) -> None:
            self.model = detector

        def perform_inference(self, image: NDArray[np.uint8]) -> None:
            # SAHI hands over RGB.
            self._original_predictions = detector(np.ascontiguousarray(image[..., ::-1]))

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            found: Detections = self._original_predictions
            shift, shape = shift_amount_list, full_shape_list
            self._object_prediction_list_per_image = [
                [
                    ObjectPrediction(
                        bbox=box.tolist(),
                        category_id=int(label),
                        category_name=str(label),
                        score=float(score),
                        shift_amount=shift[0] if np.ndim(shift) == 2 else shift or [0, 0],
                        full_shape=shape[0] if np.ndim(shape) == 2 else shape,
                    )
                    for box, score, label in zip(found.boxes_xyxy, found.scores, found.labels, strict=True)
                ]
            ]

    model = Model(model_path="none", confidence_threshold=SCORE, device="cpu", category_mapping={"0": "0"})

    def predict(image: NDArray[np.uint8]) -> Detections:
        result = get_sliced_prediction(
            np.ascontiguousarray(image[..., ::-1]),
            model,
            slice_height=size_hw[0],
            slice_width=size_hw[1],
            overlap_height_ratio=OVERLAP / size_hw[0],
            overlap_width_ratio=OVERLAP / size_hw[1],
            postprocess_type="NMS",
            postprocess_match_metric="IOS",
            postprocess_class_agnostic=True,
            verbose=0,
        )
        found = result.object_prediction_list
        boxes = np.array([item.bbox.to_xyxy() for item in found], np.float32).reshape(-1, 4)
        scores = np.array([item.score.value for item in found], np.float32)
        return Detections(boxes, scores, np.array([item.category.id for item in found], np.int64))

    return predict


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no clips at {CLIPS}")
def test_boxes_are_those_of_sahi() -> None:
    """Of the objects that both find, boxes within a pixel; where a border cuts one, they may choose another piece."""
    pytest.importorskip("sahi", reason="SAHI is not installed: pip install sahi")
    paths = sorted(CLIPS.glob("IR_DRONE_*.mp4"))[::2][:48]
    images = [frame for path in paths for frame in [cv2.VideoCapture(str(path)).read()[1]]]
    detector = Detector.load("infrared", tiles="auto", score_threshold=SCORE)
    height, width = detector.predictor.test_size
    # Of a size without a remainder, so that both cut the same tiles.
    size_hw = tuple(
        OVERLAP + (side - OVERLAP) * (whole // (side - OVERLAP))
        for whole, side in zip(SIZE_HW, (height, width), strict=True)
    )
    frame, _ = four_k(images, [np.zeros((0, 4))] * len(images), (size_hw[0], size_hw[1]))
    own = detector(frame)
    theirs = sahi_prediction(Detector.load("infrared", score_threshold=SCORE), (height, width))(frame)
    distances = np.abs(own.boxes_xyxy[:, None] - theirs.boxes_xyxy[None]).max(axis=2)
    found_by_both = (distances < 10).any(axis=1)
    assert found_by_both.sum() >= 50
    assert found_by_both.sum() >= 0.95 * max(len(own), len(theirs))
    assert distances.min(axis=1)[found_by_both].max() <= 1


def frames_of(
    dataset: Path, count: int
) -> tuple[CocoSplit, list[tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]]]:
    """4K frames of the images of a data set's test split, which must be of one size: pixels, boxes and labels."""
    split = load_split(dataset / "annotations" / "test.json", dataset / "images")
    each = (SIZE_HW[0] // split.images[0].height) * (SIZE_HW[1] // split.images[0].width)
    drawn = np.random.default_rng(0).permutation(len(split.images))[: count * each].tolist()
    frames = []
    for start in range(0, len(drawn), each):
        images = [split.images[number] for number in drawn[start : start + each]]
        pixels = [read_image(split.image_path(image)) for image in images]
        frame, boxes = four_k(pixels, [image.boxes_xyxy for image in images])
        frames.append((frame, boxes, np.concatenate([image.labels for image in images])))
    return split, frames


def main(dataset: Path, count: int) -> None:
    """Prints AP50 and mAP50:95 over all classes, and seconds per frame, the ways taken in turn for each frame."""
    split, frames = frames_of(dataset, count)
    plain, tiled = Detector.load(score_threshold=0.01), Detector.load(tiles="auto", score_threshold=0.01)
    size_hw = plain.predictor.test_size
    ways = {"whole frame": plain, "tiles": tiled, "SAHI": sahi_prediction(plain, size_hw)}
    found: dict[str, dict[int, Detections]] = {name: {} for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for number, (frame, _, _) in enumerate(frames):
        for name, way in ways.items():
            start = time.perf_counter()
            found[name][number] = way(frame)
            seconds[name] += time.perf_counter() - start
    images = [
        LabelledImage(str(number), SIZE_HW[1], SIZE_HW[0], boxes, labels, image_id=number)
        for number, (_, boxes, labels) in enumerate(frames)
    ]
    truth = replace(split, images=tuple(images))
    objects = sum(len(image.labels) for image in images)
    print(f"{len(frames)} frames of {SIZE_HW[1]} x {SIZE_HW[0]} pixels, {objects} objects, input {size_hw}")
    for name in ways:
        scores = evaluate_coco(truth, found[name]).overall
        each = seconds[name] / len(frames)
        print(f"{name}: AP50 {percent(scores.ap50)} %, mAP50:95 {percent(scores.ap)} %, {each:.2f} s per frame")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
