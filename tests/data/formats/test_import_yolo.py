from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import MAX_OBJECTS, Fault, raise_fatal
from yolox_gssam.data.formats.yolo import label_path, read_yolo_set
from yolox_gssam.data.formats.yolo_lines import LabelLines


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


PLAIN = {
    "images/a.jpg": "",
    "labels/a.txt": "2 0.5 0.5 0.2 0.4\n\n0 0.1 0.1 0.2 0.2\n",
    "images/sub/b.jpg": "",
    "labels/sub/b.txt": "",
    "images/c.jpg": "",
    "classes.txt": "zebra\nbird\ndrone\n",
}
WITH_YAML = {
    "data.yaml": "train: train/images\nval: valid/images\nnames: [zebra, bird]\n",
    "train/images/a.jpg": "",
    "train/labels/a.txt": "1 0.5 0.5 0.2 0.4",
    "valid/images/a.jpg": "",
    "valid/labels/a.txt": "0 0.5 0.5 0.2 0.4",
}
MERGE_BOMB = "a0: &a0 {x: y}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
)


def test_plain_folders_keep_class_order_and_images_without_objects(tmp_path: Path) -> None:
    faults: list[Fault] = []
    labelled = read_yolo_set(write(tmp_path, PLAIN), report=faults.append)
    assert labelled.classes == ("zebra", "bird", "drone")  # by label, not by alphabet
    assert [sample.file_name for sample in labelled.samples] == ["a.jpg", "c.jpg", "sub/b.jpg"]
    first, without_file, with_empty_file = labelled.samples
    assert first.labels == [2, 0]
    assert first.fractions
    np.testing.assert_allclose(first.boxes_xywh, [[0.4, 0.3, 0.2, 0.4], [0, 0, 0.2, 0.2]], atol=1e-12)
    assert len(without_file.labels) == len(with_empty_file.labels) == 0
    assert ["1 images have no label file" in str(fault) for fault in faults] == [True]


def test_everything_in_one_folder_and_classes_by_hand(tmp_path: Path) -> None:
    root = write(tmp_path / "images" / "set", {"a.jpg": "", "a.txt": "1 0.5 0.5 0.2 0.4"})
    labelled = read_yolo_set(root, report=raise_fatal, classes=("bird", "drone"))
    assert labelled.classes == ("bird", "drone")
    assert labelled.samples[0].labels == [1]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("names: [zebra, bird]", id="list"),
        pytest.param("names: {1: bird, 0: zebra}", id="mapping out of order"),
        pytest.param("nc: 2\nnames:\n  0: zebra\n  1: bird\nroboflow: {workspace: x}", id="with other keys"),
        pytest.param("path: .\nnames: [zebra, bird]", id="path"),
        pytest.param("names: {'1': bird, '0': zebra}", id="mapping of quoted numbers"),
        pytest.param("test: ../test/images\nnames: [zebra, bird]", id="a test that is not there"),
    ],
)
def test_what_a_data_yaml_says(tmp_path: Path, text: str) -> None:
    files = {**WITH_YAML, "data.yaml": f"train: train/images\nval: valid/images\n{text}\n"}
    labelled = read_yolo_set(write(tmp_path, files), report=raise_fatal, keep_split=True)
    assert labelled.classes == ("zebra", "bird")
    assert [(s.file_name, s.labels, s.part) for s in labelled.samples] == [
        ("train/images/a.jpg", [1], "train"),
        ("valid/images/a.jpg", [0], "val"),
    ]


@pytest.mark.parametrize(
    "train",
    [
        pytest.param("../train/images", id="one level too high, as some exporters write"),
        pytest.param("[train/images]", id="list of folders"),
        pytest.param("train.txt", id="text file of images"),
        pytest.param("dotted.txt", id="text file of images from its own place"),
    ],
)
def test_entries_of_a_data_yaml(tmp_path: Path, train: str) -> None:
    files = {
        **WITH_YAML,
        "data.yaml": f"train: {train}\nval: valid/images\nnames: [zebra, bird]\n",
        "train.txt": "train/images/a.jpg\n",
        "dotted.txt": "./train/images/a.jpg\n",
    }
    root = write(tmp_path / "set", files)
    for source in (root, root / "data.yaml"):
        labelled = read_yolo_set(source, report=lambda fault: None)
        assert [sample.file_name for sample in labelled.samples] == ["train/images/a.jpg", "valid/images/a.jpg"]
        assert [sample.labels for sample in labelled.samples] == [[1], [0]]


