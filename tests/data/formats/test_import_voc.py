from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import MAX_OBJECTS, Fault, raise_fatal
from yolox_gssam.data.formats.voc import read_voc_file, read_voc_set


def xml(
    objects: list[tuple[str, str, str, str, str]],
    file_name: str = "a.jpg",
    size: tuple[object, object] | None = (40, 20),
) -> str:
    parts = [f"<filename>{file_name}</filename>"]
    if size:
        parts.append(f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>")
    for name, *box in objects:
        corners = "".join(
            f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        parts.append(f"<object><name>{name}</name><difficult>1</difficult><bndbox>{corners}</bndbox></object>")
    return f"<annotation>{''.join(parts)}</annotation>"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


DRONE, BIRD = ("drone", "1", "1", "40", "20"), ("bird", "5", "6", "5", "7.5")
SET = {
    "Annotations/a.xml": xml([DRONE, BIRD]),
    "Annotations/b.xml": xml([], "b.jpg"),
    "Annotations/c.xml": xml([BIRD], "renamed since.jpg", size=None),
    "JPEGImages/a.jpg": "",
    "JPEGImages/b.jpg": "",
    "JPEGImages/c.png": "",
    "ImageSets/Main/train.txt": "a\nb\n",
    "ImageSets/Main/val.txt": "c 1\n",
}


def test_pixels_are_counted_from_one_and_the_last_belongs_to_the_box(tmp_path: Path) -> None:
    labelled = read_voc_set(write(tmp_path, SET), report=raise_fatal)
    assert labelled.classes == ("bird", "drone")
    first, second, third = labelled.samples
    np.testing.assert_array_equal(first.boxes_xywh, [[0, 0, 40, 20], [4, 5, 1, 2.5]])  # the first is the whole image
    assert first.labels == [1, 0]
    assert (first.size_wh, third.size_wh) == ((40, 20), None)
    assert (second.file_name, len(second.labels)) == ("b.jpg", 0)
    assert (third.file_name, third.path) == ("c.png", tmp_path / "JPEGImages" / "c.png")


def test_class_order_by_hand(tmp_path: Path) -> None:
    root = write(tmp_path, SET)
    assert read_voc_set(root, report=raise_fatal, classes=("drone", "bird")).samples[0].labels == [0, 1]
    with pytest.raises(UserError, match=r"a\.xml: class 'bird': is not one of drone"):
        read_voc_set(root, report=raise_fatal, classes=("drone",))


def test_parts_are_kept(tmp_path: Path) -> None:
    faults: list[Fault] = []
    root = write(tmp_path, {**SET, "Annotations/d.xml": xml([], "d.jpg"), "JPEGImages/d.jpg": ""})
    labelled = read_voc_set(root, report=faults.append, keep_split=True)
    assert [(s.file_name, s.part) for s in labelled.samples] == [
        ("a.jpg", "train"),
        ("b.jpg", "train"),
        ("c.png", "val"),
    ]
    left_out, stale = map(str, faults)
    assert left_out == f"{root}/Annotations/d.xml: is in no part of ImageSets/Main; left out"
    assert "1 files name another image inside" in stale


def test_xml_beside_the_images(tmp_path: Path) -> None:
    labelled = read_voc_set(write(tmp_path, {"a.xml": xml([DRONE]), "a.jpg": ""}), report=raise_fatal)
    assert [(s.file_name, s.labels) for s in labelled.samples] == [("a.jpg", [0])]


def test_images_without_a_file_are_told(tmp_path: Path) -> None:
    faults: list[Fault] = []
    read_voc_set(write(tmp_path, {**SET, "JPEGImages/z.jpg": ""}), report=faults.append)
    assert f"{tmp_path}/JPEGImages/z.jpg: has no XML file; left out" in [str(fault) for fault in faults]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "not a plain XML file", id="empty"),
        pytest.param("<annotation><object>", "not a plain XML file", id="broken off"),
        pytest.param('<?xml version="1.0" encoding="no-such"?><a/>', "not a plain XML file", id="unknown encoding"),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]><a>&c;</a>',
            "not a plain XML",
            id="entity bomb",
        ),
        pytest.param(
            '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]><a>&b;</a>', "not a plain XML", id="entity of a file"
        ),
        pytest.param(xml([("", "1", "1", "2", "2")]), "object 1: has no name", id="no name"),
        pytest.param(xml([DRONE, ("bird", "1", "1", "two", "2")]), "object 2: bndbox must hold", id="text"),
        pytest.param(xml([("bird", "1", "nan", "2", "2")]), "object 1: bndbox must hold", id="NaN"),
        pytest.param(xml([("bird", "1", "1", "1e308", "2")]), "object 1: bndbox must hold", id="1e308"),
        pytest.param("<annotation><object><name>x</name></object></annotation>", "bndbox must hold", id="no box"),
        pytest.param(xml([DRONE]).replace("<xmin>", "<xmin>3</xmin><xmin>"), "bndbox must hold", id="two xmin"),
        pytest.param(xml([DRONE]).replace("<name>", "<name>x</name><name>"), "has several names", id="two names"),
    ],
)
def test_faulty_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_voc_file(path, raise_fatal)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_box_turned_inside_out_is_passed_over(tmp_path: Path) -> None:
    faults: list[Fault] = []
    path = tmp_path / "a.xml"
    path.write_text(xml([("bird", "9", "9", "5", "12"), DRONE]))
    assert read_voc_file(path, faults.append).names == ["drone"]
    assert [(fault.where, fault.fatal) for fault in faults] == [("object 1", False)]


