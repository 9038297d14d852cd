"""The six networks of the GSSAM paper's Table 1, plain or with attention at five points.

Lu et al. 2024, doi 10.3788/LOP231933, section 3.1. What the paper does not print follows from its table of parameters
and multiply-adds; docs/classification.md says what is known and what is our choice.

ResNet50, 101, 152 (He et al. 2016, arXiv 1512.03385) and VGG19 with BatchNorm (Simonyan, Zisserman 2015, arXiv
1409.1556) are torchvision's own. DarkNet53 is that of Redmon and Farhadi ("YOLOv3: An Incremental Improvement", 2018,
arXiv 1804.02767, Table 1), with a bias beside every BatchNorm: so many parameters the paper counts. Its "ResNet34" is
not the usual one: basic blocks of other widths and numbers, and the first block of every stage has a 1x1 convolution on
its shortcut; the stem is the usual one.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from yolox_gssam.attention import build_attention
from yolox_gssam.attention.options import options_of_place
from yolox_gssam.common.checkpoint import load_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable

POINTS = ("point1", "point2", "point3", "point4", "point5")
"""Where attention stands: after the stem or first stage, then after each further stage; each at half the size of the
one before, but for ResNets, whose first two are of one size."""

_PLAIN = (64, 256, 512, 1024, 2048)
_CHANNELS = {
    "resnet34": (64, 128, 256, 256, 512),
    "resnet50": _PLAIN,
    "resnet101": _PLAIN,
    "resnet152": _PLAIN,
    "darknet53": (64, 128, 256, 512, 1024),
    "vgg19": (64, 128, 256, 512, 512),
}
NETWORKS = tuple(_CHANNELS)
# Width and residual blocks of the five stages, each of which begins by halving the map.
_DARKNET53 = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
# Width, blocks and stride of the four stages.
_RESNET34 = ((128, 4, 1), (256, 4, 2), (256, 6, 2), (512, 3, 2))

# Of GSSAM at the five points: sides of the blocks, and single-channel 3x3 convolutions, which together are as many as
# Table 1 shows. Our choice is how they are shared out.
_POOL_SIZES = {"darknet53": (8, 4, 4, 2, 1)}
_USUAL_POOL_SIZES = (8, 8, 4, 2, 1)
_NUM_CONVS = {
    "darknet53": (3, 1, 1, 0, 0),
    "resnet34": (3, 3, 1, 0, 0),
    "vgg19": (3, 3, 1, 0, 0),
    "resnet50": (4, 4, 2, 1, 0),
    "resnet152": (4, 4, 2, 1, 0),
    "resnet101": (5, 5, 3, 2, 0),
}

Parts = tuple[list[nn.Module], nn.Module]


class Classifier(nn.Module):
    """Five stages, each followed by its attention, then the head: (B, 3, H, W) -> (B, num_classes) logits.

    Images are float, RGB, normalised by the mean and deviation of ImageNet, of any size from 32 x 32. Without attention
    its modules are nn.Identity.
    """

    def __init__(self, stages: list[nn.Module], attention: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.attention = nn.ModuleList(attention)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        for stage, attention in zip(self.stages, self.attention, strict=True):
            x = attention(stage(x))
        return cast(Tensor, self.head(x))


def build_classifier(
    network: str,
    attention: str,
    num_classes: int,
    *,
    attention_options: Mapping[str, Any] | None = None,
    pretrained: bool = False,
) -> Classifier:
    """A network with fresh weights, in training mode.

    The attention is drawn last: one seed gives a network the same other weights whatever its attention is.

    Args:
        network: one of `NETWORKS`.
        attention: "none" or a registered one, see `yolox_gssam.attention.attention_names`.
        attention_options: keyword arguments of the attention; a tuple of five holds one value a point. None: those of
            `default_options`.
        pretrained: take torchvision's ImageNet weights, all but those of the last layer.

    Raises:
        UserError: an unknown network or attention, bad options, or no pretrained weights to be had.
    """
    if network not in NETWORKS:
        raise UserError(f"unknown network {network!r}; known: {', '.join(NETWORKS)}")
    if num_classes < 2:
        raise UserError(f"a classifier needs at least 2 classes, not {num_classes}")
    stages, head = _parts(network, num_classes, pretrained)
    if attention == "none":
        return Classifier(stages, [nn.Identity() for _ in POINTS], head)
    options = default_options(network, attention) if attention_options is None else attention_options
    modules = [
        build_attention(attention, channels, **options_of_place(options, index, POINTS))
        for index, channels in enumerate(_CHANNELS[network])
    ]
    return Classifier(stages, modules, head)


def default_options(network: str, attention: str) -> dict[str, Any]:
    """The attention's options in this network: Table 1's for GSSAM; otherwise none, the module's own."""
    if attention != "gssam":
        return {}
    return {
        "pool_size": _POOL_SIZES.get(network, _USUAL_POOL_SIZES),
        "num_convs": _NUM_CONVS[network],
        "norm": "standardize",
        "embedding": "dual",
    }


