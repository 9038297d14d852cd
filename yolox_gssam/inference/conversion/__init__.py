"""From a network in torch to what runs or stores it: needs torch, yolox and the package of the format."""

import torch
from yolox.models import YOLOX

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.backends import Backend, why_unavailable
from yolox_gssam.inference.backends.onnx_runtime import OnnxRuntimeBackend
from yolox_gssam.inference.backends.openvino_runtime import OpenVinoBackend
from yolox_gssam.inference.backends.pytorch import CompiledBackend, TorchBackend
from yolox_gssam.inference.conversion import to_onnx, to_openvino


def build_backend(
    name: str,
    model: YOLOX,
    largest_hw: tuple[int, int],
    device: torch.device,
    half: bool = False,
    streams: int = 1,
) -> Backend:
    """A backend for a network in memory; what has to be converted or compiled for it takes seconds to minutes.

    Args:
        name: of `yolox_gssam.inference.backends.BACKENDS`.
        largest_hw: height and width of the largest input, multiples of 32.
        half: 16 bit weights and activations.
        streams: images at a time, where the backend can share its threads among them.

    Raises:
        UserError: it is not installed, or cannot do this.
    """
    reason = why_unavailable(name, str(device), half)
    if reason is not None:
        raise UserError(reason)
    if name == "openvino":
        return OpenVinoBackend(to_openvino.convert(model, largest_hw), streams=streams)
    if name == "onnxruntime":
        network = to_onnx.convert(model, largest_hw, half)
        return OnnxRuntimeBackend(network, str(device), "float16" if half else "float32")
    return (CompiledBackend if name == "compile" else TorchBackend)(model, device, half)
