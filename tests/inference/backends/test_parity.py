"""Every backend against torch's eager network: the same boxes and scores on real frames, or else on drawn ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from yolox.models import YOLOX

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.letterbox import letterbox
from yolox_gssam.data.synthetic import render_clip
from yolox_gssam.detections import Detections
from yolox_gssam.inference.backends import Backend, open_exported, why_unavailable
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.conversion import build_backend, to_openvino
from yolox_gssam.inference.conversion.writing import SUFFIXES, check_format, export
from yolox_gssam.inference.frames import Frame
from yolox_gssam.inference.model_info import ModelInfo
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.inference.stages import detect_frames

CPU = torch.device("cpu")
CLASS_NAMES = ("airplane", "bird", "drone", "helicopter")
SIZE = (192, 192)
CLIP = Path(__file__).parents[4] / "shared" / "data" / "svanstrom" / "Data" / "Video_V" / "V_DRONE_054.mp4"
# An object that the rounding of a backend may move across the score threshold.
AT_THE_THRESHOLD = 0.01


def detect(backend: Backend, frames: list[NDArray[np.uint8]], tight: bool = True) -> list[Detections]:
    predictor = Predictor(backend, CLASS_NAMES, SIZE, 0.3, 0.45, tight=tight)
    return [predictor.predict([frame])[0] for frame in frames]


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    """Boxes within 0.5 pixel and scores within 0.01, each with a partner."""
    for ours, theirs in zip(found, expected, strict=True):
        for some, others in ((ours, theirs), (theirs, ours)):
            for box, score, label in zip(some.boxes_xyxy, some.scores, some.labels, strict=True):
                if score < 0.3 + AT_THE_THRESHOLD:
                    continue
                near = np.abs(others.boxes_xyxy - box).max(axis=1) < 0.5
                assert (near & (np.abs(others.scores - score) < 0.01) & (others.labels == label)).any()


@pytest.fixture(scope="module", autouse=True)
def converted_once() -> Iterator[None]:
    """A network is converted to OpenVINO once for all tests: it takes ten seconds."""
    convert, networks = to_openvino.convert, {}

    def convert_once(model: YOLOX, largest_hw: tuple[int, int]) -> Any:
        if (model, largest_hw) not in networks:
            networks[model, largest_hw] = convert(model, largest_hw)
        return networks[model, largest_hw].clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_openvino, "convert", convert_once)
        yield


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    if not CLIP.is_file():
        return list(render_clip(3, (256, 320), 4))
    video = cv2.VideoCapture(str(CLIP))
    return [np.asarray(video.read()[1], np.uint8) for _ in range(4)]


@pytest.fixture(scope="module")
def expected(gssam_nano: YOLOX, frames: list[NDArray[np.uint8]]) -> list[Detections]:
    detections = detect(TorchBackend(gssam_nano, CPU), frames)
    assert all(len(found) > 3 for found in detections)
    return detections


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest, gssam_nano: YOLOX) -> Backend:
    reason = why_unavailable(request.param, "cpu")
    if reason is not None:
        pytest.skip(reason)
    return build_backend(request.param, gssam_nano, SIZE, CPU)


def test_same_detections(
    backend: Backend, gssam_nano: YOLOX, frames: list[NDArray[np.uint8]], expected: list[Detections]
) -> None:
    assert_same(detect(backend, frames), expected)
    # The same backend takes the next size, too, and a batch.
    square = detect(TorchBackend(gssam_nano, CPU), frames, tight=False)
    assert_same(detect(backend, frames, tight=False), square)
    predictor = Predictor(backend, CLASS_NAMES, SIZE, 0.3, 0.45, tight=True)
    assert_same(predictor.predict(frames), expected)


def test_no_candidate(backend: Backend, frames: list[NDArray[np.uint8]]) -> None:
    candidates = backend.candidates(letterbox(frames[:1], SIZE), 1.5)
    assert candidates.shape == (0, 6 + len(CLASS_NAMES))


@pytest.mark.parametrize("name", ["onnx", "openvino", "torchscript"])
@pytest.mark.parametrize("dynamic_size", [True, False], ids=["dynamic", "fixed"])
def test_exported_files_find_the_same(
    name: str,
    dynamic_size: bool,
    gssam_nano: YOLOX,
    frames: list[NDArray[np.uint8]],
    expected: list[Detections],
    tmp_path: Path,
) -> None:
    skip_where_missing(name, "float32")
    info = ModelInfo(CLASS_NAMES, SIZE, dynamic_size, exp={"exp_name": "mine"}, checkpoint_sha256="abc")
    path = tmp_path / f"detector{SUFFIXES[name]}"
    export(gssam_nano, info, name, path)
    backend, read = open_exported(path, "cpu")
    assert read == info
    if dynamic_size:
        assert_same(detect(backend, frames), expected)
    else:
        assert_same(detect(backend, frames, tight=False), detect(TorchBackend(gssam_nano, CPU), frames, tight=False))
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        {path.name, path.with_suffix(".bin").name} if name == "openvino" else {path.name}
    )


@pytest.mark.parametrize(("name", "precision"), [("onnx", "float16"), ("torchscript", "float16"), ("openvino", "int8")])
def test_reduced_precision(
    name: str, precision: str, gssam_nano: YOLOX, frames: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    """All anchors: half of the centres within half a pixel, half of the scores within 0.02 (float16) and 0.1 (int8)."""
    skip_where_missing(name, precision)
    path = tmp_path / f"detector{SUFFIXES[name]}"
    batches = [letterbox([frame], SIZE) for frame in frames]
    export(gssam_nano, ModelInfo(CLASS_NAMES, SIZE, True, precision), name, path, batches, 0.3)
    backend, info = open_exported(path, "cpu")
    assert info.precision == precision
    candidates, full = (one.candidates(batches[0], 0.0) for one in (backend, TorchBackend(gssam_nano, CPU)))
    assert candidates.dtype == np.float32
    assert not np.array_equal(candidates, full)
    if precision == "int8":
        assert_kept_in_float(path)
    assert median_difference(candidates, full, slice(1, 3)) < 0.5
    assert median_difference(candidates, full, slice(5, None)) < (0.02 if precision == "float16" else 0.1)


def assert_kept_in_float(path: Path) -> None:
    """Convolutions are in 8 bit, but for those of the attention and those that make the scores and boxes."""
    import openvino

    kinds: dict[bool, set[bool]] = {True: set(), False: set()}
    for operation in openvino.Core().read_model(path).get_ordered_ops():
        if operation.get_type_name() in ("Convolution", "GroupConvolution"):
            name = operation.get_friendly_name()
            is_fine = any(word in name for word in ("attention", "window_convs", "cls_preds", "obj_preds", "reg_preds"))
            # Weights in 8 bit are multiplied by their scales first.
            kinds[is_fine].add(operation.input_value(1).get_node().get_type_name() == "Multiply")
    assert kinds == {True: {False}, False: {True}}


def median_difference(some: NDArray[np.float32], others: NDArray[np.float32], columns: slice) -> float:
    """With a threshold of 0 all anchors are candidates, in one order."""
    return float(np.median(np.abs(some - others)[:, columns]))


def skip_where_missing(name: str, precision: str) -> None:
    try:
        check_format(name, precision)
    except UserError as error:
        pytest.skip(str(error))
    if precision == "int8":
        pytest.importorskip("nncf")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("name", ["torch", "compile", "onnxruntime"])
def test_same_detections_on_cuda(
    name: str, gssam_nano: YOLOX, frames: list[NDArray[np.uint8]], expected: list[Detections]
) -> None:
    device = torch.device("cuda")
    reason = why_unavailable(name, "cuda")
    if reason is not None:
        pytest.skip(reason)
    assert_same(detect(build_backend(name, gssam_nano, SIZE, device), frames), expected)


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".torchscript"])
def test_a_damaged_file_is_refused_in_one_line(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"no network at all")
    with pytest.raises(UserError, match=r"broken\.") as caught:
        open_exported(path, "cpu")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [other])
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "other.onnx"))
    with pytest.raises(UserError, match=r"does not say what it is; export it with tools/export\.py"):
        open_exported(tmp_path / "other.onnx", "cpu")


def test_what_is_not_installed_or_cannot_be_done_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolox_gssam.inference.backends.find_spec", lambda name: None)
    assert why_unavailable("openvino", "cpu") == "backend openvino needs openvino: pip install openvino"
    monkeypatch.undo()
    assert why_unavailable("torch", "cpu") is None
    assert "runs on the CPU, not on cuda" in str(why_unavailable("openvino", "cuda"))
    with pytest.raises(UserError, match="int8 is there for --format openvino only"):
        check_format("torchscript", "int8")


def test_several_streams_give_the_same_in_order(
    gssam_nano: YOLOX, frames: list[NDArray[np.uint8]], expected: list[Detections]
) -> None:
    reason = why_unavailable("openvino", "cpu")
    if reason is not None:
        pytest.skip(reason)
    backend = build_backend("openvino", gssam_nano, SIZE, CPU, streams=2)
    assert backend.streams == 2
    predictor = Predictor(backend, CLASS_NAMES, SIZE, 0.3, 0.45, tight=True)
    detected = list(detect_frames(predictor, [Frame(frame, "clip", index) for index, frame in enumerate(frames)], None))
    assert [one.frame.index for one in detected] == list(range(len(frames)))
    assert_same([one.detections for one in detected], expected)
