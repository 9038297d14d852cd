"""VOC sets of any content: right boxes, or one line."""

import shutil
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from fuzzing import NAMES, NUMBERS, attempt, check_labelled, damaged, fuzz, spoil
from hypothesis import given
from hypothesis import strategies as st

from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.voc import read_voc_file, read_voc_set
from yolox_gssam.data.formats.voc_coordinates import to_xywh

XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<annotation><filename>a.jpg</filename>'
    b"<size><width>40</width><height>20</height><depth>3</depth></size>"
    b"<object><name>drone</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>20</ymax></bndbox></object>"
    b"<object><name>bird</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>5</xmax><ymax>7.5</ymax></bndbox></object>"
    b"</annotation>"
)
TEXTS = st.one_of(
    NUMBERS.map(str), NAMES, st.sampled_from([" ", "1_0", "0x10", "12 ", "\n3\n", "١", "&b;", "&#0;", "&#10;"])
)
PROLOGS = st.sampled_from(
    [
        "",
        '<?xml version="1.0"?>',
        '<?xml version="1.0" encoding="utf-16"?>',
        '<?xml version="1.0" encoding="idna"?>',
        '<?xml version="9"?>',
        '<!DOCTYPE a [<!ENTITY b "ha">]>',
        '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
        '<!DOCTYPE a [<!ENTITY % b SYSTEM "/etc/passwd"> %b;]>',
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """An annotation whose texts are of any kind, some of its elements missing or doubled."""

    def element(name: str, inner: str) -> str:
        return f"<{name}>{inner}</{name}>" * draw(st.sampled_from([1, 1, 1, 1, 0, 2]))

    def text(name: str) -> str:
        content = draw(TEXTS)
        return element(name, content if draw(st.booleans()) else escape(content))

    objects = ""
    for _ in range(draw(st.integers(0, 3))):
        box = "".join(text(key) for key in ("xmin", "ymin", "xmax", "ymax"))
        objects += element("object", text("name") + element("bndbox", box))
    size = element("size", text("width") + text("height"))
    return (draw(PROLOGS) + element("annotation", text("filename") + size + objects)).encode(errors="replace")


def make_set(root: Path) -> Path:
    """A set with a file outside it."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("JPEGImages/a.jpg", "JPEGImages/b.jpg", "../out.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in ("Annotations/a.xml", "Annotations/b.xml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(XML)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("b\n")
    return root


def check_set(root: Path, keep_split: bool) -> None:
    """Reads a set; what comes of it lies inside."""
    check_labelled(lambda report: read_voc_set(root, report=report, keep_split=keep_split, coordinates="auto"), root)


@fuzz(500)
@given(data=st.one_of(documents(), damaged(XML), st.binary(max_size=40)))
def test_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a\nb.xml"
    path.write_bytes(data)
    faults: list[Fault] = []
    file = attempt(lambda: read_voc_file(path, faults.append))
    assert all(str(fault).isprintable() for fault in faults)
    if file is not None:
        boxes = [to_xywh(corners, "pixels") for corners in file.corners]
        assert len(file.names) == len(boxes)
        assert all(np.isfinite(box).all() and min(box[2:]) > 0 for box in boxes)


@fuzz(200)
@given(data=documents(), part=st.lists(st.one_of(st.sampled_from(["a", "b"]), NAMES), max_size=3), keep=st.booleans())
def test_sets(tmp_path: Path, data: bytes, part: list[str], keep: bool) -> None:
    root = tmp_path / "around" / "set"
    if not root.exists():
        make_set(root)
    (root / "Annotations" / "b.xml").write_bytes(data)
    (root / "ImageSets" / "Main" / "val.txt").write_bytes("\n".join(part).encode(errors="replace"))
    check_set(root, keep)


@fuzz(60)
@given(data=st.data(), keep=st.booleans())
def test_links_and_pipes(tmp_path: Path, data: st.DataObject, keep: bool) -> None:
    """Files of a set replaced by links out of it, by links in a circle, by devices, pipes and folders."""
    root = make_set(tmp_path / "around" / "set")
    spoil(data, root)
    check_set(root, keep)