def test_data_yaml_apart_from_the_set(tmp_path: Path) -> None:
    write(tmp_path / "set", WITH_YAML)
    yaml_path = tmp_path / "config.yaml"
    yaml_path.write_text("path: /somewhere/else\ntrain: train/images\nnames: [zebra, bird]\n")
    with pytest.raises(UserError, match=r"config\.yaml: path '/somewhere/else' leaves the folder of the file"):
        read_yolo_set(yaml_path, report=raise_fatal)
    labelled = read_yolo_set(yaml_path, report=raise_fatal, root=tmp_path / "set")
    assert [sample.file_name for sample in labelled.samples] == ["train/images/a.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("train: train/images", "names must list the class names, not None", id="no names"),
        pytest.param("train: train/images\nnames: {0: a, 2: b}", "the keys of names must be", id="gap in names"),
        pytest.param("train: train/images\nnames: drone", "names must list", id="names is text"),
        pytest.param("names: [a]", "names no images", id="no parts"),
        pytest.param(
            "names: [a]\ntrain: nowhere", r"data\.yaml: line 2: train: 'nowhere' is not there", id="no such folder"
        ),
        pytest.param("train: [train/images, nowhere]\nnames: [a]", "'nowhere' is not there", id="one of a list"),
        pytest.param("train: ../..\nnames: [a]", r"line 1: train: '\.\./\.\.' leaves", id="leaves"),
        pytest.param("train: /etc\nnames: [a]", r"line 1: train: '/etc' leaves", id="absolute"),
        pytest.param("train: /x/y\nnames: [a]", "write on this line where the images lie", id="of another machine"),
        pytest.param("train: train/images\nnames: {'0': a, 0: b}", "the keys of names", id="a label twice"),
        pytest.param("train: train/images\nnames: {'0x': a}", "the keys of names", id="a key that is no number"),
        pytest.param("train: train/images\nnames: [a]\nkpt_shape: 17", "kpt_shape must be", id="kpt_shape no list"),
        pytest.param("train: train/images\nnames: [a]\nkpt_shape: [2, 4]", "kpt_shape must be", id="kpt_shape of 4"),
        pytest.param("train: {a: b}\nnames: [a]", "must be a path", id="entry no path"),
        pytest.param("train: bad.txt\nnames: [a]", r"bad\.txt: line 2: '../../x.jpg' leaves", id="list leaves"),
        pytest.param("path: 3\ntrain: train/images\nnames: [a]", "path must be text", id="path no text"),
        pytest.param("[1, 2]", "must hold names", id="a list"),
        pytest.param("a: [", "not YAML", id="no YAML"),
        pytest.param("!!python/object/apply:os.system ['true']", "not YAML", id="YAML that runs a program"),
        pytest.param("names: &a [*a]\ntrain: train/images", "names must list", id="YAML that holds itself"),
        pytest.param("x: " + "[" * 100_000, "not YAML", id="deeply nested"),
        pytest.param("x: !!int ''", "not YAML: a value does not fit", id="a number without digits"),
        pytest.param("x: !!bool y z", "not YAML: a value does not fit", id="neither true nor false"),
        pytest.param("x: !!timestamp soon", "not YAML: a value does not fit", id="no time"),
        pytest.param(MERGE_BOMB, "merge keys .* are not read", id="merge keys without end"),
        pytest.param('names: ["\\ud800"]\ntrain: train/images', "names must list", id="half a surrogate pair"),
        pytest.param("train: dot.txt\nnames: [a]", r"dot\.txt: line 1: '\.' is no image file", id="list of a folder"),
        pytest.param("train: long.txt\nnames: [a]", r"line 1: .* is no image file", id="list of a long name"),
        pytest.param("train: twice.txt\nnames: [a]", r"line 2: .* is listed twice", id="list of an image twice"),
        pytest.param("train: [train, train/images]\nnames: [a, b]", "again; each image belongs to one", id="twice"),
    ],
)
def test_faulty_data_yaml(tmp_path: Path, text: str, message: str) -> None:
    lists = {
        "bad.txt": "train/images/a.jpg\n../../x.jpg",
        "dot.txt": ".",
        "long.txt": "x" * 255,
        "twice.txt": "train/images/a.jpg\n./train/images/a.jpg",
    }
    root = write(tmp_path / "a" / "b", {**WITH_YAML, **lists, "data.yaml": text})
    with pytest.raises(UserError, match=message) as caught:
        read_yolo_set(root, report=raise_fatal)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("0 0.5 0.5 0.1", "must hold a class and x y width height", id="three numbers"),
        pytest.param("0 0.5 0.5 0.1 0.1 0.9", "must hold a class and x y", id="with a score"),
        pytest.param("drone 0.5 0.5 0.1 0.1", "must hold numbers only", id="name for a class"),
        pytest.param("3 0.5 0.5 0.1 0.1", "class '3' is not one of 0 to 2", id="unknown class"),
        pytest.param("-1 0.5 0.5 0.1 0.1", "class '-1' is not one of", id="negative class"),
        pytest.param("0.5 0.5 0.5 0.1 0.1", "class '0.5' is not one of", id="fractional class"),
        pytest.param("nan 0.5 0.5 0.1 0.1", "class 'nan' is not one of", id="class NaN"),
        pytest.param("0 nan 0.5 0.1 0.1", "must hold fractions", id="NaN"),
        pytest.param("0 0.5 inf 0.1 0.1", "must hold fractions", id="infinite"),
        pytest.param("0 0.5 1e308 0.1 0.1", "must hold fractions", id="1e308"),
        pytest.param("0 320 240 40 30", "must hold fractions", id="pixels"),
        pytest.param("0 0.5 0.5 -0.1 0.1", "must hold fractions", id="negative width"),
        pytest.param("0 0.5 0.5 0 0.1", "the box has no area", id="no area"),
    ],
)
def test_faulty_lines_are_told_with_their_number(tmp_path: Path, line: str, message: str) -> None:
    faults: list[Fault] = []
    path = tmp_path / "a.txt"
    path.write_text(f"1 0.5 0.5 0.2 0.4\n{line}\n2 0.5 0.5 0.2 0.4\n")
    _, labels = LabelLines(3).read(path, faults.append)
    assert labels == [1, 2]
    assert [str(fault).startswith(f"{path}: line 2: {message}") for fault in faults] == [True]


