"""Attention modules: (B, C, H, W) -> the same shape. They need torch only and know nothing of YOLOX."""

from yolox_gssam.attention.bam import BAM
from yolox_gssam.attention.cbam import CBAM
from yolox_gssam.attention.contrast import global_contrast
from yolox_gssam.attention.conv import ConvAttention
from yolox_gssam.attention.coordinate import CoordinateAttention
from yolox_gssam.attention.efficient_multi_scale import EfficientMultiScaleAttention
from yolox_gssam.attention.gam import GAM
from yolox_gssam.attention.gssam import GSSAM
from yolox_gssam.attention.non_local import NonLocal
from yolox_gssam.attention.registry import attention_names, build_attention, register_attention
from yolox_gssam.attention.se import SE

__all__ = [
    "BAM",
    "CBAM",
    "GAM",
    "GSSAM",
    "SE",
    "ConvAttention",
    "CoordinateAttention",
    "EfficientMultiScaleAttention",
    "NonLocal",
    "attention_names",
    "build_attention",
    "global_contrast",
    "register_attention",
]
