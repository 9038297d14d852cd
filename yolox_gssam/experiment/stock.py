"""Exp files and checkpoints of YOLOX itself, taken here as they are."""

from collections.abc import Mapping
from typing import Any, cast

from loguru import logger
from torch import Tensor
from yolox.exp import Exp

from yolox_gssam.common.errors import UserError
from yolox_gssam.experiment.drone_exp import DroneExp
from yolox_gssam.experiment.overrides import PLAIN

RECIPE = (
    "an exp file has a class Exp that extends DroneExp (from yolox_gssam.experiment import DroneExp) or YOLOX's own Exp"
)


def adopt(stock: object) -> DroneExp:
    """A stock experiment as a `DroneExp`: every field as YOLOX would have it, the methods those of its file, then ours.

    The class is one of both, so that `super()` in the file's methods leads to ours. Of YOLOX's own values data_dir
    (None) and exp_name stay ours.

    Raises:
        UserError: it is no experiment of YOLOX, or none with a class of its own.
    """
    cls = type(stock)
    if not isinstance(stock, Exp) or cls is Exp:
        raise UserError(RECIPE)
    metaclass: Any = type(cls)
    exp = metaclass(cls.__name__, (cls, DroneExp), {"__module__": cls.__module__, "__doc__": cls.__doc__})()
    unset = {"data_dir": None, "exp_name": Exp().exp_name}
    for name, value in vars(stock).items():
        if isinstance(value, PLAIN) and not (name in unset and value == unset[name]):
            setattr(exp, name, value)
    logger.info(f"{exp.exp_name}: an exp file of YOLOX; the fields it leaves out have YOLOX's values")
    return cast(DroneExp, exp)


def count_classes(weights: Mapping[str, Tensor]) -> int | None:
    """Classes that a network of these weights tells apart; None where they are of no YOLOX."""
    predictions = weights.get("head.cls_preds.0.weight")
    return None if predictions is None else len(predictions)


def network_fields(weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The fields of the experiment whose network has these weights, one of YOLOX without attention; None for others.

    The activation does not stand in the weights: it is SiLU, as in each of YOLOX's. Nor does the input size, which
    YOLOX has at 416 x 416 for its two smallest and at 640 x 640 for the others.
    """
    stem, classes = weights.get("backbone.backbone.stem.conv.conv.weight"), count_classes(weights)
    if stem is None or classes is None or any(".attention." in name for name in weights):
        return None
    depth = len({name.split(".")[5] for name in weights if name.startswith("backbone.backbone.dark2.1.m.")})
    width = len(stem) / 64
    return {
        "depth": depth / 3,
        "width": width,
        "depthwise": "backbone.backbone.dark2.0.dconv.conv.weight" in weights,
        "num_classes": classes,
        "input_size": (416, 416) if width < 0.5 else (640, 640),
    }