def test_polygon_counts_as_its_outer_box(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1 0.2 0.3 0.6 0.25 0.5 0.75\n")
    boxes, labels = LabelLines(2).read(path, raise_fatal)
    np.testing.assert_allclose(boxes, [[0.2, 0.25, 0.4, 0.5]])
    assert labels == [1]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("train/images/a.b.png", "train/labels/a.b.txt"),
        ("images/images/x/a.jpg", "images/labels/x/a.txt"),
        ("a.jpg", "a.txt"),
        ("images.jpg", "images.txt"),
    ],
)
def test_label_path(image: str, label: str) -> None:
    root = Path("/data/images/set")
    assert label_path(root / image, root) == root / label


def test_a_set_without_any_labels_is_refused(tmp_path: Path) -> None:
    """Otherwise it would train on nothing but background, and end at mAP 0 without a word."""
    files = {name: text for name, text in PLAIN.items() if not name.startswith("labels")}
    with pytest.raises(UserError, match=r"no image has a label file; looked for .*labels/a\.txt"):
        read_yolo_set(write(tmp_path, files), report=raise_fatal)


def test_label_file_without_an_image_is_told(tmp_path: Path) -> None:
    faults: list[Fault] = []
    read_yolo_set(write(tmp_path, {**PLAIN, "labels/lost.txt": "", "labels/c.txt": ""}), report=faults.append)
    assert [str(fault) for fault in faults] == [f"{tmp_path}/labels/lost.txt: label file without an image; left out"]


