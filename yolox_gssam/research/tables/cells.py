"""Cells of Tables 2 and 3: one network trained and tested on one split of the data with one seed.

A cell's file holds all that a report needs, its detections among them, and is there or not: what is interrupted is done
again. Files from several machines make one table.
"""

import hashlib
import json
import re
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from yolox_gssam.common.checkpoint import load_checkpoint, load_weights, save_detector
from yolox_gssam.common.device import describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path, from_here, write_json
from yolox_gssam.data.coco_reader import read_json
from yolox_gssam.detections import Detections
from yolox_gssam.engine.history import without_nan
from yolox_gssam.engine.run import BEST, is_resumable
from yolox_gssam.evaluation.prediction import predict_split
from yolox_gssam.evaluation.provenance import core_count, cpu_name, package_version
from yolox_gssam.experiment import DroneExp, load_exp
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.research.tables.pool import Task
from yolox_gssam.research.trainer_args import trainer_args

KEPT_SPLITS = ("val", "test")
"""The splits whose detections are kept: thresholds are chosen on the one and reported on the other."""
TRACK_FIELDS = ("track_id", "track_linked")
"""Of annotations: by tools/prepare_dataset.py, of films."""
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
        checkpoint: weights to start from; None for fresh ones.
        flags: of tools/train.py by name: cache, cuda_graph, fp16, bf16, clip_grad_norm.
        keep_weights: rows whose networks are kept, in half precision.
    """

    exps: Mapping[str, str]
    row_fields: Mapping[str, Sequence[str]]
    fields: Sequence[str]
    batch_size: int
    checkpoint: str | None
    flags: Mapping[str, Any] = field(default_factory=dict)
    keep_weights: Sequence[str] = ()

    def experiment(self, cell: "Cell", output_dir: Path) -> DroneExp:
        options = [*self.fields, *self.row_fields.get(cell.row, ())]
        options += [] if cell.fold is None else ["fold", str(cell.fold)]
        exp = load_exp(self.exps[cell.row], [*options, "output_dir", str(output_dir)])
        exp.seed = cell.seed
        return exp

    def keep(self, folder: Path) -> "Study":
        """Writes it into the folder of its cells, together with the rows that the folder has from before.

        Raises:
            UserError: the folder holds cells of other settings.
        """
        path = folder / STUDY
        study = self
        if path.exists():
            before = Study.read(path)
            for name in ("fields", "batch_size", "checkpoint", "flags"):
                then, now = getattr(before, name), getattr(self, name)
                if json.dumps(then) != json.dumps(now):  # which knows no tuples
                    raise UserError(
                        f"{path}: its cells have {name} {then!r}, not {now!r}; choose another --output-dir, or the "
                        f"same settings"
                    )
            study = replace(
                self, exps={**before.exps, **self.exps}, row_fields={**before.row_fields, **self.row_fields}
            )
        write_json(path, asdict(study))
        return study

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
    """One network on one fold with one seed; fold None: on the data set's own splits."""

    seed: int
    fold: int | None
    row: str

    @property
    def name(self) -> str:
        return f"{self.row}_seed{self.seed}" if self.fold is None else f"{self.row}_fold{self.fold}_seed{self.seed}"

    @classmethod
    def of(cls, path: Path) -> "Cell":
        """The cell whose name a file has."""
        row, fold, seed = re.fullmatch(r"(.+?)(?:_fold(\d+))?_seed(\d+)", path.stem).groups()  # type: ignore[union-attr]
        return cls(int(seed), None if fold is None else int(fold), row)

    def path(self, folder: Path) -> Path:
        """Its file among the cells of a table."""
        return folder / f"{self.name}.npz"

    def network(self, folder: Path) -> Path:
        """Its weights there, where they are kept."""
        return folder / "networks" / f"{self.name}.pth"


def plan_cells(rows: Sequence[str], folds: int | None, seeds: Sequence[int]) -> list[Cell]:
    """Seed after seed, fold after fold, row after row: a table that is stopped early has whole pairs.

    Folds None: on the data set's own splits.
    """
    every = [None] if folds is None else range(folds)
    return [Cell(seed, fold, row) for seed in seeds for fold in every for row in rows]


def tasks_of(study: Study, folder: Path, cells: Sequence[Cell]) -> list[Task]:
    """Cells as a pool takes them."""
    return [
        Task(
            name=cell.name,
            path=cell.path(folder),
            function=f"{__name__}:carry_out",
            arguments={"study": asdict(study), "cell": asdict(cell), "folder": str(folder)},
            kind=str(folder),
        )
        for cell in cells
    ]


