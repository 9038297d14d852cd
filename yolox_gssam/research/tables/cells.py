"""Cells of a cross-validated table: one network trained and tested on one fold with one seed.

A cell's file holds all that a report needs, its detections among them, and is there or not: what is interrupted is done
again. Files from several machines make one table.
"""

import hashlib
import json
import shutil
import time
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.device import describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path, from_here
from yolox_gssam.data.coco import CocoSplit, read_json
from yolox_gssam.detections import Detections
from yolox_gssam.engine.trainer import Trainer
from yolox_gssam.evaluation.prediction import predict_split
from yolox_gssam.evaluation.provenance import core_count, cpu_name, package_version
from yolox_gssam.experiment import DroneExp, load_exp
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.predictor import Predictor

PARTS = ("val", "test")
"""The parts whose detections are kept: thresholds are chosen on the one and reported on the other."""
PIXEL_STEPS, SCORE_STEPS = 32, 65535
"""Boxes are kept to a thirty-second of a pixel, scores to 1 / 65535."""
DETECTION_BATCH = 16
STUDY = "study.json"
"""Of a folder of cells: what they share."""


@dataclass(frozen=True)
class Study:
    """What all cells of a table share.

    Attributes:
        exps: name of each row -> its exp file.
        row_fields: name of each row -> fields of its own, (name, value, ...).
        fields: of all rows, the data set among them.
        batch_size: images per step.
        checkpoint: weights to start from; None for fresh ones.
        flags: of tools/train.py by name: cache, cuda_graph, fp16, bf16, clip_grad_norm.
        keep_weights: rows whose networks of the first seed are kept, in half precision.
    """

    exps: Mapping[str, str]
    row_fields: Mapping[str, Sequence[str]]
    fields: Sequence[str]
    batch_size: int
    checkpoint: str | None
    flags: Mapping[str, Any] = field(default_factory=dict)
    keep_weights: Sequence[str] = ()

    def experiment(self, cell: "Cell", output_dir: Path) -> DroneExp:
        """The experiment of a cell."""
        options = [*self.fields, *self.row_fields.get(cell.row, ()), "fold", str(cell.fold)]
        exp = load_exp(self.exps[cell.row], [*options, "output_dir", str(output_dir)])
        exp.seed = cell.seed
        return exp

    def write(self, path: Path) -> None:
        with atomic_path(path) as part:
            part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Study":
        """The study in a file that `write` made.

        Raises:
            UserError: no such file, or another one.
        """
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: not the description of a table's cells ({error})") from error


@dataclass(frozen=True, order=True)
class Cell:
    """One network on one fold with one seed."""

    seed: int
    fold: int
    row: str

    @property
    def name(self) -> str:
        return f"{self.row}_fold{self.fold}_seed{self.seed}"

    def path(self, folder: Path) -> Path:
        """Its file among the cells of a table."""
        return folder / f"{self.name}.npz"


def plan_cells(rows: Sequence[str], folds: int, seeds: Sequence[int]) -> list[Cell]:
    """All cells, so that a table that is stopped early has whole pairs: seed after seed, fold after fold, row after
    row."""
    return [Cell(seed, fold, row) for seed in seeds for fold in range(folds) for row in rows]


