"""Records of synthetic pictures, against the pictures themselves and against other numbers of processes."""

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.synthetic import render_scene, synthetic_records

SIZE_HW = (96, 128)
COUNT = 75  # more than a batch of two processes, and not a multiple of their chunks


def content(record: EncodedImage) -> tuple[object, ...]:
    image, data = record
    return image.file_name, image.group, data, image.boxes_xyxy.tolist(), image.labels.tolist()


def test_same_bytes_from_one_and_from_two_processes() -> None:
    alone = [content(record) for record in synthetic_records(COUNT, 3, SIZE_HW, workers=1)]
    together = [content(record) for record in synthetic_records(COUNT, 3, SIZE_HW, workers=2)]
    assert alone == together
    assert len({image for _, _, image, _, _ in alone}) == COUNT


def test_threads_of_opencv_do_not_change_a_picture() -> None:
    threads = cv2.getNumThreads()
    pictures = []
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            pictures.append([render_scene(3, index, (320, 320))[0].tobytes() for index in range(6)])
    finally:
        cv2.setNumThreads(threads)
    assert pictures[0] == pictures[1]


def test_a_record_is_its_scene() -> None:
    for index, (record, data) in enumerate(synthetic_records(6, 11, SIZE_HW, workers=1)):
        image, boxes_xyxy, labels = render_scene(11, index, SIZE_HW)
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert (record.height, record.width) == stored.shape[:2] == SIZE_HW
        assert np.abs(stored.astype(int) - image).mean() < 3  # the file is a JPEG
        np.testing.assert_array_equal(record.boxes_xyxy, boxes_xyxy)
        np.testing.assert_array_equal(record.labels, labels)


def test_names_and_groups_are_unique() -> None:
    records = [image for image, _ in synthetic_records(5, 0, SIZE_HW, workers=1)]
    assert len({record.file_name for record in records}) == len({record.group for record in records}) == 5


@pytest.mark.parametrize(
    ("count", "seed", "size_hw", "workers"),
    [
        pytest.param(0, 0, SIZE_HW, 1, id="no images"),
        pytest.param(1, 0, SIZE_HW, 0, id="no workers"),
        pytest.param(1, -1, SIZE_HW, 2, id="negative seed"),
        pytest.param(1, 0, (32, 320), 2, id="too small"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(count: int, seed: int, size_hw: tuple[int, int], workers: int) -> None:
    with pytest.raises(UserError, match="must be"):
        next(synthetic_records(count, seed, size_hw, workers))
