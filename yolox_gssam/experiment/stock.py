"""Exp files of YOLOX itself, run here as they are."""

from typing import Any, cast

from loguru import logger
from yolox.exp import Exp

from yolox_gssam.errors import UserError
from yolox_gssam.experiment.base import DroneExp
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