def run_cell(cell: Cell, study: Study, folder: Path, device: torch.device) -> dict[str, Any]:
    """Trains and tests a cell, writes its file and returns what it says of itself.

    An interrupted training goes on where it was saved last.

    Raises:
        UserError: data, exp file or weights are wrong, or the loss is not finite.
    """
    start = time.perf_counter()
    work = folder / "work"
    exp = study.experiment(cell, work)
    resume = (work / cell.name / "latest_ckpt.pth").exists()
    args = Namespace(
        experiment_name=cell.name, batch_size=study.batch_size, device=str(device), start_epoch=None,
        ckpt=None if resume else study.checkpoint, resume=resume, force=False,
        **{"cache": None, "fp16": False, "bf16": False, "cuda_graph": False, "clip_grad_norm": None, **study.flags},
    )  # fmt: skip
    trainer = exp.get_trainer(args)
    trainer.train()
    trained = time.perf_counter()
    arrays: dict[str, NDArray[Any]] = {}
    hashes = {}
    for part in PARTS:
        split = exp.load_split(part)
        hashes[part] = annotations_digest(split.path)
        arrays |= {f"{part}_{name}": array for name, array in pack_detections(_detect(exp, trainer, split)).items()}
    description = {
        "row": cell.row,
        "fold": cell.fold,
        "seed": cell.seed,
        "fields": {name: from_here(v) if isinstance(v, str) else v for name, v in exp.fields().items()},
        "batch_size": study.batch_size,
        "flags": dict(study.flags),
        "start": None if study.checkpoint is None else Path(study.checkpoint).name,
        "annotations_sha256": hashes,
        "training_images": len(trainer.training_set),
        "training_seconds": round(trained - start, 2),
        "seconds": round(time.perf_counter() - start, 2),
        "history": [{k: None if v != v else v for k, v in row.items()} for row in trainer.history],
        "device": describe_device(device),
        "hardware": {"cpu": cpu_name(), "cores": core_count()},
        "versions": {name: package_version(name) for name in ("torch", "yolox", "numpy")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if cell.row in study.keep_weights and cell.seed == 0:
        _keep_weights(trainer, exp, folder / "networks" / f"{cell.name}.pth")
    save_cell(cell.path(folder), description, arrays)
    shutil.rmtree(work / cell.name, ignore_errors=True)
    return description


def annotations_digest(path: Path) -> str:
    """SHA-256 of what an annotation file says, however it is set: packed and unpacked sets have the same."""
    return hashlib.sha256(json.dumps(read_json(path), separators=(",", ":")).encode()).hexdigest()


def save_cell(path: Path, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a cell's file, whole or not at all."""
    text = np.frombuffer(json.dumps(description, allow_nan=False).encode(), np.uint8)
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, description=text, **arrays)


@dataclass(frozen=True, eq=False)
class DoneCell:
    """A cell's file as read back.

    Attributes:
        description: as `run_cell` returns it.
        detections: part -> image id -> what was found there; images without detections are left out.
    """

    cell: Cell
    description: Mapping[str, Any]
    detections: Mapping[str, Mapping[int, Detections]]


def load_cell(path: Path) -> DoneCell:
    """Reads a cell's file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
        description = json.loads(arrays["description"].tobytes())
        cell = Cell(description["seed"], description["fold"], description["row"])
        found = {part: unpack_detections(arrays, part) for part in PARTS if f"{part}_images" in arrays}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a cell of a table ({error!r:.100}); delete it and run again") from error
    return DoneCell(cell, description, found)


def pack_detections(detections: Mapping[int, Detections]) -> dict[str, NDArray[Any]]:
    """Detections of all images as four arrays: images (n,) ids, boxes (n, 4), scores (n,), labels (n,)."""
    ids = np.repeat(list(detections), [len(found) for found in detections.values()])
    parts = [d for d in detections.values() if len(d)] or [Detections.empty()]
    boxes = np.concatenate([d.boxes_xyxy for d in parts]).astype(np.float64)
    return {
        "images": ids.astype(np.int64),
        "boxes": np.rint(PIXEL_STEPS * boxes).astype(np.int32),
        "scores": np.rint(SCORE_STEPS * np.concatenate([d.scores for d in parts])).astype(np.uint16),
        "labels": np.concatenate([d.labels for d in parts]).astype(np.uint8),
    }


def unpack_detections(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[int, Detections]:
    """Image id -> its detections, from the arrays of `pack_detections` under `<part>_<name>`."""
    ids, boxes, scores, labels = (arrays[f"{part}_{name}"] for name in ("images", "boxes", "scores", "labels"))
    # Stable, so that the best score stays first.
    order = np.argsort(ids, kind="stable")
    unique, starts = np.unique(ids[order], return_index=True)
    return {
        int(image_id): Detections(
            boxes[chosen].astype(np.float32) / np.float32(PIXEL_STEPS),
            scores[chosen].astype(np.float32) / np.float32(SCORE_STEPS),
            labels[chosen].astype(np.int64),
        )
        for image_id, chosen in zip(unique, np.split(order, starts[1:]), strict=False)  # no part of no images
    }


def _detect(exp: DroneExp, trainer: Trainer, split: CocoSplit) -> dict[int, Detections]:
    model = trainer.trained_model
    backend = TorchBackend(model, trainer.device, False)
    predictor = Predictor(backend, split.classes, exp.test_size, exp.test_conf, exp.nmsthre)
    return predict_split(predictor, split, DETECTION_BATCH, exp.data_num_workers)


def _keep_weights(trainer: Trainer, exp: DroneExp, path: Path) -> None:
    """The network in half precision, but for BatchNorm's statistics, whose range float16 has not."""
    model = trainer.trained_model
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    weights |= {name: value.detach().half().cpu() for name, value in model.named_parameters()}
    fields = {**exp.fields(), "num_classes": exp.num_classes, "test_size": exp.test_size}
    save_checkpoint(path, {"model": weights, "class_names": list(exp.class_names), "exp": fields})
