"""Whether a device computes what float64 on the CPU does, and what the exact contrast costs there."""

import copy
import json
import math
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from yolox.models import YOLOX

from yolox_gssam.attention import GSSAM
from yolox_gssam.common.checkpoint import load_checkpoint, load_weights
from yolox_gssam.common.device import autocast
from yolox_gssam.common.files import write_json
from yolox_gssam.common.stop import Stopped
from yolox_gssam.engine.trainer import Trainer
from yolox_gssam.experiment import GSSAM_STAGES, load_exp
from yolox_gssam.models import add_attention, build_yolox
from yolox_gssam.research.benchmark.compare import time_calls_in_turn
from yolox_gssam.research.benchmark.contrast_cost import VARIANTS, run
from yolox_gssam.research.tables.plan import EXPS
from yolox_gssam.research.trainer_args import trainer_args

OUTPUT_LIMITS = {"float32": 1e-4, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}
GRADIENT_LIMITS = {"float32": 1e-3, "tf32": 1.5e-1}
"""Largest relative error, of the norm, of an output or of the losses, and of a gradient. TF32 and float16 keep 11
binary digits, bfloat16 8. The gradients of the 16-bit types are told and not judged: training scales or averages
them."""
MAPS = ((16, (64, 80), 16, 8), (64, (32, 40), 4, 2), (256, (8, 10), 1, 0))
"""Channels, height and width, pool size and convolutions of three stages."""
MODULES = (("sigmoid", True), ("sigmoid", False), ("standardize", False))


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """float32 without TF32, float32 with it, or mixed precision."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    half = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(name)
    try:
        with autocast(device, half):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def precisions(device: torch.device) -> tuple[str, ...]:
    """What a device has; TF32 and float16 are CUDA's."""
    return tuple(OUTPUT_LIMITS) if device.type == "cuda" else ("float32", "bfloat16")


def module_errors(device: torch.device) -> dict[str, Any]:
    """GSSAM at three stages: relative errors of output and gradients against float64 on the CPU, by precision."""
    errors: dict[str, dict[str, list[float]]] = {}
    for channels, size_hw, pool_size, num_convs in MAPS:
        for norm, residual in MODULES:
            torch.manual_seed(0)
            module = GSSAM(channels, pool_size, num_convs, norm=norm, residual=residual)
            features = torch.randn(2, channels, *size_hw)
            above = torch.randn(2, channels, *size_hw)
            reference = _outputs_and_gradients(copy.deepcopy(module).double(), features.double(), above.double())
            name = f"{channels} x {size_hw[0]} x {size_hw[1]}, {norm}{', residual' if residual else ''}"
            errors[name] = {}
            for kind in precisions(device):
                own = copy.deepcopy(module).to(device)
                with precision(kind, device):
                    found = _outputs_and_gradients(own, features.to(device), above.to(device))
                errors[name][kind] = [relative_error(a, b) for a, b in zip(found, reference, strict=True)]
    return _judged(errors)


def network_errors(device: torch.device, checkpoint: str | None) -> dict[str, Any]:
    """YOLOX-nano with GSSAM: relative errors of the losses, and of the gradient of all weights together."""
    size_hw = (256, 320) if device.type == "cuda" else (64, 96)
    images, targets = drawn_batch(4, size_hw)
    reference = _losses_and_gradient(nano(checkpoint).double(), images.double(), targets.double())
    name = f"{size_hw[0]} x {size_hw[1]}"
    errors: dict[str, dict[str, list[float]]] = {name: {}}
    for kind in precisions(device):
        model = nano(checkpoint).to(device)
        with precision(kind, device):
            found = _losses_and_gradient(model, images.to(device), targets.to(device))
        errors[name][kind] = [relative_error(a, b) for a, b in zip(found, reference, strict=True)]
    return _judged(errors)


