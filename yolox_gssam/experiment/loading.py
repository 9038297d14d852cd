"""Experiments from exp files, and trained networks from checkpoints and exported files."""

import importlib.util
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from yolox.data.datasets import COCO_CLASSES
from yolox.models import YOLOX

from yolox_gssam.common.checkpoint import load_checkpoint, load_weights
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.shipped import find_exp, find_network
from yolox_gssam.experiment.drone_exp import DroneExp
from yolox_gssam.experiment.field_checks import check_fields
from yolox_gssam.experiment.stock import adopt, count_classes, network_fields
from yolox_gssam.inference.backends import FILE_SUFFIXES
from yolox_gssam.inference.conversion import build_backend
from yolox_gssam.inference.network import Network, open_network

# What a checkpoint's weights were made for and from; these fields come from it, not from the exp file.
MODEL_FIELDS = (
    "depth",
    "width",
    "act",
    "depthwise",
    "strides",
    "attention",
    "attention_position",
    "attention_options",
)
INPUT_FIELDS = ("num_classes", "input_size", "test_size")
DATA_FIELDS = ("data_dir", "train_ann", "val_ann", "test_ann", "fold")


def load_exp(path: str | Path, options: Sequence[str] = ()) -> DroneExp:
    """The experiment that the exp file's class `Exp` describes, with `options` (name, value, ...) set in it.

    A file of YOLOX itself is taken as it is, see `adopt`.

    Exp files are Python and run as such.

    Raises:
        UserError: no such file, an error in it (named with its line), no class `Exp` in it, a wrong option.
    """
    path = find_exp(path)
    if not path.is_file():
        raise UserError(f"{path}: no such exp file")
    name = f"exp_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: an exp file is a Python file, its name ends in .py")
    module = importlib.util.module_from_spec(spec)
    # Known by name while it runs, so that its classes can be found; its folder is importable as with YOLOX.
    sys.modules[name] = module
    sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
        exp = module.Exp() if hasattr(module, "Exp") else None
        exp = exp if isinstance(exp, DroneExp) else adopt(exp)
        check_fields(exp, DroneExp)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:
        raise UserError(f"{path}: {_where(error, path)}{type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    exp.merge(options)
    return exp


def load_trained(
    exp_file: str | Path | None, checkpoint: str | Path, options: Sequence[str], device: torch.device
) -> tuple[DroneExp, YOLOX]:
    """An experiment and its trained network, in evaluation mode on `device`.

    Network, classes, input size and data set are those the checkpoint was trained with, whatever the exp file says,
    and `options` come last. `exp_file` may be None for a checkpoint of ours whose attention is a registered one, and
    for one of stock YOLOX, whose network is told from the weights.

    Raises:
        UserError: a checkpoint that does not fit the experiment, or one of something else without an exp file.
    """
    state = load_checkpoint(checkpoint)
    trained: dict[str, Any] = state.get("exp", {})
    if exp_file is None and not trained:
        fields = network_fields(state["model"])
        if fields is None:
            raise UserError(f"{checkpoint}: does not say which experiment made it; give its exp file with -f")
        trained = {**fields, "exp_name": Path(checkpoint).name.partition(".")[0]}
    exp = DroneExp() if exp_file is None else load_exp(exp_file)
    _check_attention(exp, trained, exp_file, checkpoint)
    for field in (*MODEL_FIELDS, *INPUT_FIELDS, *DATA_FIELDS):
        if field in trained:
            setattr(exp, field, trained[field])
    exp.exp_name = exp.exp_name if exp_file else trained["exp_name"]
    if not trained and exp.fields()["num_classes"] is None:
        exp.num_classes = count_classes(state["model"])
    exp.merge(options)
    exp.class_names = _class_names(exp, state.get("class_names"))
    model = exp.get_model()
    loaded = load_weights(model, state["model"])
    if not loaded.complete:
        raise UserError(f"{checkpoint}: does not fit {exp.exp_name}: {loaded}; use the exp file it was trained with")
    return exp, model.to(device).eval()


def load_detector(
    exp_file: str | Path | None,
    weights: str | Path,
    options: Sequence[str],
    device: torch.device,
    backend: str | None = None,
    half: bool = False,
    streams: int = 1,
) -> tuple[DroneExp, Network]:
    """An experiment and its trained network, from a checkpoint or from a file of tools/export.py, known by its suffix.

    Args:
        weights: the file, or "visible" or "infrared" for a network that comes along.
        backend: one of `yolox_gssam.inference.backends.BACKENDS`; None: torch for a checkpoint, and for an exported
            file what its suffix says.
        streams: images at a time, see `yolox_gssam.inference.conversion.build_backend`.

    Raises:
        UserError: as `load_trained`; a backend that is not installed; other settings than the file was exported with.
    """
    path = find_network(weights)
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        raise UserError(
            f"{path}: the weights of an OpenVINO network; give the file beside it: {path.with_suffix('.xml')}"
        )
    if path.suffix in FILE_SUFFIXES:
        if half:
            raise UserError(f"{path}: an exported network has its own precision; leave out --fp16")
        return _load_exported(exp_file, path, options, open_network(path, str(device), backend, streams=streams))
    exp, model = load_trained(exp_file, path, options, torch.device("cpu"))
    built = build_backend(backend or "torch", model, exp.test_size, device, half, streams)
    precision = "16 bit" if half else "float32"
    network = Network(built, exp.class_names, exp.test_size, True, precision, _with_name(exp), model.to(device))
    return exp, network


def _load_exported(
    exp_file: str | Path | None, path: Path, options: Sequence[str], network: Network
) -> tuple[DroneExp, Network]:
    """An experiment with the classes and the input size of an exported network, and that network at the size set."""
    exp = DroneExp() if exp_file is None else load_exp(exp_file)
    fields = exp.fields()
    for field, value in network.exp.items():
        # JSON knows no tuples.
        if field in fields and field in (*INPUT_FIELDS, *DATA_FIELDS):
            setattr(exp, field, tuple(value) if isinstance(value, list) else value)
    exp.exp_name = exp.exp_name if exp_file else str(network.exp["exp_name"])
    exp.test_size, exp.class_names = network.input_size, network.class_names
    exp.num_classes = len(exp.class_names)
    exp.merge(options)
    if exp.num_classes != len(network.class_names):
        raise UserError(f"{path}: was exported for {len(network.class_names)} classes; export it anew for others")
    return exp, replace(network.at_size(exp.test_size, path), exp=_with_name(exp))


def _with_name(exp: DroneExp) -> dict[str, Any]:
    return {**exp.fields(), "exp_name": exp.exp_name}


def _check_attention(exp: DroneExp, trained: dict[str, Any], exp_file: Any, checkpoint: str | Path) -> None:
    """Refuses to evaluate one row of the tables under another's name."""
    if exp_file is None or not trained or exp.exp_name == trained["exp_name"]:
        return
    differing = [f for f in ("attention", "attention_position", "attention_options") if getattr(exp, f) != trained[f]]
    if differing:
        raise UserError(
            f"{checkpoint}: was trained by the exp {trained['exp_name']}, and {exp_file} differs from it in "
            f"{', '.join(differing)}; give that exp file, or none"
        )


def _class_names(exp: DroneExp, saved: Sequence[str] | None) -> tuple[str, ...]:
    """The names in the checkpoint; for one of stock YOLOX COCO's, or those of the experiment's data set, or numbers."""
    if saved is not None:
        return tuple(saved)
    count = exp.fields()["num_classes"]
    if count == len(COCO_CLASSES):
        return tuple(COCO_CLASSES)
    try:
        names = exp.class_names
    except UserError:
        if count is None:
            raise
        names = ()
    if count in (None, len(names)):
        return names
    logger.warning(
        f"the names of the {count} classes are not known, they are numbered; data_dir, the data set, has them"
    )
    return tuple(f"class {number}" for number in range(count))


def _where(error: Exception, path: Path) -> str:
    """ "line N: " for the last line of the exp file on the error's way."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.lineno:
        lines.append(error.lineno)
    return f"line {lines[-1]}: " if lines else ""
