"""What must be known about a network to use it; stored in exported files, so that these need nothing beside them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.letterbox import PAD_VALUE, STRIDE
from yolox_gssam.common.version import __version__

KEY = "yolox_gssam"
"""Under this name the text stands in a file's own metadata."""
PRECISIONS = ("float32", "float16", "int8")
CANDIDATES, UNDECODED = "candidates", "yolox"
LAYOUTS = {
    CANDIDATES: {
        "channels": "BGR, uint8, NHWC",
        "columns": ("image", "centre_x", "centre_y", "width", "height", "objectness", "then one probability a class"),
    },
    UNDECODED: {
        "channels": "BGR, float32 from 0 to 255, NCHW",
        "columns": (
            *("centre_x and centre_y from the cell, in strides", "log of width and height, in strides"),
            *("objectness", "then one probability a class"),
        ),
    },
}
"""What goes in and comes out: what the tools here take, and what YOLOX's own exporter writes."""


@dataclass(frozen=True)
class ModelInfo:
    """What a network takes and gives.

    Attributes:
        class_names: in the order of its classes.
        input_size: height and width in pixels, multiples of 32; where `dynamic_size`, the largest.
        dynamic_size: whether it takes smaller inputs too, each side a multiple of 32.
        precision: of `PRECISIONS`, that of weights and most sums.
        exp: name and fields of the experiment it comes from.
        checkpoint_sha256: of the file with its weights; "" where there is none.
        layout: of `LAYOUTS`.
    """

    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    dynamic_size: bool = False
    precision: str = "float32"
    exp: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_sha256: str = ""
    layout: str = CANDIDATES

    def to_text(self) -> str:
        """As JSON, with what a reader of the file needs who does not have this package."""
        layout = LAYOUTS[self.layout]
        rule = {"pad_value": PAD_VALUE, "image_at": "top left", "multiple_of": STRIDE, "channels": layout["channels"]}
        return json.dumps({**asdict(self), "letterbox": rule, "columns": layout["columns"], "version": __version__})

    @classmethod
    def from_text(cls, text: str | None, path: object) -> "ModelInfo":
        """Reads what `to_text` wrote; `path` stands in the message.

        Raises:
            UserError: no such text, or one that cannot be right.
        """
        try:
            told = json.loads(text or "")
            info = cls(
                class_names=tuple(map(str, told["class_names"])),
                input_size=(int(told["input_size"][0]), int(told["input_size"][1])),
                dynamic_size=bool(told["dynamic_size"]),
                precision=str(told["precision"]),
                exp=dict(told["exp"]),
                checkpoint_sha256=str(told["checkpoint_sha256"]),
                layout=str(told.get("layout", CANDIDATES)),
            )
            right = info.class_names and all(side > 0 and side % STRIDE == 0 for side in info.input_size)
        except (ValueError, KeyError, TypeError, IndexError):
            right = False
        if not right or info.precision not in PRECISIONS or info.layout not in LAYOUTS:
            raise UserError(f"{path}: does not say what it is; export it with tools/export.py")
        return info
