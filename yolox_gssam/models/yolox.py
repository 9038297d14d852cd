"""YOLOX with attention in its backbone: stock parts, put together here.

The neck, the head and the losses are YOLOX's own (Ge et al. 2021, arXiv 2107.08430). Without attention the result is
the stock network, weights and outputs alike; with attention the stock weights of one seed stay the same, since the
attention is built last.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from yolox.models import YOLOPAFPN, YOLOX

from yolox_gssam.attention import build_attention
from yolox_gssam.attention.places import options_of_place
from yolox_gssam.models.backbone import STAGES, AttentionCSPDarknet, stage_channels
from yolox_gssam.models.head import DroneHead
from yolox_gssam.operations import teach_thop

# yolox 0.3.0 names autocast as torch once did; its user can do nothing about it.
warnings.filterwarnings("ignore", message=r"`torch\.cuda\.amp\.autocast", category=FutureWarning)

teach_thop()  # YOLOX itself counts operations by it

# Channels of dark3, dark4 and dark5 at width 1.0.
IN_CHANNELS = (256, 512, 1024)


def build_yolox(num_classes: int, depth: float, width: float, *, act: str = "silu", depthwise: bool = False) -> YOLOX:
    """A stock YOLOX with fresh weights, in training mode.

    depth and width are YOLOX's multiples: nano 0.33, 0.25 with `depthwise`; tiny 0.33, 0.375; s 0.33, 0.5;
    m 0.67, 0.75; l 1, 1; x 1.33, 1.25.
    """
    neck = YOLOPAFPN(depth, width, in_channels=IN_CHANNELS, act=act, depthwise=depthwise)
    head = DroneHead(num_classes, width, in_channels=IN_CHANNELS, act=act, depthwise=depthwise)
    model = YOLOX(neck, head)
    model.apply(_set_batch_norm)
    model.head.initialize_biases(1e-2)
    return model.train()


def add_attention(model: YOLOX, name: str, position: int, options: Mapping[str, Any]) -> YOLOX:
    """Puts the attention `name` after the backbone's five stages (four at position 2) and returns `model`.

    Args:
        model: a stock YOLOX, as `build_yolox` makes it.
        name: a registered attention, see `yolox_gssam.attention.attention_names`.
        position: 1 or 2, see `yolox_gssam.models.backbone`.
        options: keyword arguments of the attention; a tuple of five holds one value a stage.

    Raises:
        UserError: an unknown name, an option that the attention lacks, or a tuple that does not hold five values.
    """
    darknet = model.backbone.backbone
    # Focus, which YOLOX begins with, ends in one BaseConv: its width is the network's.
    channels = stage_channels(darknet.stem.conv.conv.out_channels / 64)
    stages = STAGES if position == 1 else STAGES[:-1]
    attention = nn.ModuleDict()
    for index, stage in enumerate(stages):
        attention[stage] = build_attention(name, channels[index], **options_of_place(options, index, STAGES))
    attention.apply(_set_batch_norm)
    model.backbone.backbone = AttentionCSPDarknet(darknet, attention, position)
    return model


def attention_maps(model: YOLOX, images: Tensor) -> dict[str, Tensor]:
    """The spatial maps of the attention at each stage, for images (B, 3, H, W) as the network takes them.

    Returns stage name -> (B, 1, H/s, W/s) in [0, 1], s = 2, 4, 8, 16, 32 from stem to dark5. Empty for a stock
    network; stages whose attention has no `attention_map` are left out.
    """
    maps: dict[str, Tensor] = {}

    def keep_map(stage: str) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
            maps[stage] = module.attention_map(inputs[0])

        return hook

    modules = getattr(model.backbone.backbone, "attention", {})
    hooks = [
        module.register_forward_pre_hook(keep_map(stage))
        for stage, module in modules.items()
        if hasattr(module, "attention_map")
    ]
    try:
        with torch.inference_mode():
            model.backbone.backbone(images.to(next(model.parameters()).device))
    finally:
        for handle in hooks:
            handle.remove()
    return maps


def _set_batch_norm(module: nn.Module) -> None:
    """YOLOX's BatchNorm settings (its exp files' `init_yolo`)."""
    if isinstance(module, nn.BatchNorm2d):
        module.eps = 1e-3
        module.momentum = 0.03
