"""Experiments: what exp files are made of."""

from yolox_gssam.experiment.base import CONV_STAGES, GSSAM_STAGES, DroneExp
from yolox_gssam.experiment.loading import load_exp, load_trained

__all__ = ["CONV_STAGES", "GSSAM_STAGES", "DroneExp", "load_exp", "load_trained"]
