import copy
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from loguru import logger
from numpy.typing import NDArray
from yolox.models import YOLOX
from yolox.tools.demo import Predictor as StockPredictor

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import load_split
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.prediction import predict_split
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.inference.tiles import parse_tiling

CLASS_NAMES = ("airplane", "bird", "drone", "helicopter")


def make_predictor(
    model: YOLOX, test_size: tuple[int, int] = (160, 160), half: bool = False, score: float = 0.5, **options: bool
) -> Predictor:
    backend = TorchBackend(model, torch.device("cpu"), half)
    return Predictor(backend, CLASS_NAMES, test_size, score, 0.45, **options)


def make_image(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Clouds: noise blown up, as smooth as a photograph of the sky."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))


def candidates_for(boxes_cxcywh: list[list[float]], class_scores: list[list[float]]) -> NDArray[np.float32]:
    """Candidates on one image: objectness 1."""
    rows = [[0.0, *box, 1.0, *scores] for box, scores in zip(boxes_cxcywh, class_scores, strict=True)]
    return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def precise_nano(nano: YOLOX) -> YOLOX:
    """It computes in float64: its random weights amplify float32's rounding, which is another on every processor."""
    model = copy.deepcopy(nano).double()
    model.register_forward_pre_hook(lambda _, images: (images[0].double(),))
    return model


def assert_same(found: Detections, expected: Detections) -> None:
    """Up to rounding: BatchNorms are folded, another batch takes another kernel."""
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize(
    ("width", "height", "test_size"),
    [
        pytest.param(640, 512, (160, 160), id="shrunk"),
        pytest.param(97, 61, (160, 160), id="enlarged-odd-size"),
        pytest.param(200, 301, (96, 160), id="wide-input"),
    ],
)
def test_finds_the_boxes_of_yolox_own_demo(
    precise_nano: YOLOX, width: int, height: int, test_size: tuple[int, int]
) -> None:
    image = make_image(width, height)
    exp = SimpleNamespace(num_classes=4, test_conf=0.5, nmsthre=0.45, test_size=test_size)
    (rows,), info = StockPredictor(precise_nano, exp, CLASS_NAMES).inference(image)
    stock = Detections(
        (rows[:, :4] / info["ratio"]).numpy(), (rows[:, 4] * rows[:, 5]).numpy(), rows[:, 6].numpy().astype(np.int64)
    )

    (found,) = make_predictor(precise_nano, test_size, class_agnostic=True).predict([image])

    assert len(found) > 5
    assert len(set(found.labels)) > 1
    assert_same(found, stock)


def test_a_batch_of_several_sizes_equals_its_images_alone(precise_nano: YOLOX) -> None:
    predictor = make_predictor(precise_nano)
    images = [make_image(640, 512, 1), make_image(120, 300, 2), make_image(333, 77, 3)]
    together = predictor.predict(images)
    assert sum(len(found) for found in together) > 10
    for found, image in zip(together, images, strict=True):
        assert_same(found, predictor.predict([image])[0])


def test_no_images_give_no_detections(nano: YOLOX) -> None:
    assert make_predictor(nano).predict([]) == []


@pytest.mark.parametrize(
    "size_hw", [(512, 640), (97, 61), (1080, 1920), (160, 160)], ids=["svanstrom", "odd", "full-hd", "same"]
)
def test_boxes_come_back_to_the_original_pixels(nano: YOLOX, size_hw: tuple[int, int]) -> None:
    predictor = make_predictor(nano)
    box = np.array([0.31 * size_hw[1], 0.42 * size_hw[0], 0.31 * size_hw[1] + 12, 0.42 * size_hw[0] + 9])
    left, top, right, bottom = box * min(160 / size_hw[0], 160 / size_hw[1])
    outputs = candidates_for([[(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]], [[0, 0, 0.9, 0]])
    before = outputs.copy()

    (found,) = predictor.postprocess(outputs, [size_hw])

    np.testing.assert_allclose(found.boxes_xyxy, [box], atol=1e-3)
    assert found.labels.tolist() == [2]
    assert found.scores == pytest.approx([0.9])
    np.testing.assert_array_equal(outputs, before)


@pytest.mark.parametrize(("class_agnostic", "count"), [(False, 2), (True, 1)], ids=["per-class", "agnostic"])
def test_nms_within_or_across_classes(nano: YOLOX, class_agnostic: bool, count: int) -> None:
    outputs = candidates_for([[50, 50, 20, 20], [51, 50, 20, 20]], [[0.6, 0, 0, 0], [0, 0, 0.9, 0]])
    (found,) = make_predictor(nano, class_agnostic=class_agnostic).postprocess(outputs, [(160, 160)])
    assert len(found) == count
    assert found.labels[0] == 2


def test_nothing_above_the_threshold(nano: YOLOX) -> None:
    outputs = candidates_for([[50, 50, 20, 20]], [[0.4, 0, 0, 0]])
    (found,) = make_predictor(nano).postprocess(outputs, [(160, 160)])
    assert len(found) == 0


def test_boxes_without_a_finite_size_are_dropped(nano: YOLOX) -> None:
    outputs = candidates_for([[50, 50, float("inf"), 20], [50, 50, 20, 20]], [[0.9, 0, 0, 0], [0.8, 0, 0, 0]])
    (found,) = make_predictor(nano).postprocess(outputs, [(160, 160)])
    assert found.scores == pytest.approx([0.8])


def test_16_bit_stays_close(nano: YOLOX) -> None:
    batch = make_predictor(nano).preprocess([make_image(640, 512)])
    full, half = (make_predictor(nano, half=half, score=0.0).network(batch) for half in (False, True))
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)
    # bfloat16 has 8 bits, and random weights amplify what is lost.
    assert np.median(np.abs(full - half)[:, 1:3]) < 1
    assert np.median(np.abs(full - half)[:, 5:]) < 0.02


def test_the_model_is_left_as_it_was(nano: YOLOX) -> None:
    before = {name: value.clone() for name, value in nano.state_dict().items()}
    predictor = make_predictor(nano)
    predictor.predict([make_image(64, 64)])
    assert all(torch.equal(value, before[name]) for name, value in nano.state_dict().items())
    assert nano.head.decode_in_inference


def test_an_image_that_would_vanish(nano: YOLOX) -> None:
    with pytest.raises(UserError, match="2000 x 3 pixels is too narrow"):
        make_predictor(nano).predict([make_image(2000, 3)])


@pytest.fixture
def coco_set(tmp_path: Path) -> Path:
    """Five images with ids that are no row of numbers; the annotation file is returned."""
    images = []
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), make_image(120 + 10 * number, 90, number))
        images.append({"id": 100 - 7 * number, "file_name": f"{number}.png", "width": 120 + 10 * number, "height": 90})
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(CLASS_NAMES)]
    path = tmp_path / "test.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    return path