def carry_out(device: torch.device, study: Mapping[str, Any], cell: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """`run_cell` of what `tasks_of` gives, in a worker."""
    done = run_cell(Cell(**cell), Study(**study), Path(folder), device)
    return {"seconds": done["seconds"], "images": done["training_images"] * len(done["history"])}


def run_cell(cell: Cell, study: Study, folder: Path, device: torch.device) -> dict[str, Any]:
    """Trains and tests a cell, writes its file and returns what it says of itself.

    An interrupted training goes on where it was saved last. The weights tested are the best of the validations.

    Raises:
        UserError: data, exp file or weights are wrong, or the loss is not finite.
    """
    start = time.perf_counter()
    work = folder / "work"
    exp = study.experiment(cell, work)
    resume = is_resumable(work / cell.name)
    if not resume:
        shutil.rmtree(work / cell.name, ignore_errors=True)
    args = trainer_args(
        cell.name, study.batch_size, device, ckpt=None if resume else study.checkpoint, resume=resume, **study.flags
    )
    trainer = exp.get_trainer(args)
    trainer.train()
    trained = time.perf_counter()
    model = trainer.trained_model
    load_weights(model, load_checkpoint(work / cell.name / BEST)["model"])
    backend = TorchBackend(model, next(model.parameters()).device, False)
    arrays: dict[str, NDArray[Any]] = {}
    hashes = {}
    for name in KEPT_SPLITS:
        split = exp.load_split(name)
        hashes[name] = annotations_digest(split.path)
        predictor = Predictor(backend, split.classes, exp.test_size, exp.test_conf, exp.nmsthre)
        found = predict_split(predictor, split, DETECTION_BATCH, exp.data_num_workers)
        arrays |= pack_detections(found, name)
    description = {
        "row": cell.row,
        "fold": cell.fold,
        "seed": cell.seed,
        "fields": {name: from_here(v) if isinstance(v, str) else v for name, v in exp.fields().items()},
        "batch_size": study.batch_size,
        "flags": dict(study.flags),
        "start": None if study.checkpoint is None else Path(study.checkpoint).name,
        "annotations_sha256": hashes,
        "training_images": len(trainer.data.training_set),
        "training_seconds": round(trained - start, 2),
        "seconds": round(time.perf_counter() - start, 2),
        "history": without_nan(trainer.run.progress.history),
        "device": describe_device(device),
        "hardware": {"cpu": cpu_name(), "cores": core_count()},
        "versions": {name: package_version(name) for name in ("torch", "yolox", "numpy")},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if cell.row in study.keep_weights:
        save_detector(cell.network(folder), model, exp.class_names, exp.stored_fields(), half=True)
    save_cell(cell.path(folder), description, arrays)
    shutil.rmtree(work / cell.name, ignore_errors=True)
    return description


def annotations_digest(path: Path) -> str:
    """SHA-256 of what an annotation file says, however it is set: packed and unpacked sets have the same.

    Whose track a box belongs to is left out: nothing that a cell measures rests on it.
    """
    document = read_json(path)
    for annotation in document["annotations"]:
        for name in TRACK_FIELDS:
            annotation.pop(name, None)
    return hashlib.sha256(json.dumps(document, separators=(",", ":")).encode()).hexdigest()


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
        detections: split -> image id -> what was found there; images without detections are left out.
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
        found = {name: unpack_detections(arrays, name) for name in KEPT_SPLITS if f"{name}_images" in arrays}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a cell of a table ({error!r:.100}); delete it and run again") from error
    return DoneCell(cell, description, found)


def pack_detections(detections: Mapping[int, Detections], split: str) -> dict[str, NDArray[Any]]:
    """Detections of all images: `<split>_images` (n,) ids, `_boxes` (n, 4), `_scores` (n,) and `_labels` (n,)."""
    ids = np.repeat(list(detections), [len(found) for found in detections.values()])
    parts = [d for d in detections.values() if len(d)] or [Detections.empty()]
    boxes = np.concatenate([d.boxes_xyxy for d in parts]).astype(np.float64)
    return {
        f"{split}_images": ids.astype(np.int64),
        f"{split}_boxes": np.rint(PIXEL_STEPS * boxes).astype(np.int32),
        f"{split}_scores": np.rint(SCORE_STEPS * np.concatenate([d.scores for d in parts])).astype(np.uint16),
        f"{split}_labels": np.concatenate([d.labels for d in parts]).astype(np.uint8),
    }


def unpack_detections(arrays: Mapping[str, NDArray[Any]], split: str) -> dict[int, Detections]:
    """Image id -> its detections, from the arrays of `pack_detections`."""
    ids, boxes, scores, labels = (arrays[f"{split}_{name}"] for name in ("images", "boxes", "scores", "labels"))
    # Stable, so that the best score stays first.
    order = np.argsort(ids, kind="stable")
    unique, starts = np.unique(ids[order], return_index=True)
    return {
        int(image_id): Detections(
            boxes[chosen].astype(np.float32) / np.float32(PIXEL_STEPS),
            scores[chosen].astype(np.float32) / np.float32(SCORE_STEPS),
            labels[chosen].astype(np.int64),
        )
        for image_id, chosen in zip(unique, np.split(order, starts[1:]), strict=False)  # none of no images
    }