def load_classifier(path: str | Path, device: torch.device) -> tuple[Classifier, dict[str, Any]]:
    """The network of a checkpoint, on `device` and in evaluation mode, and what the checkpoint says of it.

    Returns also a dict with "network", "attention", "attention_options", "class_names" in label order and "image_size",
    the side in pixels that it was trained with.

    Raises:
        UserError: no such file, or not a checkpoint of a classifier of this project.
    """
    state = load_checkpoint(path)
    info = state.get("classifier")
    try:
        if not isinstance(info, dict):
            raise KeyError("classifier")
        count, options = len(info["class_names"]), info["attention_options"]
        model = build_classifier(info["network"], info["attention"], count, attention_options=options)
        model.load_state_dict(state["model"])
        int(info["image_size"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{printable(path)}: not a checkpoint of a classifier ({type(error).__name__}: {reason}); those of "
            f"tools/classify.py are"
        ) from error
    return model.to(device).to(memory_format=torch.channels_last).eval(), info


def _parts(network: str, num_classes: int, pretrained: bool) -> Parts:
    """The five stages and the head."""
    if network in ("resnet34", "darknet53"):
        if pretrained:
            usual = ", ".join(name for name in NETWORKS if name not in ("resnet34", "darknet53"))
            raise UserError(f"{network}: not torchvision's, so there are no pretrained weights; take one of {usual}")
        return _resnet_parts(_paper_resnet34(num_classes)) if network == "resnet34" else _darknet53_parts(num_classes)
    if network == "vgg19":
        vgg: Any = _torchvision_model(torchvision.models.vgg19_bn, num_classes, pretrained)
        return _vgg_stages(vgg.features), nn.Sequential(vgg.avgpool, nn.Flatten(), *vgg.classifier)
    builder = getattr(torchvision.models, network)
    return _resnet_parts(_torchvision_model(builder, num_classes, pretrained))


def _torchvision_model(builder: Callable[..., nn.Module], num_classes: int, pretrained: bool) -> nn.Module:
    """torchvision's network with `num_classes` outputs; its pretrained weights know 1,000."""
    fresh = builder(num_classes=num_classes)
    if not pretrained:
        return fresh
    weights: Any = torchvision.models.get_model_weights(builder).DEFAULT
    try:
        own = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # RuntimeError: the file is damaged
        raise UserError(
            f"{weights.url}: the pretrained weights cannot be had: {error}; put the file into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or train without --pretrained"
        ) from error
    shapes = {name: value.shape for name, value in fresh.state_dict().items()}
    # All but the last layer, whose shape is that of 1,000 classes.
    fresh.load_state_dict({name: value for name, value in own.items() if value.shape == shapes[name]}, strict=False)
    return fresh


def _resnet_parts(model: Any) -> Parts:
    """A ResNet cut after its stem with the max pooling, and after each of its four stages."""
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    head = nn.Sequential(model.avgpool, nn.Flatten(), model.fc)
    return [stem, model.layer1, model.layer2, model.layer3, model.layer4], head


def _vgg_stages(features: nn.Sequential) -> list[nn.Module]:
    """VGG's convolutions cut after each of the five poolings."""
    ends = [place for place, layer in enumerate(features, 1) if isinstance(layer, nn.MaxPool2d)]
    return [nn.Sequential(*features[start:end]) for start, end in pairwise([0, *ends])]


def _paper_resnet34(num_classes: int) -> nn.Module:
    model = ResNet(BasicBlock, [blocks for _, blocks, _ in _RESNET34], num_classes=num_classes)
    inputs = 64
    for number, (width, blocks, stride) in enumerate(_RESNET34, 1):
        shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        first = BasicBlock(inputs, width, stride, shortcut)
        stage = nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))
        for module in stage.modules():
            if isinstance(module, nn.Conv2d):  # as torchvision's ResNet does
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        setattr(model, f"layer{number}", stage)
        inputs = width
    return model


def _darknet53_parts(num_classes: int) -> Parts:
    stages: list[nn.Module] = []
    before, first = 32, [_convolution(3, 32, 3)]
    for width, blocks in _DARKNET53:
        residuals = [_Residual(width) for _ in range(blocks)]
        stages.append(nn.Sequential(*first, _convolution(before, width, 3, stride=2), *residuals))
        before, first = width, []
    return stages, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_convolution(channels, channels // 2, 1), _convolution(channels // 2, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2)
    nn.init.kaiming_normal_(convolution.weight, a=0.1, mode="fan_out", nonlinearity="leaky_relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1, inplace=True))
