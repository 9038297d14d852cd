"""YOLOX with attention in its backbone: stock parts, put together here.

The neck, the head and the losses are YOLOX's own (Ge et al. 2021, arXiv 2107.08430). Without attention the result is
the stock network, weights and outputs alike; with attention or a fourth level (neck.py) the stock weights of one seed
stay the same, since what is new is built last.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from yolox.models import YOLOPAFPN, YOLOX

from yolox_gssam.attention import build_attention
from yolox_gssam.attention.options import options_of_place
from yolox_gssam.models.backbone import STAGES, AttentionCSPDarknet, stage_channels
from yolox_gssam.models.head import DroneHead
from yolox_gssam.models.neck import FINE_STRIDES, STRIDES, FinePAFPN
from yolox_gssam.models.operations import teach_thop

# yolox 0.3.0 names autocast as torch once did; its user can do nothing about it.
warnings.filterwarnings("ignore", message=r"`torch\.cuda\.amp\.autocast", category=FutureWarning)

teach_thop()  # YOLOX itself counts operations by it

# Channels of dark3, dark4 and dark5 at width 1.0.
IN_CHANNELS = (256, 512, 1024)


def build_yolox(
    num_classes: int,
    depth: float,
    width: float,
    *,
    act: str = "silu",
    depthwise: bool = False,
    strides: tuple[int, ...] = STRIDES,
) -> YOLOX:
    """A YOLOX with fresh weights, in training mode: the stock one, unless a level at stride 4 is asked for.

    depth and width are YOLOX's multiples: nano 0.33, 0.25 with `depthwise`; tiny 0.33, 0.375; s 0.33, 0.5;
    m 0.67, 0.75; l 1, 1; x 1.33, 1.25.

    Raises:
        ValueError: `strides` are neither (8, 16, 32) nor (4, 8, 16, 32).
    """
    if strides not in (STRIDES, FINE_STRIDES):
        raise ValueError(f"strides must be {STRIDES} or {FINE_STRIDES}, not {strides!r}")
    neck: nn.Module = YOLOPAFPN(depth, width, in_channels=IN_CHANNELS, act=act, depthwise=depthwise)
    # The head's new branch and the neck's new parts after all that is stock.
    levels = STRIDES if strides == STRIDES else (*STRIDES, 4)
    channels = (*IN_CHANNELS, 128)[: len(levels)]
    head = DroneHead(num_classes, width, strides=list(levels), in_channels=channels, act=act, depthwise=depthwise)
    if strides == FINE_STRIDES:
        neck = FinePAFPN(neck, depth, width, act, depthwise)
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
        attention[stage] = build_stage_attention(name, channels[index], options, stage)
    model.backbone.backbone = AttentionCSPDarknet(darknet, attention, position)
    return model


def build_stage_attention(name: str, channels: int, options: Mapping[str, Any], stage: str) -> nn.Module:
    """The attention of one stage of the backbone, with YOLOX's BatchNorm settings.

    Args:
        channels: that leave the stage.
        name, options: as `add_attention` takes them.

    Raises:
        UserError: as `add_attention`.
    """
    return build_attention(name, channels, **options_of_place(options, STAGES.index(stage), STAGES)).apply(
        _set_batch_norm
    )


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
