"""Drawn objects whose edges are known, with boxes as each kind of tool writes them."""

from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.voc import read_voc_file, read_voc_set
from yolox_gssam.data.formats.voc_coordinates import (
    COORDINATES,
    Coordinates,
    Origin,
    choose_by_images,
    object_edges,
    to_xywh,
    writer_of,
)

SHARED = Path(__file__).parents[4] / "shared"
SIRST = SHARED / "data" / "sirst"
EDGES = SHARED / "faults" / "voc-edges"
Box = tuple[int, int, int, int]
WRITE: dict[Coordinates, Callable[[Box], list[float]]] = {
    "pixels": lambda box: [box[0] + 1, box[1] + 1, box[2], box[3]],
    "edges": lambda box: list(box),
    "edges-1": lambda box: [number + 1 for number in box],
}


def draw(path: Path, seed: int, count: int = 4) -> list[Box]:
    """A noisy image with bright and dark objects of 2 to 12 pixels; their edges in pixels from 0."""
    rng = np.random.default_rng(seed)
    image = rng.normal(110, 4, (120, 160, 3))
    boxes: list[Box] = []
    for cell in range(count):
        width, height = (int(side) for side in rng.integers(2, 13, 2))
        left, top = 20 + 30 * cell + int(rng.integers(0, 8)), 20 + int(rng.integers(0, 60))
        image[top : top + height, left : left + width] += rng.choice([-70, 90])
        boxes.append((left, top, left + width, top + height))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return boxes


def xml(name: str, corners: list[list[float]], head: str = "") -> str:
    objects = "".join(
        "<object><name>drone</name><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        + "</bndbox></object>"
        for box in corners
    )
    return f"<annotation><filename>{escape(name)}</filename>{head}{objects}</annotation>"


def write_set(root: Path, images: int, corners_of: Callable[[Box], list[float]], head: str = "") -> list[list[float]]:
    """A set in VOC's format; the true boxes in COCO's pixels."""
    truth: list[list[float]] = []
    (root / "Annotations").mkdir(parents=True)
    for number in range(images):
        name = f"{number:03d}.png"
        boxes = draw(root / "JPEGImages" / name, number)
        truth += [[x, y, right - x, bottom - y] for x, y, right, bottom in boxes]
        text = xml(name, [corners_of(box) for box in boxes], head)
        (root / "Annotations" / f"{number:03d}.xml").write_text(text)
    return truth


def read(root: Path) -> tuple[list[list[float]], str]:
    """The boxes of a set, and what was said."""
    faults: list[Fault] = []
    labelled = read_voc_set(root, report=faults.append, coordinates="auto")
    (fault,) = faults
    assert not fault.fatal
    return [box for sample in labelled.samples for box in sample.boxes_xywh.tolist()], str(fault)


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_the_images_tell_what_is_counted(tmp_path: Path, coordinates: Coordinates) -> None:
    truth = write_set(tmp_path, 12, WRITE[coordinates])
    boxes, said = read(tmp_path)
    assert boxes == truth
    assert f"{tmp_path}/Annotations: boxes of 12 files are read as {coordinates.split('-')[0]} counted from" in said
    assert "the images show it: over 4" in said
    others = [name for name in COORDINATES if name != coordinates]
    assert said.endswith(f"give --coordinates {others[0]} or --coordinates {others[1]}")


@pytest.mark.parametrize("margin", [1, 2])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_boxes_drawn_larger_than_the_objects(tmp_path: Path, coordinates: Coordinates, margin: int) -> None:
    def loose(box: Box) -> list[float]:
        return WRITE[coordinates]((box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin))

    write_set(tmp_path, 12, loose)
    files = [
        (tmp_path / "JPEGImages" / f"{path.stem}.png", read_voc_file(path, raise_fatal).corners)
        for path in sorted((tmp_path / "Annotations").iterdir())
    ]
    assert choose_by_images(files).coordinates == coordinates


