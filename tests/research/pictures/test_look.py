import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert
from yolox.models import YOLOX, YOLOXHead

from yolox_gssam.models import FINE_STRIDES, build_yolox, level_layers
from yolox_gssam.models.neck import STRIDES
from yolox_gssam.research.pictures.detection_panels import detection_panels
from yolox_gssam.research.pictures.look import Look, nearest_anchor, stride_of


@pytest.fixture(scope="module")
def look(gssam_detector: YOLOX) -> Look:
    image = np.random.default_rng(0).integers(0, 256, (50, 120, 3), np.uint8)
    return Look(gssam_detector, image, (64, 96), 0.0, 0.3)


def test_strides_are_those_of_yoloxs_decoding() -> None:
    head = YOLOXHead(1, 0.125)
    head.hw = [(8, 12), (4, 6), (2, 3)]  # of an input of 64 x 96
    count = sum(height * width for height, width in head.hw)
    decoded = head.decode_outputs(torch.zeros(1, count, 6), dtype="torch.FloatTensor")
    # Of a raw width of 0 the decoding makes one stride.
    assert [stride_of(anchor, (64, 96), STRIDES) for anchor in range(count)] == decoded[0, :, 2].tolist()
    with pytest.raises(ValueError, match="there is no anchor 126"):
        stride_of(count, (64, 96), STRIDES)


def test_strides_of_a_network_with_a_level_at_stride_4() -> None:
    ends = {8: 96, 16: 120, 32: 126, 4: 126 + 16 * 24}
    for stride, end in ends.items():
        assert stride_of(end - 1, (64, 96), ends) == stride
    with pytest.raises(ValueError, match="there is no anchor 510"):
        stride_of(510, (64, 96), ends)


def test_grad_cam_explains_detections_of_the_new_level() -> None:
    torch.manual_seed(0)
    model = build_yolox(2, 0.33, 0.125, depthwise=True, strides=FINE_STRIDES)
    torch.nn.init.normal_(model.head.obj_preds[3].weight)
    torch.nn.init.constant_(model.head.obj_preds[3].bias, 20.0)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    look = Look(model.eval(), image, (64, 96), 0.0, 0.3)
    shapes: list[torch.Size] = []
    model.backbone.C3_p2.register_forward_hook(lambda *call: shapes.append(call[2].shape))
    assert look.grad_cam(0).shape == (64, 96)
    assert shapes[-1][2:] == (16, 24)
    assert (
        stride_of(
            nearest_anchor(look.outputs[0], torch.from_numpy(look.detections.boxes_xyxy[0])),
            (64, 96),
            level_layers(model),
        )
        == 4
    )


def test_the_anchor_of_a_box_is_found() -> None:
    torch.manual_seed(0)
    outputs = torch.rand(300, 7) * 90
    boxes = box_convert(outputs[:, :4], "cxcywh", "xyxy")
    outputs[7] = torch.nan  # a network that diverged
    assert [nearest_anchor(outputs, boxes[anchor] + 1e-4) for anchor in (0, 8, 150, 299)] == [0, 8, 150, 299]


def test_grad_cam_explains_the_detection(look: Look) -> None:
    levels = set()
    for number in range(0, len(look.detections), 4):
        level, expected = by_autograd(look, number)
        np.testing.assert_allclose(look.grad_cam(number), expected, atol=1e-3)
        if expected.any():
            levels.add(level)
    assert levels == {"C3_p3", "C3_n3", "C3_n4"}


def by_autograd(look: Look, number: int) -> tuple[str, np.ndarray]:
    """The level of a detection, and Selvaraju's equations 1 and 2 at it, without the package."""
    centre = (look.detections.boxes_xyxy[number].reshape(2, 2).mean(axis=0)) * look.ratio
    anchor = int((look.outputs[0, :, :2] - torch.from_numpy(centre)).norm(dim=1).argmin())
    layer = {96: "C3_p3", 120: "C3_n3", 126: "C3_n4"}[next(end for end in (96, 120, 126) if anchor < end)]
    features: list[Tensor] = []
    hook = getattr(look.model.backbone, layer).register_forward_hook(lambda *call: features.append(call[2]))
    row = look.model(look.input)[0, anchor]
    hook.remove()
    column = 5 + int(look.detections.labels[number])
    evidence = (row[[4, column]] / (1 - row[[4, column]])).log().sum()
    (gradient,) = torch.autograd.grad(evidence, features[0])
    cam = (gradient.mean(dim=(2, 3), keepdim=True) * features[0]).sum(dim=1)[0].relu().detach().numpy()
    return layer, brought_to_one(cv2.resize(brought_to_one(cam), (96, 64)))


def brought_to_one(cam: np.ndarray) -> np.ndarray:
    """0 where it is smallest and 1 where it is largest; the package, too, adds 1e-7 so as not to divide by 0."""
    cam = cam - cam.min()
    return np.asarray(cam / (1e-7 + cam.max()))


def test_detections_are_in_pixels_of_the_image(look: Look) -> None:
    assert look.ratio == 0.8
    best = int((look.outputs[0, :, 4:5] * look.outputs[0, :, 5:]).max(dim=1).values.argmax())
    expected = box_convert(look.outputs[0, best, :4], "cxcywh", "xyxy") / 0.8
    np.testing.assert_allclose(look.detections.boxes_xyxy[0], expected, rtol=1e-4, atol=1e-3)


def test_panels_with_and_without_detections(look: Look) -> None:
    assert len(look.detections) > 6
    picture = detection_panels(look, ["bird", "drone"], "heading")
    assert 6 * 400 <= picture.shape[1] < 6 * 410
    nothing = Look(look.model, look.image, look.test_size, 1.0, 0.3)
    assert len(nothing.detections) == 0
    assert detection_panels(nothing, ["bird", "drone"], "heading").shape[0] < picture.shape[0] / 3
