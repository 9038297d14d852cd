"""YOLOX with attention between the stages of its backbone."""

from yolox_gssam.common.errors import require_yolox

require_yolox()

from yolox_gssam.models.backbone import STAGES, AttentionCSPDarknet, stage_channels  # noqa: E402
from yolox_gssam.models.neck import FINE_STRIDES, STRIDES, level_layers  # noqa: E402
from yolox_gssam.models.yolox import add_attention, attention_maps, build_stage_attention, build_yolox  # noqa: E402

__all__ = [
    "FINE_STRIDES",
    "STAGES",
    "STRIDES",
    "AttentionCSPDarknet",
    "add_attention",
    "attention_maps",
    "build_stage_attention",
    "build_yolox",
    "level_layers",
    "stage_channels",
]