@pytest.mark.parametrize("size", [None, (0, 0), ("nan", "x")])
def test_size_that_is_not_told(tmp_path: Path, size: tuple[object, object] | None) -> None:
    path = tmp_path / "a.xml"
    path.write_text(xml([DRONE], size=size))
    assert read_voc_file(path, raise_fatal).size_wh is None


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b'<?xml version="1.0" encoding="ISO-8859-1"?>' + xml([DRONE], "größe.jpg").encode("latin-1"))
    assert read_voc_file(path, raise_fatal).file_name == "größe.jpg"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"Annotations/x.xml": xml([], "../a.jpg")}, "leaves the image folder", id="leaves"),
        pytest.param({"Annotations/x.xml": xml([], "/etc/hostname")}, "is absolute", id="absolute"),
        pytest.param(
            {"Annotations/x.xml": xml([], "x.jpg")}, r"x\.xml: no image of its name \(filename says 'x", id="missing"
        ),
        pytest.param({"Annotations/x.xml": xml([], "")}, r"x\.xml: no image of its name is in", id="missing, unnamed"),
        pytest.param(
            {"Annotations/x.xml": xml([], "b.jpg")}, r"x\.xml: belongs to .*b\.jpg, but so does .*b\.xml", id="taken"
        ),
        pytest.param(
            {"ImageSets/Main/val.txt": "c\na\n"}, r"val\.txt: line 2: 'a' is also in train", id="in two parts"
        ),
        pytest.param({"ImageSets/Main/val.txt": "q\n"}, r"val\.txt: line 1: 'q' has no XML file", id="unknown name"),
    ],
)
def test_faulty_sets(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_voc_set(
            write(tmp_path, {**SET, **files}), report=raise_fatal, keep_split="ImageSets/Main/val.txt" in files
        )


def test_roots_that_are_no_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_voc_set(tmp_path / "missing", report=raise_fatal)
    with pytest.raises(UserError, match="no XML files"):
        read_voc_set(tmp_path, report=raise_fatal)
    with pytest.raises(UserError, match="--keep-split needs ImageSets"):
        read_voc_set(write(tmp_path, {"a.xml": xml([]), "a.jpg": ""}), report=raise_fatal, keep_split=True)


def test_more_objects_than_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(xml([BIRD] * MAX_OBJECTS))
    assert len(read_voc_file(path, raise_fatal).names) == MAX_OBJECTS
    for count, message in ((MAX_OBJECTS + 1, "has more than 10,000 objects"), (1_000_000, "larger than 4,096 KiB")):
        path.write_text(xml([BIRD]).replace("<object>", "<object>" + "<x/></object><object>" * (count - 1)))
        with pytest.raises(UserError, match=rf"a\.xml: {message}"):
            read_voc_file(path, raise_fatal)


@pytest.mark.parametrize("name", ["Annotations", "JPEGImages"])
def test_folders_that_are_links(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "set", SET)
    (root / name).rename(tmp_path / "outside")
    (root / name).symlink_to(tmp_path / "outside")
    labelled = read_voc_set(root, report=raise_fatal)
    assert [sample.file_name for sample in labelled.samples] == ["a.jpg", "b.jpg", "c.png"]


def test_an_image_name_too_long_for_the_system(tmp_path: Path) -> None:
    name = "/".join(["日" * 80] * 12) + ".jpg"
    root = write(tmp_path, {**SET, "Annotations/x.xml": xml([], name)})
    with pytest.raises(UserError, match=r"x\.xml: no image of its name \(filename says '.*'\) is in"):
        read_voc_set(root, report=raise_fatal)


def test_messages_stay_on_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.xml"
    path.write_text("<a>")
    with pytest.raises(UserError) as caught:
        read_voc_file(path, raise_fatal)
    assert str(caught.value).isprintable()


def test_the_image_of_the_files_own_name_wins_and_is_told(tmp_path: Path) -> None:
    """Images and files renamed together: the names inside are stale, and are those of other images."""
    faults: list[Fault] = []
    boxes = {
        "a": ("drone", "1", "1", "4", "4"),
        "b": ("drone", "5", "5", "8", "8"),
        "c": ("drone", "9", "9", "12", "12"),
    }
    inside = {"a": "b.jpg", "b": "c.jpg", "c": "c.jpg"}
    files = {f"Annotations/{stem}.xml": xml([boxes[stem]], inside[stem]) for stem in boxes}
    root = write(tmp_path, {**files, **{f"JPEGImages/{stem}.jpg": "" for stem in boxes}})
    labelled = read_voc_set(root, report=faults.append)
    assert [(s.file_name, s.boxes_xywh[0, 0]) for s in labelled.samples] == [("a.jpg", 0), ("b.jpg", 4), ("c.jpg", 8)]
    assert [str(fault) for fault in faults] == [
        f"{root}/Annotations: 2 files name another image inside than they are called, such as a.xml: 'b.jpg'; the "
        "image of the file's own name is taken"
    ]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        pytest.param("a.jpg", "a.jpg", id="one of two of its name"),
        pytest.param("a.png", "a.png", id="the other of two of its name"),
        pytest.param("sub/a.jpg", "sub/a.jpg", id="in a folder"),
        pytest.param("a", "a.jpg", id="without a suffix"),
        pytest.param("a.bmp", "a.jpg", id="of another suffix"),
        pytest.param("/home/me/a.jpg", "a.jpg", id="absolute, of its name"),
        pytest.param("C:\\\\me\\\\b.jpg", "a.jpg", id="of Windows, of another name"),
        pytest.param("", "a.jpg", id="none"),
    ],
)
def test_names_inside(tmp_path: Path, inside: str, expected: str) -> None:
    images = {f"JPEGImages/{name}": "" for name in ("a.jpg", "a.png", "sub/a.jpg", "b.jpg")}
    root = write(tmp_path, {**images, "a.xml": xml([DRONE], inside)})
    (sample,) = read_voc_set(root, report=lambda fault: None).samples
    assert sample.file_name == expected


