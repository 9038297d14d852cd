"""Attention modules: (B, C, H, W) -> the same shape. They need torch only and know nothing of YOLOX."""

from yolox_gssam.attention.cbam import CBAM
from yolox_gssam.attention.contrast import global_contrast
from yolox_gssam.attention.conv import ConvAttention
from yolox_gssam.attention.gssam import GSSAM
from yolox_gssam.attention.registry import attention_names, build_attention, register_attention

__all__ = [
    "CBAM",
    "GSSAM",
    "ConvAttention",
    "attention_names",
    "build_attention",
    "global_contrast",
    "register_attention",
]
