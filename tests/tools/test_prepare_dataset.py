"""tools/prepare_dataset.py, run as a user runs it."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_films import box_of, write_film
from pycocotools.coco import COCO

ROOT = Path(__file__).parents[2]
CLIPS = ROOT.parent / "shared" / "data" / "svanstrom"
RunTool = Callable[..., subprocess.CompletedProcess[str]]


def write_images(folder: Path, count: int, size_wh: tuple[int, int] = (64, 48)) -> list[str]:
    """Noisy images of the names clip<k>_<n>.jpg, four a clip."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"clip{number // 4}_{number:03d}.jpg" for number in range(count)]
    for name in names:
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8))
    return names


def annotations_by_name(out: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Class name and box of each object of each image, through pycocotools."""
    found = {}
    for path in (out / "annotations").glob("*.json"):
        coco = COCO(str(path))
        for image in coco.dataset["images"]:
            objects = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            found[image["file_name"]] = [(coco.cats[o["category_id"]]["name"], o["bbox"]) for o in objects]
    return found


def parts_of(out: Path) -> dict[str, set[str]]:
    paths = (out / "annotations").glob("*.json")
    return {path.stem: {image["file_name"] for image in json.loads(path.read_text())["images"]} for path in paths}


def assert_checks(run_tool: RunTool, out: Path) -> None:
    checked = run_tool("prepare_dataset", "check", out)
    assert checked.returncode == 0, checked.stdout
    assert "no faults" in checked.stdout


def assert_one_line_error(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """The last line is ours, there is no traceback, and all words stand in it."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("prepare_dataset.py: error: ")
    assert [word for word in words if word not in last] == []


def write_coco(folder: Path, count: int = 20) -> Path:
    """Ids with gaps; every third image has no objects."""
    names = write_images(folder / "pictures", count)
    images = [
        {"id": 7 * i, "file_name": n, "width": 64, "height": 48, "video": n.split("_")[0]} for i, n in enumerate(names)
    ]
    annotations = [
        {"id": i, "image_id": 7 * i, "category_id": (40, 3)[i % 2], "bbox": [i, 2, 9, 8.5], "area": 1, "iscrowd": 0}
        for i in range(count)
        if i % 3
    ]
    categories = [{"id": 40, "name": "zebra"}, {"id": 12, "name": "unused"}, {"id": 3, "name": "drone"}]
    path = folder / "all.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_coco(run_tool: RunTool, tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    out = tmp_path / "sets" / "mine"
    result = run_tool(
        *("prepare_dataset", "coco", path, "--images", tmp_path / "pictures", "--group-field", "video", "--out", out)
    )
    assert result.returncode == 0, result.stderr
    assert annotations_by_name(out) == {
        f"clip{i // 4}_{i:03d}.jpg": [(("zebra", "drone")[i % 2], [i, 2, 9, 8.5])] if i % 3 else [] for i in range(20)
    }
    summary = json.loads((out / "dataset.json").read_text())
    assert summary["classes"] == ["drone", "unused", "zebra"]  # by ascending id, the unused one in its place
    assert shlex.split(summary["command"])[:3] == ["python", "tools/prepare_dataset.py", "coco"]
    parts = parts_of(out)
    clips = {part: {name.split("_")[0] for name in names} for part, names in parts.items()}
    assert {part: len(names) for part, names in parts.items()} == {"train": 12, "val": 4, "test": 4}
    assert sum(map(len, clips.values())) == 5  # no clip in two parts
    assert "images/s" in result.stderr
    assert_checks(run_tool, out)


def test_coco_twice_is_the_same_and_an_existing_set_is_kept(run_tool: RunTool, tmp_path: Path) -> None:
    arguments = ["prepare_dataset", "coco", write_coco(tmp_path), "--images", tmp_path / "pictures"]
    for name in ("a", "b"):
        assert run_tool(*arguments, "--out", tmp_path / name).returncode == 0
    first, second = (json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("a", "b"))
    assert first["hash"] == second["hash"]
    assert_one_line_error(run_tool(*arguments, "--out", tmp_path / "a"), "a: is there already")
    assert json.loads((tmp_path / "a" / "dataset.json").read_text()) == first


def test_truncated_image_leaves_nothing(run_tool: RunTool, tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    image = tmp_path / "pictures" / "clip2_010.jpg"
    image.write_bytes(image.read_bytes()[:-40])
    before = sorted(tmp_path.rglob("*"))
    result = run_tool("prepare_dataset", "coco", path, "--images", tmp_path / "pictures", "--out", tmp_path / "out")
    assert_one_line_error(result, "clip2_010.jpg", "truncated")
    assert sorted(tmp_path.rglob("*")) == before


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of a file stands for the full disk: the system refuses to write on."""
    path = write_coco(tmp_path)
    images = tmp_path / "pictures"
    write_images(images, 20, size_wh=(1200, 800))
    path.write_text(path.read_text().replace('"width": 64, "height": 48', '"width": 1200, "height": 800'))
    before = sorted(tmp_path.rglob("*"))
    tool = [sys.executable, str(ROOT / "tools" / "prepare_dataset.py")]
    command = shlex.join([*tool, "coco", str(path), "--images", str(images), "--out", str(tmp_path / "out")])
    result = subprocess.run(["bash", "-c", f"ulimit -f 64; {command}"], capture_output=True, text=True)
    assert_one_line_error(result, "out: cannot be written", "nothing was left behind")
    assert sorted(tmp_path.rglob("*")) == before


def write_yolo(root: Path, count: int = 12) -> Path:
    names = write_images(root / "images", count)
    (root / "labels").mkdir()
    for number, name in enumerate(names):
        lines = [f"{number % 3} 0.5 0.25 0.125 0.25"] * (number % 2)
        (root / "labels" / Path(name).with_suffix(".txt")).write_text("\n".join(lines))
    (root / "classes.txt").write_text("zebra\nairplane\ndrone\n")
    return root


def test_yolo(run_tool: RunTool, tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "mine")
    out = tmp_path / "out"
    result = run_tool("prepare_dataset", "yolo", source, "--group-pattern", r"(clip\d+)_", "--out", out)
    assert result.returncode == 0, result.stderr
    assert json.loads((out / "dataset.json").read_text())["classes"] == ["zebra", "airplane", "drone"]
    assert annotations_by_name(out) == {
        f"clip{i // 4}_{i:03d}.jpg": [(("zebra", "airplane", "drone")[i % 3], [28, 6, 8, 12])] if i % 2 else []
        for i in range(12)
    }
    assert all(len({name.split("_")[0] for name in names}) == 1 for names in parts_of(out).values())
    assert_checks(run_tool, out)


def test_yolo_faults_are_listed_with_file_and_line(run_tool: RunTool, tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "mine")
    (source / "labels" / "clip0_000.txt").write_text("0 0.5 0.5 0.1 0.1\n3 0.5 0.5 0.1 0.1\n")
    (source / "labels" / "clip1_005.txt").write_text("0 40 30 10 10\n")
    result = run_tool("prepare_dataset", "yolo", source, "--out", tmp_path / "out")
    assert_one_line_error(result, "2 faults in the labels")
    assert "clip0_000.txt: line 2: class '3' is not one of 0 to 2" in result.stderr
    assert "clip1_005.txt: line 1: must hold fractions" in result.stderr
    assert not (tmp_path / "out").exists()


def test_yolo_keeps_the_parts_of_a_data_yaml(run_tool: RunTool, tmp_path: Path) -> None:
    for part, count in (("train", 5), ("valid", 2)):
        names = write_images(tmp_path / "mine" / part / "images", count)
        (tmp_path / "mine" / part / "labels").mkdir()
        for name in names:
            (tmp_path / "mine" / part / "labels" / Path(name).with_suffix(".txt")).write_text("1 0.5 0.5 0.5 0.5")
    (tmp_path / "mine" / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnames: {0: zebra, 1: ant}\n"
    )
    out = tmp_path / "out"
    result = run_tool("prepare_dataset", "yolo", tmp_path / "mine" / "data.yaml", "--keep-split", "--out", out)
    assert result.returncode == 0, result.stderr
    assert {part: len(names) for part, names in parts_of(out).items()} == {"train": 5, "val": 2}
    assert annotations_by_name(out)["valid/images/clip0_000.jpg"] == [("ant", [16, 12, 32, 24])]


def test_thermal_images_are_told_and_stored_by_a_range(run_tool: RunTool, tmp_path: Path) -> None:
    source = write_yolo(tmp_path / "mine")
    values = np.random.default_rng(0).integers(7000, 7500, (48, 64)).astype(np.uint16)
    (source / "images" / "clip0_001.jpg").unlink()
    cv2.imwrite(str(source / "images" / "clip0_001.tif"), values)
    (source / "images" / "phone.HEIC").touch()
    arguments = ["prepare_dataset", "yolo", source, "--out"]
    kept = run_tool(*arguments, tmp_path / "kept")
    assert kept.returncode == 0, kept.stderr
    assert "1 images are of kinds that are not read; left out: phone.HEIC" in kept.stderr
    assert "1 images have more than 8 bit, such as clip0_001.tif: when read, divided by 256" in kept.stderr
    assert (tmp_path / "kept" / "images" / "clip0_001.tif").exists()
    checked = run_tool("prepare_dataset", "check", tmp_path / "kept")
    assert (checked.returncode, "1 images have more than 8 bit" in checked.stdout) == (0, True)
    stored = run_tool(*arguments, tmp_path / "stored", "--range", 7000, 7510)
    assert "stored in 8 bit, 7000 as 0 and 7510 as 255" in stored.stderr
    image = cv2.imread(str(tmp_path / "stored" / "images" / "clip0_001.tif.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(image, np.rint((values - 7000.0) / 2))
    assert_checks(run_tool, tmp_path / "stored")
    wrong = run_tool(*arguments, tmp_path / "x", "--range", 5, 5)
    assert (wrong.returncode, "argument --range: LOW must be below HIGH, not 5 5" in wrong.stderr) == (2, True)


def test_voc(run_tool: RunTool, tmp_path: Path) -> None:
    names = write_images(tmp_path / "mine" / "JPEGImages", 10)
    (tmp_path / "mine" / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>64</xmax><ymax>11</ymax></bndbox>"
    for number, name in enumerate(names):
        objects = f"<object><name>{('kite', 'drone')[number % 2]}</name>{box}</object>" * (number % 3)
        text = f"<annotation><filename>{name}</filename>{objects}</annotation>"
        (tmp_path / "mine" / "Annotations" / Path(name).with_suffix(".xml")).write_text(text)
    out = tmp_path / "out"
    result = run_tool("prepare_dataset", "voc", tmp_path / "mine", "--out", out)
    assert result.returncode == 0, result.stderr
    assert annotations_by_name(out) == {
        name: [(("kite", "drone")[number % 2], [0, 1, 64, 10])] * (number % 3) for number, name in enumerate(names)
    }
    assert_checks(run_tool, out)


def test_what_is_said_of_the_whole_set_is_not_cut_from_a_long_list(run_tool: RunTool, tmp_path: Path) -> None:
    names = write_images(tmp_path / "mine", 10)
    box = (
        "<object><name>drone</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>{}</xmax><ymax>20</ymax></bndbox></object>"
    )
    for name in names:
        text = f"<annotation>{box.format(20)}{6 * box.format(5)}</annotation>"
        (tmp_path / "mine" / name).with_suffix(".xml").write_text(text)
    result = run_tool("prepare_dataset", "voc", tmp_path / "mine", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    more = lines.index("and 10 more")
    assert sum("the box has no area" in line for line in lines) == 50
    assert "boxes of 10 files are read as pixels counted from 1" in "".join(lines[more:])
    assert "undecided" in result.stderr


def test_synthetic_does_not_depend_on_the_workers(run_tool: RunTool, tmp_path: Path) -> None:
    for workers in (1, 2):
        result = run_tool(
            *("prepare_dataset", "synthetic", "--count", 10, "--width", 160, "--height", 128, "--workers", workers),
            *("--seed", 3, "--out", tmp_path / str(workers)),
        )
        assert result.returncode == 0, result.stderr
        assert re.search(r"images/s|s/ images", result.stderr)  # tqdm turns the rate round where it is below 1
    first, second = (json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("1", "2"))
    assert first["hash"] == second["hash"]
    assert {len(names) for names in parts_of(tmp_path / "1").values()} == {8, 1}
    assert_checks(run_tool, tmp_path / "1")


def test_clip(run_tool: RunTool, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    result = run_tool("prepare_dataset", "clip", "--out", path, "--frames", 6, "--width", 160, "--height", 128)
    assert result.returncode == 0, result.stderr
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read() for _ in range(7)]
    assert [done for done, _ in frames] == [True] * 6 + [False]
    assert frames[0][1].shape == (128, 160, 3)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="../shared/data/svanstrom is not there")
@pytest.mark.skipif(find_spec("matio") is None, reason="mat-io reads the labels; it needs Python 3.11")
class TestSvanstrom:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Three of the real clips, in the layout of the whole."""
        folder = tmp_path / "svanstrom" / "Data" / "Video_V"
        folder.mkdir(parents=True)
        for clip in ("V_DRONE_001", "V_DRONE_002", "V_BIRD_001"):
            for name in (f"{clip}.mp4", f"{clip}_LABELS.mat"):
                (folder / name).symlink_to(CLIPS / "Data" / "Video_V" / name)
        return tmp_path / "svanstrom"

    def test_boxes_equal_the_published_ones(self, run_tool: RunTool, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        result = run_tool("prepare_dataset", "svanstrom", source, "--stride", 50, "--labels", "original", "--out", out)
        assert result.returncode == 0, result.stderr
        truth = json.loads((CLIPS / "labels.json").read_text())
        expected: dict[str, Any] = {}
        for clip in ("V_DRONE_001", "V_DRONE_002", "V_BIRD_001"):
            for frame in range(0, truth[clip]["frames"], 50):
                boxes = [[x - 1, y - 1, *wh] for number, x, y, *wh in truth[clip]["boxes"] if number == frame]
                expected[f"{clip}_{frame:06d}.jpg"] = (truth[clip]["class"].lower(), boxes)
        found = annotations_by_name(out)
        assert set(found) == set(expected)
        for name, (label, boxes) in expected.items():
            assert {own for own, _ in found[name]} <= {label}
            np.testing.assert_allclose([box for _, box in found[name]], boxes, atol=2e-3)
        assert {len({name[:-11] for name in names}) for names in parts_of(out).values()} == {1}
        assert_checks(run_tool, out)

    def test_boxes_are_tight_unless_told_otherwise(self, run_tool: RunTool, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        result = run_tool("prepare_dataset", "svanstrom", source, "--stride", 50, "--out", out)
        assert result.returncode == 0, result.stderr
        summary = json.loads((out / "dataset.json").read_text())
        assert (summary["labels"], summary["padding"]) == ("refined", 1)
        annotations = [
            annotation
            for path in (out / "annotations").glob("*.json")
            for annotation in json.loads(path.read_text())["annotations"]
        ]
        ratios = [own["original_bbox"][2] / own["bbox"][2] for own in annotations]
        assert np.median(ratios) > 1.5
        assert {own["refined"] for own in annotations} <= {"measured", "carried", "shrunk"}
        assert_checks(run_tool, out)

    def test_folds_of_both_sensors(self, run_tool: RunTool, source: Path, tmp_path: Path) -> None:
        """The infrared boxes too are the published ones, and no clip is in two parts of a fold."""
        (source / "Data" / "Video_IR").mkdir()
        infrared = ("IR_BIRD_001", "IR_DRONE_001", "IR_DRONE_002")
        for clip in infrared:
            for name in (f"{clip}.mp4", f"{clip}_LABELS.mat"):
                (source / "Data" / "Video_IR" / name).symlink_to(CLIPS / "Data" / "Video_IR" / name)
        out = tmp_path / "out"
        arguments = ("--sensor", "both", "--stride", 100, "--folds", 2, "--labels", "original", "--out", out)
        result = run_tool("prepare_dataset", "svanstrom", source, *arguments)
        assert result.returncode == 0, result.stderr
        truth = json.loads((CLIPS / "labels_infrared.json").read_text())
        found = annotations_by_name(out)
        for clip in infrared:
            for frame in range(0, truth[clip]["frames"], 100):
                boxes = [[x - 1, y - 1, *wh] for number, x, y, *wh, _ in truth[clip]["boxes"] if number == frame]
                stored = [box for _, box in found[f"{clip}_{frame:06d}.jpg"]]
                np.testing.assert_allclose(stored, boxes, atol=2e-3)
                image = cv2.imread(str(out / "images" / f"{clip}_{frame:06d}.jpg"), cv2.IMREAD_UNCHANGED)
                assert image.shape == (256, 320)
        folds = json.loads((out / "dataset.json").read_text())["folds"]
        for number, fold in enumerate(folds):
            for part, clips in fold.items():
                content = json.loads((out / "annotations" / f"fold{number}" / f"{part}.json").read_text())
                assert {name["file_name"][:-11] for name in content["images"]} == set(clips)
            assert sorted(clip for clips in fold.values() for clip in clips) == sorted({name[:-11] for name in found})
            assert {clip.partition("_")[0] for clip in fold["test"]} == {"V", "IR"}
        assert {name: len(names) for name, names in parts_of(out).items()} == {
            part: len(json.loads((out / "annotations" / "fold0" / f"{part}.json").read_text())["images"])
            for part in ("train", "val", "test")
        }
        assert_checks(run_tool, out)

    def test_one_class(self, run_tool: RunTool, source: Path, tmp_path: Path) -> None:
        arguments = ["prepare_dataset", "svanstrom", source, "--stride", 150, "--classes", "BIRD"]
        assert_one_line_error(run_tool(*arguments, "--out", tmp_path / "out"), "1 group(s) cannot fill 3 splits")
        kept = run_tool(*arguments, "--keep-negatives", "--out", tmp_path / "out")
        assert kept.returncode == 0, kept.stderr
        found = annotations_by_name(tmp_path / "out")
        assert all(not objects for name, objects in found.items() if "DRONE" in name)
        assert json.loads((tmp_path / "out" / "dataset.json").read_text())["classes"] == ["bird"]

    @pytest.mark.parametrize("spoiled", ["V_DRONE_002.mp4", "V_DRONE_002_LABELS.mat"])
    @pytest.mark.parametrize("how", ["missing", "truncated"])
    def test_faulty_clip_leaves_nothing(
        self, run_tool: RunTool, source: Path, tmp_path: Path, spoiled: str, how: str
    ) -> None:
        path = source / "Data" / "Video_V" / spoiled
        data = path.read_bytes()
        path.unlink()
        if how == "truncated":
            path.write_bytes(data[: len(data) // 2])
        result = run_tool("prepare_dataset", "svanstrom", source, "--stride", 50, "--out", tmp_path / "out")
        if (how, path.suffix) == ("missing", ".mp4"):  # labels alone are no clip
            assert_one_line_error(result, "cannot fill 3 splits")
        else:
            assert_one_line_error(result, spoiled)
        assert [entry.name for entry in tmp_path.iterdir()] == ["svanstrom"]


def test_check_lists_faults_and_ends_with_status_1(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    good = run_tool("prepare_dataset", "check", tiny_dataset, "--input-size", 32, 32)
    assert good.returncode == 0, good.stdout
    assert "at 32 x 32: " in good.stdout
    (tmp_path / "annotations").mkdir()
    content = json.loads((tiny_dataset / "annotations" / "train.json").read_text())
    content["annotations"][0]["bbox"] = [1, 2, "x", 4]
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(content))
    bad = run_tool("prepare_dataset", "check", tmp_path)
    assert bad.returncode == 1
    assert "train.json: annotation 1: bbox must be 4 finite numbers" in bad.stdout
    assert bad.stdout.count("no such image file") == len(content["images"])
    assert f"{len(content['images']) + 2} faults" in bad.stdout  # the box, and no val.json
    assert "Traceback" not in bad.stderr


def test_stats(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    result = run_tool("prepare_dataset", "stats", tiny_dataset, "--output", tmp_path / "pictures")
    assert result.returncode == 0, result.stderr
    assert "drone" in result.stdout
    assert "tiny, < 16 x 16" in result.stdout
    for name in ("box_sizes.png", "contact_sheet.png"):
        assert cv2.imread(str(tmp_path / "pictures" / name)).size > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("check", "nowhere"), ["nowhere: no data set"], id="check of nothing"),
        pytest.param(("stats", "nowhere"), ["nowhere: no data set"], id="stats of nothing"),
        pytest.param(("yolo", "nowhere", "--out", "x"), ["nowhere: no such file or folder"], id="yolo"),
        pytest.param(
            ("cutouts", "nowhere", "--airframe", "kite", "--out", "x", "--source", "s", "--licence", "CC0"),
            ["--airframe", "give --airframes N"],
            id="kinds of nothing rendered",
        ),
        pytest.param(
            ("cutouts", "x", "--add", "shipped", "--without", "me", "--out", "x", "--source", "s", "--licence", "CC0"),
            ["--without me: no such source", "svanstrom"],
            id="without a source that is not there",
        ),
        pytest.param(("svanstrom", "nowhere", "--stride", 5, "--out", "x"), ["nowhere: no clips"], id="svanstrom"),
    ],
)
def test_sources_that_are_not_there(
    run_tool: RunTool, tmp_path: Path, arguments: tuple[object, ...], words: list[str]
) -> None:
    assert_one_line_error(run_tool("prepare_dataset", *arguments, cwd=tmp_path), *words)
    assert list(tmp_path.iterdir()) == []


def test_folds_of_a_users_own_set(run_tool: RunTool, tmp_path: Path) -> None:
    command = ("prepare_dataset", "coco", write_coco(tmp_path), "--images", tmp_path / "pictures")
    grouped = (*command, "--group-pattern", r"(clip\d+)_", "--out", tmp_path / "out")
    for options, message in ((["1"], "must be at least 2, not 1"), (["2", "--shares", "8", "1", "1"], "not allowed")):
        refused = run_tool(*grouped, "--folds", *options)
        assert refused.returncode == 2
        assert message in refused.stderr
    result = run_tool(*grouped, "--folds", 2)
    assert result.returncode == 0, result.stderr
    folds = json.loads((tmp_path / "out" / "dataset.json").read_text())["folds"]
    assert sorted(folds[0]["test"] + folds[1]["test"]) == [f"clip{number}" for number in range(5)]
    assert_checks(run_tool, tmp_path / "out")


def test_masks(run_tool: RunTool, tmp_path: Path) -> None:
    names = write_images(tmp_path / "set" / "images", 12)
    (tmp_path / "set" / "masks").mkdir()
    for number, name in enumerate(names):
        mask = np.zeros((48, 64), np.uint8)
        mask[10 : 12 + number, 20:25] = 255
        cv2.imwrite(str(tmp_path / "set" / "masks" / f"{Path(name).stem}_pixels0.png"), mask)
    out = tmp_path / "out"
    result = run_tool("prepare_dataset", "masks", tmp_path / "set", "--classes", "drone", "--out", out)
    assert result.returncode == 0, result.stderr
    found = annotations_by_name(out)
    assert found == {name: [("drone", [20, 10, 5, 2 + number])] for number, name in enumerate(names)}
    assert_checks(run_tool, out)


def test_video(run_tool: RunTool, tmp_path: Path) -> None:
    for number in range(4):
        write_film(tmp_path / "set" / f"clip{number}.mp4", 9, darker=4 * number)
        rows = [f"{n} 1 {' '.join(map(str, box_of(n)))} drone" if n % 2 == 0 else f"{n} 0" for n in range(9)]
        (tmp_path / "set" / f"clip{number}.txt").write_text("\n".join(rows))
    out = tmp_path / "out"
    arguments = ["prepare_dataset", "video", tmp_path / "set", "--stride", 3, "--format", "png", "--out", out]
    result = run_tool(*arguments, "--shares", 2, 1, 1)
    assert result.returncode == 0, result.stderr
    found = annotations_by_name(out)
    assert found == {
        f"clip{number}_{n:06d}.png": [("drone", list(box_of(n)))] if n % 2 == 0 else []
        for number in range(4)
        for n in (0, 3, 6)
    }
    assert {len({name[:5] for name in names}) for names in parts_of(out).values()} == {1, 2}
    assert sum(len({name[:5] for name in names}) for names in parts_of(out).values()) == 4  # no clip is divided
    assert_checks(run_tool, out)