@pytest.mark.parametrize("name", ["images", "labels", "labels/a.txt", "classes.txt"])
def test_files_and_folders_that_are_links(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "set", PLAIN)
    expected = read_yolo_set(root, report=lambda fault: None)
    (tmp_path / "outside" / name).parent.mkdir(parents=True)
    (root / name).rename(tmp_path / "outside" / name)
    (root / name).symlink_to(tmp_path / "outside" / name)
    labelled = read_yolo_set(root, report=lambda fault: None)
    assert labelled.classes == expected.classes
    assert [s.file_name for s in labelled.samples] == [s.file_name for s in expected.samples]
    assert [s.labels for s in labelled.samples] == [s.labels for s in expected.samples]


def test_more_objects_than_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    lines = [f"0 .5 .5 .1 .{number}\n" for number in range(1, MAX_OBJECTS + 2)]
    path.write_text("".join(lines[:-1]))
    assert len(LabelLines(1).read(path, raise_fatal)[1]) == len({float(line.split()[-1]) for line in lines[:-1]})
    for text, message in (
        ("".join(lines), "has more than 10,000 objects"),
        (lines[0] * 10**6, "larger than 4,096 KiB"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=rf"a\.txt: {message}"):
            LabelLines(1).read(path, raise_fatal)


def test_messages_stay_on_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.txt"
    path.write_bytes(b"\xff")
    with pytest.raises(UserError) as caught:
        LabelLines(1).read(path, raise_fatal)
    assert str(caught.value).isprintable()


def test_sources_that_are_no_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read_yolo_set(tmp_path / "missing", report=raise_fatal)
    with pytest.raises(UserError, match=r"no data\.yaml, and no classes\.txt"):
        read_yolo_set(write(tmp_path / "a", {"images/a.jpg": ""}), report=raise_fatal)
    with pytest.raises(UserError, match="leave out --classes"):
        read_yolo_set(write(tmp_path / "b", WITH_YAML), report=raise_fatal, classes=("x",))
    with pytest.raises(UserError, match=r"--keep-split needs a data\.yaml"):
        read_yolo_set(write(tmp_path / "c", PLAIN), report=raise_fatal, keep_split=True)
    with pytest.raises(UserError, match="several YAML files"):
        read_yolo_set(write(tmp_path / "d", {"a.yaml": "", "b.yaml": ""}), report=raise_fatal)


def told(faults: list[Fault]) -> list[str]:
    """The reports but for that of the split."""
    return [str(fault) for fault in faults if "split anew" not in str(fault)]


def with_labels(text: str, *, yaml: str = "") -> dict[str, str]:
    """A set of two images; `text` labels the first."""
    return {
        "data.yaml": f"train: train/images\nnames: [drone]\n{yaml}\n",
        "train/images/a.jpg": "",
        "train/images/b.jpg": "",
        "train/labels/a.txt": text,
        "train/labels/b.txt": "",
    }


@pytest.mark.parametrize(
    ("shape", "points"),
    [
        pytest.param("[2, 2]", "0.20 0.30 0.36 0.45", id="2 of 2"),
        pytest.param("[2, 3]", "0.20 0.30 1 0.36 0.45 2", id="2 of 3, even"),
        pytest.param("[1, 3]", "0 0 0", id="1 of 3, odd"),
        pytest.param("[1, 2]", "-0.5 1.5", id="a point outside the image"),
    ],
)
def test_of_key_points_the_box_counts(tmp_path: Path, shape: str, points: str) -> None:
    """What the box is was worked out by hand: centre and size, not the outline of the points."""
    files = with_labels(f"0 0.3 0.4 0.2 0.1 {points}\n0 0.5 0.5 0.5 0.5", yaml=f"kpt_shape: {shape}")
    (sample, _) = read_yolo_set(write(tmp_path, files), report=raise_fatal).samples
    np.testing.assert_allclose(sample.boxes_xywh, [[0.2, 0.35, 0.2, 0.1], [0.25, 0.25, 0.5, 0.5]], atol=1e-12)


def test_key_points_of_another_number_than_kpt_shape_says(tmp_path: Path) -> None:
    root = write(tmp_path, with_labels("0 0.3 0.4 0.2 0.1 0.2 0.3", yaml="kpt_shape: [2, 2]"))
    with pytest.raises(
        UserError, match=r"a\.txt: line 1: .* \(4 numbers by kpt_shape\), not 6 numbers after the class"
    ):
        read_yolo_set(root, report=raise_fatal)


@pytest.mark.parametrize("points", ["0.20 0.30 0.36 0.45", "0.20 0.30 1 0.36 0.45 1", "0.20 0.30 1"])
def test_key_points_of_one_line_without_kpt_shape_are_refused(tmp_path: Path, points: str) -> None:
    root = write(tmp_path, with_labels(f"0 0.28125 0.375 0.25 0.25 {points}"))
    with pytest.raises(UserError, match=r"a\.txt: line 1: .*kpt_shape"):
        read_yolo_set(root, report=raise_fatal)


def test_key_points_without_kpt_shape_are_refused_unless_told_what_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(12):
        (x, y), (w, h) = rng.uniform(0.3, 0.7, 2), rng.uniform(0.02, 0.1, 2)
        points = rng.uniform([x - w / 2, y - h / 2], [x + w / 2, y + h / 2], (3, 2))
        rows.append((x, y, w, h, points))
    text = "\n".join(" ".join(map(str, (0, *row[:4], *row[4].ravel()))) for row in rows)
    root = write(tmp_path, with_labels(text))
    with pytest.raises(UserError, match=r"a\.txt: line 1: may hold a box and key points, or a polygon.*kpt_shape"):
        read_yolo_set(root, report=raise_fatal)
    boxes = read_yolo_set(root, report=raise_fatal, lines="key-points").samples[0].boxes_xywh
    np.testing.assert_allclose(boxes, [[x - w / 2, y - h / 2, w, h] for x, y, w, h, _ in rows], atol=1e-9)
    read_yolo_set(root, report=raise_fatal, lines="polygons")


@pytest.mark.parametrize(
    ("corners", "sides"),
    [
        pytest.param(4, (0.02, 0.1), id="small"),
        pytest.param(12, (0.02, 0.1), id="small, of many corners"),
        pytest.param(5, (0.2, 0.5), id="large"),
        pytest.param(3, (0.02, 0.1), id="triangles"),
    ],
)
def test_polygons_stay_polygons(tmp_path: Path, corners: int, sides: tuple[float, float]) -> None:
    """Convex ones of one number of corners, anywhere in the image: the hardest to tell from key points."""
    rng = np.random.default_rng(corners)
    polygons = []
    for _ in range(40):
        radius = rng.uniform(*sides) / 2
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(corners) / corners
        centre = rng.uniform(radius, 1 - radius, 2)
        polygons.append(centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1))
    text = "\n".join(" ".join(map(str, (0, *polygon.ravel()))) for polygon in polygons)
    boxes = read_yolo_set(write(tmp_path, with_labels(text)), report=raise_fatal).samples[0].boxes_xywh
    np.testing.assert_allclose(boxes, [[*p.min(0), *(p.max(0) - p.min(0))] for p in polygons], atol=1e-9)