def resumed_run(device: torch.device, data: Path, checkpoint: str | None, cuda_graph: bool) -> dict[str, Any]:
    """How far two uninterrupted runs are apart, and how far one that was stopped and resumed is from the first.

    Both are relative distances of all weights after 24 steps; a device that adds in any order has none of 0.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trained = [
            _train(device, data, checkpoint, folder / str(number), cuda_graph, stop_after)
            for number, stop_after in enumerate((None, None, 7))
        ]
    first, second, resumed = trained
    apart, after_resume = relative_error(second, first), relative_error(resumed, first)
    # On a device without noise both are 0; else a second run is one draw of the noise, and so is the resumed one.
    return {"uninterrupted": apart, "resumed": after_resume, "passed": after_resume <= 3 * apart + 1e-7}


def contrast_costs(device: torch.device, sizes: Sequence[tuple[int, int]], seconds: float) -> list[dict[str, Any]]:
    """Milliseconds and peak memory of the exact contrast and of broadcasting, forward and backward, in turn.

    Args:
        sizes: M values and N base points.
        seconds: of each size.
    """
    rows = []
    for M, N in sizes:
        generator = torch.Generator().manual_seed(0)
        values, samples, above = (torch.randn(1, n, generator=generator).to(device) for n in (M, N, M))
        values.requires_grad_(True)
        samples.requires_grad_(True)
        calls: dict[str, Callable[[], object]] = {
            variant: partial(run, variant, "forward + backward", values, samples, above)
            for variant in ("broadcasting", "global_contrast")
        }
        times = time_calls_in_turn(calls, device, 21, seconds, 0)
        for variant in calls:
            ordered = sorted(times[variant])
            rows.append(
                {
                    "values": M,
                    "samples": N,
                    "variant": variant,
                    "ms": 1000 * ordered[len(ordered) // 2],
                    "ms_min_max": [1000 * ordered[0], 1000 * ordered[-1]],
                    "bytes": _peak_bytes(calls[variant], device),
                    "error": relative_error(
                        VARIANTS[variant](values, samples),
                        VARIANTS["broadcasting"](values.double().cpu(), samples.double().cpu()),
                    ),
                }
            )
    return rows


def nano(checkpoint: str | None, num_classes: int = 4) -> YOLOX:
    """YOLOX-nano with GSSAM at position 1, sigmoid and residual, in training mode."""
    torch.manual_seed(0)
    model = build_yolox(num_classes, 0.33, 0.25, depthwise=True)
    model = add_attention(model, "gssam", 1, {**GSSAM_STAGES, "residual": True})
    if checkpoint is not None:
        load_weights(model, load_checkpoint(checkpoint)["model"])
    return model.train()


def drawn_batch(images: int, size_hw: tuple[int, int], objects: int = 3) -> tuple[Tensor, Tensor]:
    """Noise (B, 3, H, W) in 0 to 255 with bright squares of 8 to 20 pixels, and their boxes (B, n, 5)."""
    generator = torch.Generator().manual_seed(0)
    pixels = 100 + 20 * torch.randn(images, 3, *size_hw, generator=generator)
    targets = torch.zeros(images, objects, 5)
    for image, boxes in zip(pixels, targets, strict=True):
        for box in boxes:
            side = int(torch.randint(8, 21, (), generator=generator))
            y, x = (int(torch.randint(0, n - side, (), generator=generator)) for n in size_hw)
            image[:, y : y + side, x : x + side] += 80
            box.copy_(torch.tensor([float(side % 4), x + side / 2, y + side / 2, side, side]))
    return pixels.clamp_(0, 255), targets


def relative_error(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of what is expected; infinite where something is not finite."""
    difference = float((found.detach().double().cpu() - expected.detach().double().cpu()).norm())
    scale = float(expected.detach().double().cpu().norm())
    return difference / max(scale, 1e-300) if math.isfinite(difference) else math.inf


