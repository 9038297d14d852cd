"""YOLO sets of any content: right labels, or one line."""

import shutil
from pathlib import Path
from typing import Any

import yaml
from fuzzing import NAMES, NUMBERS, VALUES, altered, attempt, check_labelled, damaged, fuzz, spoil
from hypothesis import given
from hypothesis import strategies as st

from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.yolo import read_yolo_set
from yolox_gssam.data.formats.yolo_lines import LabelLines

LABELS = b"1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.2 0.2\r\n1 0.2 0.3 0.6 0.25 0.5 0.75\n"
SETTINGS: dict[str, Any] = {
    "path": ".",
    "train": "train/images",
    "val": ["valid/images", "list.txt"],
    "nc": 2,
    "names": {0: "zebra", 1: "bird"},
}
YAML_PIECES = st.one_of(
    st.sampled_from(["names: ", "train: ", "val: ", "path: ", "\n", "  ", "- ", "[", "]", "{", "}", ", ", ": ", "? "]),
    st.sampled_from(
        ["&a ", "*a", "<<: ", "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!set ", "!!omap ", "!!str "]
    ),
    st.sampled_from(
        ["!!binary ", "!!python/object/apply:os.system ", "!x ", "''", "'", '"', "|\n", ">", "%YAML 9.9\n"]
    ),
    st.sampled_from(
        ["images", "train/images", "zebra", "0", "1", "2001-99-99", "1:2", ".nan", "0x", "~", "--- ", "... "]
    ),
    st.sampled_from(["x: !!int ''\n", "x: !!float ''\n", "x: !!bool y z\n", "x: !!timestamp z\n", "x: &a {<<: *a}\n"]),
    st.text(max_size=4),
)
LINES = st.one_of(
    st.sampled_from(
        ["images/a.jpg", "./images/a.jpg", "images/../images/b.jpg", "../out.jpg", ".", "./", "images", ""]
    ),
    NAMES,
)


def make_set(root: Path) -> Path:
    """A set with a file outside it."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("train/images/a.jpg", "valid/images/b.jpg", "images/a.jpg", "images/b.jpg", "../out.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name in ("train/labels/a.txt", "valid/labels/b.txt", "labels/a.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(LABELS)
    (root / "list.txt").write_text("./images/a.jpg\n")
    return root


def check_set(root: Path, source: Path, **options: Any) -> None:
    """Reads a set; what comes of it lies inside."""
    check_labelled(lambda report: read_yolo_set(source, report=report, **options), root)


@fuzz(400)
@given(
    data=st.one_of(
        damaged(LABELS),
        st.lists(st.lists(st.one_of(NUMBERS.map(str), st.text(max_size=3)), max_size=9).map(" ".join), max_size=4).map(
            lambda lines: "\n".join(lines).encode(errors="surrogatepass")
        ),
    )
)
def test_label_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a\nb.txt"
    path.write_bytes(data)
    faults: list[Fault] = []
    read = attempt(lambda: LabelLines(2).read(path, faults.append))
    assert all(str(fault).isprintable() for fault in faults)
    if read is not None:
        boxes, labels = read
        assert len(boxes) == len(labels)
        assert set(labels) <= {0, 1}
        assert all(-1 < x < 2 and -1 < y < 2 and 0 < w < 2 and 0 < h < 2 for x, y, w, h in boxes)


@fuzz(300)
@given(
    text=st.one_of(
        altered(SETTINGS).map(lambda settings: yaml.safe_dump(settings, allow_unicode=True).encode(errors="replace")),
        damaged(yaml.safe_dump(SETTINGS).encode()),
        st.lists(YAML_PIECES, max_size=12).map(lambda pieces: "".join(pieces).encode(errors="replace")),
        VALUES.map(lambda value: yaml.safe_dump(value).encode()),
    ),
    keep_split=st.booleans(),
)
def test_data_yaml(tmp_path: Path, text: bytes, keep_split: bool) -> None:
    root = tmp_path / "around" / "set"
    if not root.exists():
        make_set(root)
    (root / "data.yaml").write_bytes(text)
    check_set(root, root, keep_split=keep_split)


@fuzz(200)
@given(lines=st.lists(LINES, max_size=4), classes=st.lists(NAMES, max_size=3))
def test_lists_of_images_and_classes(tmp_path: Path, lines: list[str], classes: list[str]) -> None:
    root = tmp_path / "around" / "set"
    if not root.exists():
        make_set(root)
    (root / "list.txt").write_bytes("\n".join(lines).encode(errors="replace"))
    (root / "data.yaml").write_text("train: list.txt\nnames: [a, b]\n")
    check_set(root, root)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_bytes("\n".join(classes).encode(errors="replace"))
    check_set(root, root)


@fuzz(60)
@given(data=st.data())
def test_links_and_pipes(tmp_path: Path, data: st.DataObject) -> None:
    """Files of a set replaced by links out of it, by links in a circle, by devices, pipes and folders."""
    root = make_set(tmp_path / "around" / "set")
    if data.draw(st.booleans()):
        (root / "data.yaml").write_text(yaml.safe_dump(SETTINGS))
    (root / "classes.txt").write_text("a\nb\n")
    spoil(data, root)
    check_set(root, root)
