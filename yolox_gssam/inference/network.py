"""A network that is ready to run, and the one place where a `Predictor` is put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.letterbox import STRIDE
from yolox_gssam.inference.backends import Backend, open_exported
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.inference.tiles import parse_tiling


@dataclass(frozen=True)
class Network:
    """A trained network and what runs it.

    Attributes:
        class_names, input_size, dynamic_size, exp: as in `ModelInfo`.
        precision: "float32", "float16", "16 bit" or "int8".
        model: the network in torch; None for an exported file.
    """

    backend: Backend
    class_names: tuple[str, ...]
    input_size: tuple[int, int]
    dynamic_size: bool = True
    precision: str = "float32"
    exp: Mapping[str, Any] = field(default_factory=dict)
    model: Any = None

    def at_size(self, size_hw: tuple[int, int], path: Path) -> "Network":
        """The same for inputs of this height and width; `path`, its file, stands in the message.

        Raises:
            UserError: an input size that it does not take.
        """
        if any(side <= 0 or side % STRIDE for side in size_hw):
            raise UserError(f"test_size must be two multiples of {STRIDE} such as (416, 416), not {size_hw}")
        smaller = self.dynamic_size and size_hw[0] <= self.input_size[0] and size_hw[1] <= self.input_size[1]
        if size_hw != self.input_size and not smaller:
            largest = f"{'up to ' * self.dynamic_size}{self.input_size[0]} x {self.input_size[1]}"
            raise UserError(
                f"{path}: was exported for {len(self.class_names)} classes and inputs of {largest} pixels (height x "
                "width); export it anew with tools/export.py"
            )
        return replace(self, input_size=size_hw)

    def predictor(
        self,
        score_threshold: float,
        nms_threshold: float,
        *,
        class_agnostic: bool = False,
        votes: bool = True,
        tight: bool = False,
        tiles: str = "off",
    ) -> Predictor:
        """From images to boxes, see `Predictor`; `tiles` as `parse_tiling` reads it."""
        return Predictor(
            self.backend,
            self.class_names,
            self.input_size,
            score_threshold,
            nms_threshold,
            class_agnostic=class_agnostic,
            votes=votes,
            tight=tight,
            tiling=parse_tiling(tiles, self.input_size),
        )


def open_network(path: Path, device: str | None = None, backend: str | None = None, streams: int = 1) -> Network:
    """The network in a file that tools/export.py wrote, see `open_exported`; only TorchScript needs torch."""
    opened, info = open_exported(path, device, backend, streams)
    exp = {"output_dir": "runs", "exp_name": path.stem, **info.exp}
    return Network(opened, info.class_names, info.input_size, info.dynamic_size, info.precision, exp)
