"""The front door: `Detector` with the networks that come along, against torch and against the parts it is made of."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from videos import mjpeg_stream

import yolox_gssam
from yolox_gssam import Detector
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.shipped import NETWORKS, shipped_folder
from yolox_gssam.data.synthetic import render_clip
from yolox_gssam.detector import load_network

WEIGHTS = shipped_folder("weights")
CLIPS = Path(__file__).parents[2] / "shared" / "data" / "svanstrom" / "Data"
CLIP_OF = {"visible": CLIPS / "Video_V" / "V_DRONE_066.mp4", "infrared": CLIPS / "Video_IR" / "IR_DRONE_001.mp4"}
CHECKPOINT_OF = {"visible": "yolox_nano_visible.weights.pth", "infrared": "yolox_nano_infrared.weights.pth"}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(device="cpu")


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return list(render_clip(3, (256, 320), 3))


def first_frame(clip: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.VideoCapture(str(clip)).read()[1], np.uint8)


def test_the_package_gives_it_without_an_import_of_more() -> None:
    assert yolox_gssam.Detector is Detector
    with pytest.raises(AttributeError, match="nothing"):
        _ = yolox_gssam.nothing


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_that_comes_along_is_small_and_says_what_it_is(name: str) -> None:
    assert (WEIGHTS / NETWORKS[name]).stat().st_size < 4 * 2**20
    network = Detector.load(name, device="cpu").network
    assert network.class_names == ("airplane", "bird", "drone", "helicopter")
    assert network.dynamic_size
    assert network.backend.name == "onnxruntime"


@pytest.mark.parametrize("name", NETWORKS)
def test_it_finds_what_the_checkpoint_finds_in_torch(name: str) -> None:
    clip = CLIP_OF[name]
    if not clip.is_file():
        pytest.skip(f"no {clip}")
    image = first_frame(clip)
    found = Detector.load(name, device="cpu", score_threshold=0.1)(image)
    expected = Detector.load(WEIGHTS / CHECKPOINT_OF[name], device="cpu", score_threshold=0.1)(image)
    assert len(found) > 0
    assert found.names == expected.names
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.05)
    np.testing.assert_allclose(found.scores, expected.scores, atol=2e-3)


def test_an_onnx_file_runs_in_openvino_where_that_is_asked_for(
    detector: Detector, frames: list[NDArray[np.uint8]]
) -> None:
    pytest.importorskip("openvino")
    other = Detector.load(backend="openvino", score_threshold=0.01)
    assert other.network.backend.name == "openvino"
    expected = Detector(detector.network, score_threshold=0.01)(frames[0])
    found = other(frames[0])
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=0.1)


def test_grey_images_and_images_without_anything(detector: Detector) -> None:
    grey = np.full((120, 160), 128, np.uint8)
    assert len(detector(grey)) == len(detector(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))) == 0
    assert detector(grey).class_names == detector.class_names


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8), np.zeros(8, np.uint8)],
    ids=["float", "alpha", "empty", "a row"],
)
def test_what_is_no_image(detector: Detector, image: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match=r"an image is \(H, W, 3\) or \(H, W\) uint8, in BGR; this one has shape"):
        detector(image)


def test_thresholds_that_cannot_be(detector: Detector) -> None:
    with pytest.raises(ValueError, match=r"score_threshold must lie between 0 and 1, not 25"):
        Detector(detector.network, 25)


def test_a_smaller_input_is_another_network(detector: Detector, frames: list[NDArray[np.uint8]]) -> None:
    small = Detector.load(input_size=(96, 128), device="cpu")
    assert small.network.input_size == (96, 128)
    assert small.predictor.preprocess(frames[:1]).shape == (1, 96, 128, 3)
    with pytest.raises(UserError, match="was exported for 4 classes and inputs of up to 512 x 640 pixels"):
        Detector.load(input_size=(640, 640), device="cpu")
    with pytest.raises(UserError, match="multiples of 32"):
        Detector.load(input_size=(100, 100), device="cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"weights": "missing.onnx"}, "missing.onnx: no such file", id="no file"),
        pytest.param({"weights": "visible", "backend": "torch"}, "is run by onnxruntime; leave out", id="backend"),
        pytest.param({"weights": "visible", "device": "abacus"}, "'abacus': not known", id="device"),
        pytest.param({"weights": "visible", "half": True}, "leave out --fp16", id="half"),
        pytest.param({"weights": "visible", "options": ("test_size", "big")}, "test_size must be", id="size"),
    ],
)
def test_what_cannot_be_loaded(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_network(**arguments)


@pytest.fixture
def clip(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 12.5, (320, 256))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def test_stream_of_a_video(detector: Detector, clip: Path, frames: list[NDArray[np.uint8]]) -> None:
    streamed = list(detector.stream(clip))
    assert len(streamed) == len(frames)
    for (image, found), frame in zip(streamed, frames, strict=True):
        np.testing.assert_array_equal(image, frame)
        np.testing.assert_array_equal(found.boxes_xyxy, detector(frame).boxes_xyxy)


def test_stream_of_a_folder_and_of_an_image(
    detector: Detector, tmp_path: Path, frames: list[NDArray[np.uint8]]
) -> None:
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
    assert [image.shape for image, _ in detector.stream(tmp_path)] == [(256, 320, 3)] * 3
    ((image, _),) = detector.stream(str(tmp_path / "1.png"))
    np.testing.assert_array_equal(image, frames[1])
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1\.png"):
        list(detector.stream(tmp_path))


def test_stream_of_a_url(detector: Detector) -> None:
    with mjpeg_stream() as url:
        image, found = next(detector.stream(url))
    assert image.ndim == 3
    assert found.class_names == detector.class_names


@pytest.mark.parametrize("source", ["missing.mp4", "nowhere", "", 99])
def test_stream_of_nothing(
    detector: Detector, source: str | int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no such image, video or folder|camera 99: cannot be opened"):
        next(detector.stream(source))


def test_a_checkpoint_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolox_gssam.detector.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"a\.pth: a checkpoint needs torch and yolox: pip install .yolox-gssam\[train\]"
    ):
        Detector.load("a.pth")
