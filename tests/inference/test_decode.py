import pytest
import torch
from yolox.models import YOLOX

from yolox_gssam.inference.decode import decode_outputs


@pytest.mark.parametrize("size_hw", [(128, 128), (96, 160)], ids=["square", "wide"])
def test_equals_yolox_bit_for_bit(nano: YOLOX, size_hw: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size_hw, generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        expected = nano(images)
        nano.head.decode_in_inference = False
        raw = nano(images)
        nano.head.decode_in_inference = True

    before = raw.clone()
    decoded = decode_outputs(raw, nano.head.hw, nano.head.strides)

    assert torch.equal(decoded, expected)
    assert torch.equal(raw, before)


def test_one_anchor_by_hand() -> None:
    outputs = torch.zeros(1, 6, 6)
    outputs[0, 5] = torch.tensor([0.5, 0.25, 0.0, 2.0, 0.9, 0.8])
    decoded = decode_outputs(outputs, [(2, 3)], [16])
    # The last of 2 x 3 cells: column 2, row 1.
    assert decoded[0, 5].tolist() == pytest.approx([2.5 * 16, 1.25 * 16, 16, 16 * 2.718281828**2, 0.9, 0.8])


def test_half_outputs_are_decoded_in_float32() -> None:
    # Column 79 of a map with cells of 8 pixels: float16 has steps of half a pixel there.
    outputs = torch.zeros(1, 80, 6, dtype=torch.float16)
    outputs[0, 79, 0] = 0.03125
    decoded = decode_outputs(outputs, [(1, 80)], [8])
    assert decoded.dtype == torch.float32
    assert decoded[0, 79, 0].item() == 79.03125 * 8
