"""A bank of cut-out objects in one compressed file."""

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.text import printable

SHIPPED = "shipped"
"""The name of the bank that comes along, in place of a path."""
MOST_SIDE = 64
"""Longest side of a cut-out in pixels; larger ones are shrunk when they are added."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """One object.

    Attributes:
        pixels: (h, w, 4) uint8 BGRA, alpha not multiplied in.
        kind: what it shows: a class name such as "drone", or another word such as "kite".
        source: where it comes from, a key of the bank's `sources`.
    """

    pixels: NDArray[np.uint8]
    kind: str
    source: str


class CutoutBank:
    """Cut-outs by kind.

    Args:
        cutouts: at least one.
        sources: of each source: its licence and address, as one line.

    Raises:
        UserError: no cut-outs, or one of an unknown source.
    """

    def __init__(self, cutouts: Iterable[Cutout], sources: Mapping[str, str]) -> None:
        self.cutouts = list(cutouts)
        self.sources = dict(sources)
        if not self.cutouts:
            raise UserError("a bank of cut-outs needs at least one")
        unknown = sorted({cutout.source for cutout in self.cutouts} - self.sources.keys())
        if unknown:
            raise UserError(f"cut-outs of {', '.join(unknown)}, whose licence the bank does not state")
        by_source: dict[str, dict[str, list[Cutout]]] = {}
        for cutout in self.cutouts:
            by_source.setdefault(cutout.kind, {}).setdefault(cutout.source, []).append(cutout)
        # Put in order once: an object is drawn for every pasted one of a training.
        self._by_kind = {
            kind: [of_kind[source] for source in sorted(of_kind)] for kind, of_kind in sorted(by_source.items())
        }

    @property
    def kinds(self) -> dict[str, int]:
        """How many cut-outs there are of each kind, by name."""
        return {kind: sum(map(len, sources)) for kind, sources in self._by_kind.items()}

    def draw(self, kind: str, rng: Generator) -> Cutout:
        """A cut-out of a kind, each source as likely as the other and each of its cut-outs, too."""
        sources = self._by_kind[kind]
        of_source = sources[rng.integers(len(sources))]
        return of_source[rng.integers(len(of_source))]

    def without(self, sources: Collection[str]) -> "CutoutBank | None":
        """The bank less what comes from these sources; None where nothing is left."""
        cutouts = [cutout for cutout in self.cutouts if cutout.source not in sources]
        stated = {name: licence for name, licence in self.sources.items() if name not in sources}
        return CutoutBank(cutouts, stated) if cutouts else None

    def save(self, path: Path) -> None:
        """Writes the bank; the file is whole or not there."""
        sizes = np.array([cutout.pixels.shape[:2] for cutout in self.cutouts], np.uint8)
        # Planes one after the other: alpha and colours compress better apart.
        planes = np.concatenate([cutout.pixels.transpose(2, 0, 1).ravel() for cutout in self.cutouts])
        labels = json.dumps([[cutout.kind, cutout.source] for cutout in self.cutouts])
        with atomic_path(path) as part, part.open("wb") as stream:
            np.savez_compressed(
                stream,
                sizes_hw=sizes,
                planes=planes,
                labels=np.array(labels),
                sources=np.array(json.dumps(self.sources)),
            )

    @classmethod
    def load(cls, path: Path) -> "CutoutBank":
        """Reads a bank that `save` wrote, or the one that comes along, whose name is `SHIPPED`.

        Raises:
            UserError: there is none, or it is damaged.
        """
        if str(path) == SHIPPED:
            path = Path(__file__).with_name("shipped.npz")
        if not path.is_file():
            raise UserError(
                f"{printable(path)}: no such bank of cut-outs; make one with tools/prepare_dataset.py cutouts"
            )
        try:
            with np.load(path, allow_pickle=False) as archive:
                sizes, planes = archive["sizes_hw"].astype(int), archive["planes"]
                labels, sources = json.loads(str(archive["labels"])), json.loads(str(archive["sources"]))
            ends = np.cumsum(4 * sizes.prod(axis=1)).tolist()
            parts = np.split(planes, ends[:-1])
            cutouts = [
                Cutout(part.reshape(4, *size).transpose(1, 2, 0), kind, source)
                for part, size, (kind, source) in zip(parts, sizes.tolist(), labels, strict=True)
            ]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
            raise UserError(f"{printable(path)}: not a bank of cut-outs, or damaged; make it anew") from error
        return cls(cutouts, sources)