@pytest.mark.parametrize("seed", range(20))
def test_numbers_that_were_cut_off_decide_nothing_wrong(tmp_path: Path, seed: int) -> None:
    """Edges from 1 of which half a pixel was lost at random lie as far from VOC's pixels as from edges."""
    rng = np.random.default_rng(seed)
    boxes = draw(tmp_path / "a.png", seed)
    files = [
        (tmp_path / "a.png", [[number + int(rng.integers(0, 2)) for number in box] for box in boxes]) for _ in range(15)
    ]
    choice = choose_by_images(files)
    assert choice.coordinates == "edges-1" or not choice.is_certain


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_too_few_objects_leave_it_undecided(tmp_path: Path, coordinates: Coordinates) -> None:
    write_set(tmp_path, 4, WRITE[coordinates])
    boxes, said = read(tmp_path)
    assert "16 objects are clear enough to compare, 20 are needed; undecided" in said
    assert "--coordinates edges or --coordinates edges-1" in said
    assert boxes == [box.tolist() for s in read_voc_set(tmp_path, report=raise_fatal).samples for box in s.boxes_xywh]


def test_images_without_clear_objects_leave_it_undecided(tmp_path: Path) -> None:
    write_set(tmp_path, 12, WRITE["edges"])
    for path in (tmp_path / "JPEGImages").iterdir():
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8))
    assert "undecided" in read(tmp_path)[1]
    for path in (tmp_path / "JPEGImages").iterdir():
        path.write_bytes(b"")  # what cannot be read is told where it is stored
    assert "0 objects are clear enough" in read(tmp_path)[1]


UNKNOWN = "<source><database>Unknown</database></source>"


@pytest.mark.parametrize(
    ("head", "coordinates", "why"),
    [
        pytest.param(UNKNOWN, "edges", "database 'Unknown'", id="labelImg, CVAT, VoTT"),
        pytest.param(f"<path>/home/me/a.png</path>{UNKNOWN}", "edges", "database 'Unknown'", id="labelImg"),
        pytest.param("<path>C:\\a.png</path>", "edges", "<path>", id="a path"),
        pytest.param("<source><database>MyDatabase</database></source>", "edges", "Label Studio", id="Label Studio"),
        pytest.param(
            "<source><database>The VOC2007 Database</database></source>", "pixels", "VOC itself", id="VOC2007"
        ),
    ],
)
def test_the_writer_tells_what_is_counted(tmp_path: Path, head: str, coordinates: Coordinates, why: str) -> None:
    """In one image, which could not decide it."""
    truth = write_set(tmp_path, 1, WRITE[coordinates], head)
    boxes, said = read(tmp_path)
    assert boxes == truth
    assert why in said
    assert "undecided" not in said


def test_decimals_tell_edges(tmp_path: Path) -> None:
    write_set(tmp_path, 1, lambda box: [number + 0.25 for number in box])
    boxes, said = read(tmp_path)
    assert "decimals" in said
    assert boxes[0][0] % 1 == 0.25
    assert writer_of(Origin("", has_decimals=True))[0] == "edges"


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_the_versions_of_one_writer_are_told_by_few_objects(tmp_path: Path, coordinates: Coordinates) -> None:
    """supervision has written all three."""
    head = "<source><database>roboflow.ai</database></source>"
    truth = write_set(tmp_path, 2, WRITE[coordinates], head)
    boxes, said = read(tmp_path)
    assert boxes == truth
    assert "supervision" in said


def test_files_of_several_writers_are_read_each_its_own_way(tmp_path: Path) -> None:
    write_set(tmp_path, 2, WRITE["edges"], UNKNOWN)
    path = tmp_path / "Annotations" / "000.xml"
    path.write_text(xml("000.png", [[5, 5, 9, 9]], "<source><database>The VOC2012 Database</database></source>"))
    faults: list[Fault] = []
    samples = read_voc_set(tmp_path, report=faults.append, coordinates="auto").samples
    assert samples[0].boxes_xywh.tolist() == [[4, 4, 5, 5]]
    assert samples[1].boxes_xywh.tolist() == [
        to_xywh(c, "edges") for c in read_voc_file(path.with_name("001.xml"), raise_fatal).corners
    ]
    assert len(faults) == 2


def test_a_reading_by_hand_is_not_questioned(tmp_path: Path) -> None:
    truth = write_set(tmp_path, 3, WRITE["edges-1"], UNKNOWN)
    labelled = read_voc_set(tmp_path, report=raise_fatal, coordinates="edges-1")
    assert [box for sample in labelled.samples for box in sample.boxes_xywh.tolist()] == truth


