"""Time per image as a user meets it: one image at a time, pre-processing, network and NMS apart.

Source: the paper's measure, the mean over 1,000 inferences after warm-up.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.inference.predictor import Predictor

STEPS = ("preprocess", "network", "nms")


@dataclass(frozen=True)
class Milliseconds:
    """Times of one step over all repeats, in milliseconds per image."""

    mean: float
    median: float
    p95: float
    minimum: float


@dataclass(frozen=True)
class InferenceTime:
    """Times by step ("preprocess", "network", "nms" and "total") and how many inferences they are taken from."""

    steps: dict[str, Milliseconds]
    repeats: int
    warmup: int


def time_inference(
    predictor: Predictor, images: Sequence[NDArray[np.uint8]], repeats: int = 1000, warmup: int = 50
) -> InferenceTime:
    """Times single images, with a progress bar.

    Args:
        images: BGR (H, W, 3), taken in turn, decoded: reading a file is not part of the time.
        repeats: inferences that count.
        warmup: inferences before them that do not.

    Raises:
        ValueError: no image, or fewer than one repeat.
    """
    if not images or repeats < 1:
        raise ValueError(f"timing needs an image and a repeat, got {len(images)} images and {repeats} repeats")
    seconds = [
        time_once(predictor, [images[number % len(images)]])
        for number in progress_bar(range(warmup + repeats), description="time", unit="images")
    ]
    counted = np.array(seconds[warmup:]) * 1000
    by_step = dict(zip(STEPS, counted.T, strict=True), total=counted.sum(axis=1))
    return InferenceTime({name: summarize(values) for name, values in by_step.items()}, repeats, warmup)


def time_once(predictor: Predictor, images: Sequence[NDArray[np.uint8]]) -> tuple[float, float, float]:
    """Seconds of the three steps for one batch of images (H, W, 3); each step returns when the device has done it."""
    start = time.perf_counter()
    batch = predictor.preprocess(images)
    preprocessed = time.perf_counter()
    outputs = predictor.network(batch)
    computed = time.perf_counter()
    predictor.postprocess(outputs, [(image.shape[0], image.shape[1]) for image in images])
    return preprocessed - start, computed - preprocessed, time.perf_counter() - computed


def summarize(milliseconds: ArrayLike) -> Milliseconds:
    """Mean, median, 95th percentile and minimum of at least one time."""
    times = np.asarray(milliseconds, np.float64)
    return Milliseconds(
        float(times.mean()), float(np.median(times)), float(np.percentile(times, 95)), float(times.min())
    )
