"""Synthetic pictures as labelled images of a data set, drawn by several processes."""

import multiprocessing
from collections.abc import Iterator
from functools import partial

import cv2

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.synthetic.scenes import check_request, render_scene

_QUALITY = 95  # of the JPEG files: the picture has been through the camera's own compression already
_CHUNK = 8  # pictures that a process draws before it reports back
_AHEAD = 4  # chunks a process that may wait to be written, so that a slow disk does not fill the memory


def synthetic_records(count: int, seed: int, size_hw: tuple[int, int], workers: int) -> Iterator[EncodedImage]:
    """Images 0 to `count` - 1 of the data set of `seed`, in this order; each image is a group of its own.

    The same bytes come out whatever the number of `workers`; another processor, OpenCV or NumPy may round a pixel
    otherwise. With 1 everything happens in this process; with more, processes are started anew (not forked), so a
    script that calls this needs its `if __name__ == "__main__"`.

    Raises:
        UserError: `count` or `workers` is below 1, or see `render_scene`.
    """
    if count < 1 or workers < 1:
        raise UserError(f"images and workers must be 1 or more, not {count} and {workers}")
    check_request(seed, size_hw)
    draw = partial(_draw, seed, size_hw)
    if workers == 1:
        yield from map(draw, range(count))
        return
    batch = workers * _CHUNK * _AHEAD
    with multiprocessing.get_context("spawn").Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for start in range(0, count, batch):
            yield from pool.imap(draw, range(start, min(start + batch, count)), chunksize=_CHUNK)


def _draw(seed: int, size_hw: tuple[int, int], index: int) -> EncodedImage:
    image, boxes_xyxy, labels = render_scene(seed, index, size_hw)
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    name = f"synthetic_{index:06d}"
    return LabelledImage(f"{name}.jpg", size_hw[1], size_hw[0], boxes_xyxy, labels, group=name), encoded.tobytes()
