"""ONNX in the layout of YOLOX's own exporter, run as its `onnx_inference.py` does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from yolox.data.data_augment import preproc
from yolox.models import YOLOX
from yolox.utils import demo_postprocess, multiclass_nms

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.synthetic import render_clip
from yolox_gssam.inference.backends import open_exported
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.conversion.writing import check_format, export
from yolox_gssam.inference.model_info import UNDECODED, ModelInfo
from yolox_gssam.inference.predictor import Predictor

onnxruntime = pytest.importorskip("onnxruntime")
CPU = torch.device("cpu")
CLASS_NAMES = ("airplane", "bird", "drone", "helicopter")
SIZE = (160, 224)
SCORE = 0.3


def write(model: YOLOX, path: Path, batch: int = 1, precision: str = "float32") -> Path:
    info = ModelInfo(CLASS_NAMES, SIZE, precision=precision, layout=UNDECODED)
    export(model, info, "onnx", path, batch_size=batch)
    return path


def detect_as_yolox(path: Path, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 6): corners in the image's pixels, score and class, none suppressed, best first."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs, ratio = preproc(image, SIZE)
    (output,) = session.run(None, {session.get_inputs()[0].name: inputs[None]})
    predictions = demo_postprocess(output, SIZE)[0]
    centres, sides = predictions[:, :2], predictions[:, 2:4]
    corners = np.hstack((centres - sides / 2, centres + sides / 2)) / ratio
    found = multiclass_nms(corners, predictions[:, 4:5] * predictions[:, 5:], nms_thr=1.1, score_thr=SCORE)
    return np.asarray(found)[np.argsort(-found[:, 4], kind="stable")]


@pytest.mark.parametrize("name", ["nano", "gssam_nano"])
def test_yolox_s_own_postprocessing_finds_what_the_predictor_finds(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model: YOLOX = request.getfixturevalue(name)
    (image,) = render_clip(3, (256, 320), 1)
    path = write(model, tmp_path / "a.onnx")
    predictor = Predictor(TorchBackend(model, CPU), CLASS_NAMES, SIZE, SCORE, 1.0, class_agnostic=True)
    (expected,) = predictor.predict([image])
    found = detect_as_yolox(path, image)
    assert len(found) == len(expected) > 20
    np.testing.assert_allclose(found[:, 4], expected.scores, atol=1e-4)
    order, other = (np.lexsort(np.round(boxes[:, :2], 1).T) for boxes in (found, expected.boxes_xyxy))
    np.testing.assert_allclose(found[order, :4], expected.boxes_xyxy[other], atol=0.05)
    assert (found[order, 5] == expected.labels[other]).mean() > 0.99


def test_shapes_are_fixed_and_said(nano: YOLOX, tmp_path: Path) -> None:
    """Frigate reads the number of classes from the output's shape, and OpenVINO gives none where a side is open."""
    path = write(nano, tmp_path / "a.onnx", batch=2)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    anchors = sum(SIZE[0] * SIZE[1] // stride**2 for stride in (8, 16, 32))
    assert (given.name, given.type, given.shape) == ("images", "tensor(float)", [2, 3, *SIZE])
    values = session.run(None, {"images": 255 * np.random.default_rng(0).random((2, 3, *SIZE), dtype=np.float32)})[0]
    assert values.shape == (2, anchors, 5 + len(CLASS_NAMES))
    assert output.type == "tensor(float)"
    assert output.shape == [2, anchors, 5 + len(CLASS_NAMES)]


def test_the_tools_here_refuse_it(nano: YOLOX, tmp_path: Path) -> None:
    path = write(nano, tmp_path / "a.onnx", precision="float16")
    with pytest.raises(UserError, match=r"a\.onnx: is in YOLOX's layout, for other programs.*leave out --layout"):
        open_exported(path, "cpu")


def test_other_formats_have_no_such_layout() -> None:
    with pytest.raises(UserError, match="--layout yolox is there for --format onnx only"):
        check_format("torchscript", "float32", UNDECODED)


def test_other_strides_than_yolox_s_are_refused(nano: YOLOX, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano.head, "strides", [4, 8, 16, 32])
    with pytest.raises(UserError, match="--layout yolox: is for strides"):
        write(nano, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
