"""The energy of a detector's attention maps and Grad-CAMs inside the true boxes of a part of a data set."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco import CocoSplit, read_image
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.research.pictures.detector import Look
from yolox_gssam.research.pictures.energy import Energy, Share, share_inside, summarize

GRAD_CAM = "Grad-CAM"


def detector_energy(
    network: str,
    look_at: Callable[[NDArray[np.uint8]], Look],
    split: CocoSplit,
    images: Sequence[LabelledImage],
    seed: int,
) -> list[Energy]:
    """One row a stage with an attention map, then one of Grad-CAM.

    Grad-CAM's share of an image is the mean over its detections; images where the network finds nothing have none and
    do not count there. Boxes of all classes count, crowds do not; images without a box are left out.

    Args:
        network: its name in the rows.
        look_at: puts the detector in front of an image.
        images: those of `split` to measure.
    """
    shares: dict[str, list[Share]] = defaultdict(list)
    groups: dict[str, list[str]] = defaultdict(list)
    for image in progress_bar(images, description=network, unit="images"):
        if not len(image.boxes_xyxy):
            continue
        look = look_at(read_image(split.image_path(image)))
        of_image = {stage: _share(look, values, image) for stage, values in look.attention().items()}
        cams = [_share(look, look.grad_cam(number), image) for number in range(len(look.detections))]
        if cams:
            of_image[GRAD_CAM] = _mean(cams)
        for place, share in of_image.items():
            shares[place].append(share)
            groups[place].append(image.file_name if image.group is None else image.group)
    places = [place for place in shares if place != GRAD_CAM] + [GRAD_CAM] * (GRAD_CAM in shares)
    return [summarize(network, place, shares[place], groups[place], seed) for place in places]


def _share(look: Look, values: NDArray[np.float32], image: LabelledImage) -> Share:
    """Of a map over the letterboxed input, whose boxes are scaled as the image was."""
    cells = values.shape[1] / look.test_size[1]  # cells an input pixel
    scale = look.ratio * cells
    extent_wh = (int(image.width * look.ratio) * cells, int(image.height * look.ratio) * cells)
    return share_inside(values, image.boxes_xyxy * scale, extent_wh)


def _mean(shares: Sequence[Share]) -> Share:
    return Share(
        float(np.mean([share.inside for share in shares])),
        float(np.mean([share.inside_raw for share in shares])),
        shares[0].area,
        all(share.flat for share in shares),
    )