def test_an_object_named_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    faults: list[Fault] = []
    text = "0 0.3 0.4 0.2 0.1\n0 0.30 0.40 0.2 0.1\n0 0.3 0.4 0.2 0.2\n0 0.3 0.4 0.2 0.1\n"
    (sample, _) = read_yolo_set(write(tmp_path, with_labels(text)), report=faults.append).samples
    np.testing.assert_allclose(sample.boxes_xywh, [[0.2, 0.35, 0.2, 0.1], [0.2, 0.3, 0.2, 0.2]], atol=1e-12)
    (line,) = told(faults)
    assert "2 lines repeat an object of their file" in line
    assert line.endswith("labels/a.txt: line 2")


@pytest.mark.parametrize(
    ("yaml", "parts"),
    [
        pytest.param("train: /content/drive/MyDrive/drone/train/images", ["train"], id="absolute"),
        pytest.param("train: C:\\Users\\me\\drone\\train\\images", ["train"], id="of Windows"),
        pytest.param("path: /content/drone\ntrain: train/images\nval: valid/images", ["train", "valid"], id="path"),
        pytest.param("train: drone/train/images", ["train"], id="below a folder that is not there"),
        pytest.param("train: /content/drone/all.txt", ["train", "valid"], id="list"),
        pytest.param("train: /content/drone/train/images\nval: /content/images", ["train"], id="no such end"),
        pytest.param("train: train/images\nval: /content/val/train.txt", ["train"], id="the end is of another part"),
    ],
)
def test_paths_of_another_machine(tmp_path: Path, yaml: str, parts: list[str]) -> None:
    files = {
        **WITH_YAML,
        "data.yaml": f"{yaml}\nnames: [zebra, bird]\n",
        "all.txt": "/content/drone/train/images/a.jpg\n/content/drone/valid/images/a.jpg\n",
        "train.txt": "train/images/a.jpg\n",
    }
    faults: list[Fault] = []
    labelled = read_yolo_set(write(tmp_path, files), report=faults.append)
    assert [sample.file_name for sample in labelled.samples] == [f"{part}/images/a.jpg" for part in parts]
    assert [sample.labels for sample in labelled.samples] == [[int(part == "train")] for part in parts]
    assert "is not there" in told(faults)[0]
    assert all(not fault.fatal for fault in faults)