def test_a_box_that_a_reading_leaves_without_an_area_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 0)
    (tmp_path / "a.xml").write_text(xml("a.png", [[5, 5, 5, 9], [5, 5, 9, 9]]))
    faults: list[Fault] = []
    (sample,) = read_voc_set(tmp_path, report=faults.append, coordinates="edges").samples
    assert sample.boxes_xywh.tolist() == [[5, 5, 4, 4]]
    assert ["the box has no area as edges" in str(fault) for fault in faults] == [True]


def square(left: int, top: int) -> NDArray[np.uint8]:
    image = np.full((40, 40, 3), 100, np.uint8)
    image[top : top + 6, left : left + 6] = 200
    return image


def test_object_edges() -> None:
    assert object_edges(square(10, 12), [10, 12, 16, 18]) == [10, 12, 16, 18]
    assert object_edges(square(11, 13), [10, 12, 16, 18]) == [11, 13, 17, 19]
    assert object_edges(square(14, 12), [10, 12, 16, 18]) is None  # reaches out of the window
    assert object_edges(square(30, 30), [10, 12, 16, 18]) is None  # nothing there
    assert object_edges(square(0, 12), [0, 12, 6, 18]) is None  # the window leaves the image
    assert object_edges(square(10, 12), [-1e9, 12, 1e9, 18]) is None


@pytest.mark.skipif(not SIRST.is_dir(), reason="../shared/data/sirst is not there")
def test_published_boxes_agree_with_their_masks(tmp_path: Path) -> None:
    """Boxes of infrared targets, which say nothing of their writer; the masks are another work of the same people."""
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()
    paths = sorted((SIRST / "xml").glob("*.xml"))
    for path in paths:
        (tmp_path / "Annotations" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "JPEGImages" / f"{path.stem}.png").write_bytes((SIRST / "images" / f"{path.stem}.png").read_bytes())
    labelled = read_voc_set(tmp_path, report=lambda fault: None, coordinates="auto")
    same = count = 0
    for sample in labelled.samples:
        mask = cv2.imread(str(SIRST / "masks" / f"{sample.path.stem}_pixels0.png"), cv2.IMREAD_GRAYSCALE)
        _, _, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
        truth = {tuple(map(float, row[:4])) for row in stats[1:]}
        count += len(sample.boxes_xywh)
        same += sum(tuple(box) in truth for box in sample.boxes_xywh.tolist())
    assert count == 533
    assert same == 532


@pytest.mark.skipif(not EDGES.is_dir(), reason="../shared/faults is not there")
def test_squares_as_labelimg_writes_them() -> None:
    boxes, said = read(EDGES)
    assert sorted(boxes) == sorted([20 * i, 10 * i, 6, 6] for i in range(12))
    assert "labelImg" in said


def test_what_supervision_writes(tmp_path: Path) -> None:
    """The real program, where it is installed; its versions count differently."""
    supervision = pytest.importorskip("supervision")
    truth: list[list[float]] = []
    images, annotations = {}, {}
    for number in range(4):
        path = tmp_path / "drawn" / f"{number}.png"
        boxes = draw(path, number)
        truth += [[x, y, right - x, bottom - y] for x, y, right, bottom in boxes]
        images[str(path)] = cv2.imread(str(path))
        annotations[str(path)] = supervision.Detections(xyxy=np.array(boxes, float), class_id=np.zeros(len(boxes), int))
    data = supervision.DetectionDataset(classes=["drone"], images=images, annotations=annotations)
    data.as_pascal_voc(str(tmp_path / "JPEGImages"), str(tmp_path / "Annotations"))
    assert read(tmp_path)[0] == truth


def test_what_labelimg_writes(tmp_path: Path) -> None:
    """The real program, where it is installed."""
    writer = pytest.importorskip("libs.pascal_voc_io").PascalVocWriter
    boxes = draw(tmp_path / "JPEGImages" / "a.png", 0)
    file = writer("JPEGImages", "a.png", (120, 160, 3), local_img_path=str(tmp_path / "JPEGImages" / "a.png"))
    for box in boxes:
        file.add_bnd_box(*box, "drone", 0)
    (tmp_path / "Annotations").mkdir()
    file.save(str(tmp_path / "Annotations" / "a.xml"))
    assert read(tmp_path)[0] == [[x, y, right - x, bottom - y] for x, y, right, bottom in boxes]
