"""Experiments: what exp files are made of."""

from yolox_gssam.common.errors import require_yolox

require_yolox()

from yolox_gssam.experiment.drone_exp import CONV_STAGES, GSSAM_STAGES, DroneExp  # noqa: E402
from yolox_gssam.experiment.loading import load_exp, load_trained  # noqa: E402

__all__ = ["CONV_STAGES", "GSSAM_STAGES", "DroneExp", "load_exp", "load_trained"]
