"""A network with a level at stride 4 in every format, against YOLOX's forward pass."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from yolox.models import YOLOX

from yolox_gssam.experiment import GSSAM_STAGES
from yolox_gssam.inference.backends import open_exported, why_unavailable
from yolox_gssam.inference.conversion import build_backend
from yolox_gssam.inference.conversion.writing import SUFFIXES, export
from yolox_gssam.inference.model_info import ModelInfo
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.models import FINE_STRIDES, add_attention, build_yolox

CPU = torch.device("cpu")
CLASSES = ("bird", "drone")
SIZE_HW = (96, 160)


@pytest.fixture(scope="module")
def model() -> YOLOX:
    """A narrow network with GSSAM whose BatchNorms have lived, and whose scores vary."""
    torch.manual_seed(0)
    model = build_yolox(len(CLASSES), 0.33, 0.125, depthwise=True, strides=FINE_STRIDES)
    model = add_attention(model, "gssam", 1, {**GSSAM_STAGES, "residual": True})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.backbone(torch.rand(4, 3, *SIZE_HW) * 255)
    for convs in (model.head.obj_preds, model.head.cls_preds):
        for conv in convs:
            torch.nn.init.normal_(conv.weight)
            torch.nn.init.zeros_(conv.bias)
    return model.eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *SIZE_HW, 3), dtype=np.uint8)


def as_in(expected: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The rows, each once, in the order in which they are nearest to the expected: candidates come in no order."""
    return rows[linear_sum_assignment(torch.cdist(expected.double(), rows.double()).numpy())[1]]


@pytest.mark.parametrize(
    ("name", "backend"), [("onnx", "onnxruntime"), ("openvino", "openvino"), ("torchscript", "torch")]
)
def test_exported_file_finds_what_yolox_finds(
    name: str, backend: str, model: YOLOX, images: np.ndarray, tmp_path: Path
) -> None:
    reason = why_unavailable(backend, "cpu")
    if reason is not None:
        pytest.skip(reason)
    path = tmp_path / f"fine{SUFFIXES[name]}"
    export(model, ModelInfo(CLASSES, SIZE_HW), name, path)
    rows = torch.from_numpy(open_exported(path, "cpu")[0].candidates(images, 0.0))
    with torch.no_grad():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2).float())[0]
    assert len(expected) == 12 * 20 + 6 * 10 + 3 * 5 + 24 * 40
    assert len(rows) == len(expected)
    torch.testing.assert_close(as_in(expected, rows[:, 1:]), expected, rtol=1e-3, atol=1e-3)


def test_predictor_finds_a_small_object_by_the_new_level_alone(model: YOLOX, images: np.ndarray) -> None:
    for level, conv in enumerate(model.head.obj_preds):
        torch.nn.init.constant_(conv.bias, 50.0 if level == 3 else -50.0)
    predictor = Predictor(build_backend("torch", model, SIZE_HW, CPU), CLASSES, SIZE_HW, 0.01, 0.99)
    (found,) = predictor.predict(list(images))
    with torch.no_grad():
        outputs = model(torch.from_numpy(images).permute(0, 3, 1, 2).float())[0, -24 * 40 :]
    scores = (outputs[:, 4:5] * outputs[:, 5:]).amax(dim=1)
    assert len(found) > 0
    best = outputs[scores.argmax()]
    centre = found.boxes_xyxy[0].reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(centre, best[:2], atol=0.05)