def test_a_missing_part_is_told_with_its_line(tmp_path: Path) -> None:
    faults: list[Fault] = []
    text = "train: ../train/images\nval: ../valid/images\n\ntest: ../test/images\nnames: [zebra, bird]\n"
    labelled = read_yolo_set(write(tmp_path, {**WITH_YAML, "data.yaml": text}), report=faults.append, keep_split=True)
    assert [sample.part for sample in labelled.samples] == ["train", "val"]
    assert told(faults) == [f"{tmp_path}/data.yaml: line 4: test: '../test/images' is not there; left out"]


@pytest.mark.parametrize("names", ["train/classes.txt", "train/labels/classes.txt", "val/obj.names", "obj.names"])
def test_parts_of_pictures_beside_their_labels(tmp_path: Path, names: str) -> None:
    files = {f"{part}/{name}": "" for part in ("train", "val") for name in ("a.jpg", "b.jpg")}
    labels = {"train/a.txt": "1 0.5 0.5 0.2 0.4", "val/b.txt": "0 0.5 0.5 0.2 0.4"}
    faults: list[Fault] = []
    root = write(tmp_path, {**files, **labels, names: "zebra\nbird\n"})
    labelled = read_yolo_set(root, report=faults.append, keep_split=True)
    assert labelled.classes == ("zebra", "bird")
    assert [(s.file_name, s.labels, s.part) for s in labelled.samples] == [
        ("train/a.jpg", [1], "train"),
        ("train/b.jpg", [], "train"),
        ("val/a.jpg", [], "val"),
        ("val/b.jpg", [0], "val"),
    ]
    told = [str(fault) for fault in faults]
    assert f"{root}/{names}: the class names are taken from here" in told or names == "obj.names"
    assert any("its parts are split anew" in str(fault) for fault in faults) is False
    read_yolo_set(root, report=faults.append)
    assert any("its parts are split anew; --keep-split keeps them" in str(fault) for fault in faults)


def test_class_names_that_differ(tmp_path: Path) -> None:
    root = write(tmp_path, {**PLAIN, "train/classes.txt": "bird\n"})
    with pytest.raises(UserError, match=r"train/classes\.txt: its class names differ from those of .*classes\.txt"):
        read_yolo_set(root, report=raise_fatal)


def test_a_data_yaml_of_colab(tmp_path: Path) -> None:
    """As Roboflow's download writes it into a mounted drive, with a list of images and a folder."""
    base = "/content/drive/MyDrive/drones-3"
    text = f"train: {base}/train/images\nval: {base}/val.txt\ntest: ../test/images\nnc: 2\nnames: [zebra, bird]\n"
    files = {**WITH_YAML, "data.yaml": text, "val.txt": f"{base}/valid/images/a.jpg\n"}
    faults: list[Fault] = []
    labelled = read_yolo_set(write(tmp_path, files), report=faults.append, keep_split=True)
    assert [(s.file_name, s.labels, s.part) for s in labelled.samples] == [
        ("train/images/a.jpg", [1], "train"),
        ("valid/images/a.jpg", [0], "val"),
    ]
    told = "\n".join(map(str, faults))
    assert f"took {tmp_path}/train/images, where the path ends alike" in told
    assert "1 of its paths are not there; took the images whose paths end alike" in told
