from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.frames import find_images, image_frames


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in the folder and below, one broken, among other files."""
    root = tmp_path / "photos"
    for number, name in enumerate(("b.jpg", "a.PNG", "sub/c.bmp", "sub/deep/дрон.jpeg")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.full((20 + number, 30, 3), 40 * number, np.uint8)
        (root / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), image)[1].tobytes())
    (root / "notes.txt").write_text("no image")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff no image either")
    return root


def test_finds_all_images_sorted(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in find_images(folder, leave_out=folder / "out")]
    assert found == ["a.PNG", "b.jpg", "broken.jpg", "sub/c.bmp", "sub/deep/дрон.jpeg"]


def test_results_inside_the_folder_are_not_input(folder: Path) -> None:
    found = [path.name for path in find_images(folder, leave_out=folder / "sub")]
    assert found == ["a.PNG", "b.jpg", "broken.jpg"]
    # A folder of results around the images hides none of them.
    assert len(find_images(folder, leave_out=folder.parent)) == 5


def test_one_file_of_any_name(folder: Path) -> None:
    assert find_images(folder / "notes.txt", leave_out=folder) == [folder / "notes.txt"]


@pytest.mark.parametrize(("name", "message"), [("empty", "no images"), ("missing", "no such")])
def test_nothing_to_find(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"{name}: {message}"):
        find_images(tmp_path / name, leave_out=tmp_path / "out")


def test_an_unreadable_image_is_told_and_passed_over(folder: Path) -> None:
    failures: list[str] = []
    frames = list(image_frames(find_images(folder, folder / "out"), folder, failures.append))
    assert [(frame.source, frame.image.shape[0]) for frame in frames] == [
        ("a.PNG", 21),
        ("b.jpg", 20),
        ("sub/c.bmp", 22),
        ("sub/deep/дрон.jpeg", 23),
    ]
    assert all(frame.index == 0 and frame.time_s is None for frame in frames)
    assert len(failures) == 1
    assert "broken.jpg" in failures[0]
