"""Grad-CAM by the package grad-cam (https://github.com/jacobgil/pytorch-grad-cam).

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
arXiv 1610.02391.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from yolox_gssam.common.errors import UserError


def grad_cam(
    model: nn.Module, layer: nn.Module, image: Tensor, target: Callable[[Tensor], Tensor]
) -> NDArray[np.float32]:
    """Where a layer's features speak for a number that the network gives out.

    Returns (H, W) in [0, 1], 0 at its smallest value and 1 at its largest; all 0 where nothing speaks for it.

    Args:
        model: put into evaluation mode; its gradients are cleared.
        layer: a part of `model` that gives (1, C, h, w).
        image: (1, 3, H, W) as the network takes it.
        target: from the network's output for this one image to the number.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from pytorch_grad_cam import GradCAM  # takes seconds, and is an extra
    except ImportError as error:
        raise UserError(f"Grad-CAM needs a package: pip install 'yolox-gssam[pictures]' ({error})") from error
    cam = GradCAM(model=model, target_layers=[layer])
    try:
        return np.asarray(cam(input_tensor=image, targets=[target])[0], np.float32)
    finally:
        cam.activations_and_grads.release()
        model.zero_grad(set_to_none=True)
