"""Synthetic pictures of small flying objects: silhouettes, backgrounds, camera; as a data set or as a clip."""

from yolox_gssam.data.synthetic.drawn_clips import render_clip, write_clip
from yolox_gssam.data.synthetic.scenes import SYNTHETIC_CLASSES, render_scene, synthetic_records

__all__ = ["SYNTHETIC_CLASSES", "render_clip", "render_scene", "synthetic_records", "write_clip"]