@pytest.mark.parametrize("workers", [0, 3])
def test_predict_split_gives_each_image_its_own_boxes(precise_nano: YOLOX, coco_set: Path, workers: int) -> None:
    predictor = make_predictor(precise_nano)
    found = predict_split(predictor, load_split(coco_set, coco_set.parent), batch_size=2, workers=workers)
    assert sorted(found) == [72, 79, 86, 93, 100]
    for number in range(5):
        image = cv2.imread(str(coco_set.parent / f"{number}.png"))
        (expected,) = predictor.predict([np.asarray(image, np.uint8)])
        assert len(expected) > 0
        assert_same(found[100 - 7 * number], expected)


def test_predict_split_names_an_image_that_cannot_be_read(nano: YOLOX, coco_set: Path) -> None:
    (coco_set.parent / "3.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"3\.png"):
        predict_split(make_predictor(nano), load_split(coco_set, coco_set.parent), batch_size=2, workers=2)


def test_an_image_of_a_split_that_would_vanish_is_named_and_the_others_go_on(nano: YOLOX, coco_set: Path) -> None:
    predictor = make_predictor(nano)
    before = predict_split(predictor, load_split(coco_set, coco_set.parent), 2, 1)
    document = json.loads(coco_set.read_text())
    document["images"].insert(1, {"id": 7, "file_name": "line.png", "width": 2000, "height": 3})
    coco_set.write_text(json.dumps(document))
    cv2.imwrite(str(coco_set.parent / "line.png"), make_image(2000, 3))
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    found = predict_split(predictor, load_split(coco_set, coco_set.parent), 2, 1)
    logger.remove(sink)
    assert list(found) == [image["id"] for image in document["images"]]
    assert len(found.pop(7)) == 0
    for image_id, detections in before.items():
        np.testing.assert_array_equal(found[image_id].scores, detections.scores)
    assert lines == [
        f"{coco_set.parent}/line.png: nothing is found on it: an image of 2000 x 3 pixels is too narrow for the input "
        "of 160 x 160; crop it\n"
    ]


def test_tiles_find_what_the_reduced_image_loses() -> None:
    """A backend that finds bright areas of at least two pixels, on an image of 8 inputs' width."""

    class Bright:
        streams = 1

        def candidates(self, batch: NDArray[np.uint8], threshold: float) -> NDArray[np.float32]:
            rows = []
            for number, image in enumerate(batch):
                count, _, areas, _ = cv2.connectedComponentsWithStats((image[..., 0] > 200).astype(np.uint8))
                for x, y, w, h, area in areas[1:count]:
                    if area > 1:
                        rows.append([number, x + w / 2, y + h / 2, w, h, 0.9, 1.0, 0.0, 0.0, 0.0])
            return np.array(rows, np.float32).reshape(-1, 10)

    image = np.zeros((160, 1280, 3), np.uint8)
    image[70:76, 700:706] = 255
    whole, tiled = (
        Predictor(Bright(), CLASS_NAMES, (160, 160), 0.25, 0.45, tiling=parse_tiling(tiles, (160, 160)))
        for tiles in ("off", "auto")
    )
    assert [len(found) for found in whole.predict([image])] == [0]
    (found,) = tiled.predict([image])
    np.testing.assert_allclose(found.boxes_xyxy, [[700, 70, 706, 76]], atol=0.5)
    assert tiled.predict([]) == []