def test_a_file_called_as_its_image_with_the_suffix(tmp_path: Path) -> None:
    files = {"a.jpg": "", "b.jpg": "", "a.jpg.xml": xml([DRONE], ""), "b.xml": xml([], "")}
    samples = read_voc_set(write(tmp_path, files), report=raise_fatal).samples
    assert [(s.file_name, len(s.labels)) for s in samples] == [("a.jpg", 1), ("b.jpg", 0)]


def test_an_object_of_two_boxes_is_two_objects_and_told(tmp_path: Path) -> None:
    faults: list[Fault] = []
    path = tmp_path / "a.xml"
    second = "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>7</xmax><ymax>9</ymax></bndbox>"
    path.write_text(xml([DRONE]).replace("</bndbox>", f"</bndbox>{second}"))
    file = read_voc_file(path, faults.append)
    assert (file.names, file.corners) == (["drone", "drone"], [[1, 1, 40, 20], [5, 6, 7, 9]])
    assert [str(fault) for fault in faults] == [f"{path}: object 1: has 2 boxes; each counts as an object of its own"]


@pytest.mark.parametrize("name", ["xml", "labels", "bboxes", "Annotations/xmls"])
@pytest.mark.parametrize("images", ["images", "pictures"])
def test_xml_in_any_folder_beside_the_images(tmp_path: Path, name: str, images: str) -> None:
    root = write(tmp_path, {f"{name}/a.xml": xml([DRONE]), f"{images}/a.jpg": "", "masks/b.png": ""})
    (sample,) = read_voc_set(root, report=lambda fault: None).samples
    assert (sample.path, sample.labels) == (root / images / "a.jpg", [0])


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        pytest.param("{}", "{}", id="beside each other, as Roboflow exports"),
        pytest.param("{}/xml", "{}/images", id="two folders in each part"),
        pytest.param("xml/{}", "images/{}", id="the parts in two folders"),
        pytest.param("xml/{}", "pictures/{}", id="the parts in two folders of any name"),
    ],
)
def test_parts_in_folders(tmp_path: Path, labels: str, images: str) -> None:
    """Images of one name in two parts are kept apart."""
    files = {f"{labels.format(part)}/a.xml": xml([box]) for part, box in (("train", DRONE), ("valid", BIRD))}
    root = write(tmp_path, {**files, **{f"{images.format(part)}/a.jpg": "" for part in ("train", "valid")}})
    labelled = read_voc_set(root, report=lambda fault: None, keep_split=True)
    assert [(s.path, s.labels, s.part) for s in labelled.samples] == [
        (root / images.format("train") / "a.jpg", [1], "train"),
        (root / images.format("valid") / "a.jpg", [0], "val"),
    ]
    assert len({s.file_name for s in labelled.samples}) == 2
    faults: list[Fault] = []
    read_voc_set(root, report=faults.append)
    assert any("--keep-split keeps them" in str(fault) for fault in faults)