def _judged(errors: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """What was found, the worst of it by precision, and whether that is within the limits; of each list of errors the
    first is an output's, the others gradients'."""
    kinds = next(iter(errors.values()))
    outputs = {kind: max(found[kind][0] for found in errors.values()) for kind in kinds}
    gradients = {kind: max(max(found[kind][1:]) for found in errors.values()) for kind in kinds}
    return {
        "relative_errors": {k: {n: [_finite(v) for v in vs] for n, vs in found.items()} for k, found in errors.items()},
        "worst_output": {kind: _finite(value) for kind, value in outputs.items()},
        "worst_gradient": {kind: _finite(value) for kind, value in gradients.items()},
        "limits": {"outputs": OUTPUT_LIMITS, "gradients": GRADIENT_LIMITS},
        "passed": all(value <= OUTPUT_LIMITS[kind] for kind, value in outputs.items())
        and all(value <= GRADIENT_LIMITS.get(kind, math.inf) for kind, value in gradients.items()),
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _outputs_and_gradients(module: nn.Module, features: Tensor, above: Tensor) -> list[Tensor]:
    """The output, the gradient of the input, and those of all weights in one."""
    features = features.clone().requires_grad_(True)
    output = module(features)
    own, *weights = torch.autograd.grad(output, [features, *module.parameters()], above.to(output.dtype))
    return [output, own, torch.cat([gradient.flatten().double() for gradient in weights])]


def _losses_and_gradient(model: YOLOX, images: Tensor, targets: Tensor) -> list[Tensor]:
    losses = model(images, targets)
    names = ("total_loss", "iou_loss", "conf_loss", "cls_loss")
    gradients = torch.autograd.grad(losses["total_loss"], [p for p in model.parameters() if p.requires_grad])
    return [
        torch.stack([losses[name].detach().double() for name in names]),
        torch.cat([gradient.flatten().double() for gradient in gradients]),
    ]


def _train(
    device: torch.device, data: Path, checkpoint: str | None, folder: Path, cuda_graph: bool, stop_after: int | None
) -> Tensor:
    """All weights after a short training, which is stopped after so many steps and resumed."""
    folder.mkdir()
    annotations = _few_images(data, folder)
    fields = ["data_dir", str(data), "train_ann", str(annotations), "val_ann", str(annotations), "depthwise", "True",
              "width", "0.25", "input_size", "128,160", "mosaic_prob", "0", "enable_mixup", "False", "max_epoch", "2",
              "multiscale_range", "0", "warmup_epochs", "1", "no_aug_epochs", "1", "eval_interval", "2",
              "data_num_workers", "0", "output_dir", str(folder)]  # fmt: skip
    exp_file = EXPS / "gssam_sig_res_p1.py"
    args = trainer_args("run", 8, device, cache="gpu", ckpt=checkpoint, cuda_graph=cuda_graph)
    trainer = _Stopping(load_exp(exp_file, fields), args)
    trainer.stop_after = stop_after
    try:
        trainer.train()
    except Stopped:
        args.ckpt, args.resume = None, True
        trainer = _Stopping(load_exp(exp_file, fields), args)
        trainer.train()
    return torch.cat([value.flatten().double().cpu() for value in trainer.trained_model.parameters()])


class _Stopping(Trainer):
    """Is stopped after so many steps as a signal would."""

    stop_after: int | None = None

    def after_iter(self) -> None:
        if self.progress_in_iter + 1 == self.stop_after:
            self.run.stop.signal_number = signal.SIGTERM
        super().after_iter()


def _few_images(data: Path, folder: Path, count: int = 96) -> Path:
    """An annotation file with the first images of the training split that have objects."""
    content = json.loads((data / "annotations" / "train.json").read_bytes())
    with_objects = {annotation["image_id"] for annotation in content["annotations"]}
    images = [image for image in content["images"] if image["id"] in with_objects][:count]
    kept = {image["id"] for image in images}
    annotations = [a for a in content["annotations"] if a["image_id"] in kept]
    write_json(folder / "few.json", {**content, "images": images, "annotations": annotations})
    return (folder / "few.json").resolve()


def _peak_bytes(work: Callable[[], object], device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
