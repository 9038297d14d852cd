"""Decoded images in one block of memory, on the processor or on the device, where it has room for them."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray
from torch import Tensor, multiprocessing

from yolox_gssam.common.memory import free_bytes
from yolox_gssam.common.progress import progress_bar

CacheKind = Literal["ram", "gpu"]
"""Where decoded images are kept: in main memory, or on the device that trains."""
RAM_SHARE = 0.75
"""Most of the free main memory that the images may take; the rest is for loaders and training."""
DEVICE_SHARE = 0.5
"""The same of a device, where the activations of a batch take the most."""


class ImageCache:
    """Decoded images, each at its own size, one behind another in one block of memory.

    Loader processes share it. Those that are forked see the block of their parent, and since they only read it no page
    of it is copied; for those that are spawned it lies in shared memory.

    Attributes:
        are_grey: whether every image has three equal channels; known once they are filled.
    """

    def __init__(self, sizes_hw: Sequence[tuple[int, int]], device: torch.device) -> None:
        self.sizes_hw = list(sizes_hw)
        self.device = device
        self.are_grey = False
        self._ends = np.cumsum([3 * height * width for height, width in self.sizes_hw]).tolist()
        self._block = torch.empty(self._ends[-1], dtype=torch.uint8, device=device)
        # Not needed where processes fork, and containers often allow little of it.
        if device.type == "cpu" and multiprocessing.get_start_method() != "fork":
            self._block.share_memory_()

    def __len__(self) -> int:
        return len(self.sizes_hw)

    def __getitem__(self, index: int) -> Tensor:
        """The image (H, W, 3) uint8, BGR; a view."""
        height, width = self.sizes_hw[index]
        end = self._ends[index]
        return self._block[end - 3 * height * width : end].view(height, width, 3)

    def fill(self, read: Callable[[int], NDArray[np.uint8]]) -> None:
        """Takes every image from `read(index)`, called in as many threads as the machine has cores."""
        failed = threading.Event()

        def take(index: int) -> bool:
            # Set by the reading thread itself: the main thread may learn of a fault only after thousands of reads.
            if failed.is_set():
                return False
            try:
                image = read(index)
            except BaseException:
                failed.set()
                raise
            self[index].copy_(torch.from_numpy(image))
            return bool((image[..., :1] == image[..., 1:]).all())

        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            images = pool.map(take, range(len(self)))
            # A list: every image is read, whatever the first one is.
            self.are_grey = all(list(progress_bar(images, total=len(self), description="reading images", unit="img")))
        finally:
            pool.shutdown(cancel_futures=True)


def choose_cache(
    kind: CacheKind | None, images: int, needed: int, device: torch.device, processes: int = 1
) -> CacheKind | None:
    """Where the decoded images are kept: as asked for, or where there is too little room for them in the next place:
    main memory, then none. A warning says so.

    Args:
        kind: what is asked for; None for no cache.
        needed: bytes of all the images.
        device: that trains.
        processes: of the run on this machine; each has a cache of its own.
    """
    places: list[tuple[CacheKind, torch.device, float]] = [("ram", torch.device("cpu"), RAM_SHARE)]
    if kind == "gpu":
        places.insert(0, ("gpu", device, RAM_SHARE if device.type == "cpu" else DEVICE_SHARE))
    for place, where, share in places if kind else []:
        free = free_bytes(where)
        sharing = 1 if where.type == "cuda" else processes
        total = sharing * needed
        what = f"{images:,} decoded images{f' in each of {sharing} processes' if sharing > 1 else ''}"
        room = "an unknown number of" if free is None else f"{free / 2**30:.2f}"
        if free is None or total <= share * free:
            logger.info(f"keeping {what} on {where}: {total / 2**30:.2f} GiB of {room} GiB free")
            return place
        instead = "main memory is tried" if place == "gpu" else "they are read anew each time"
        logger.warning(
            f"--cache {place}: {what} take {total / 2**30:.2f} GiB, more than {share:.0%} of the {room} GiB free on "
            f"{where}: {instead}"
        )
    return None
