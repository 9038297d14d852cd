"""Labels of every kind on drawn films: what each stored frame shows must be where its label says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_films import SIZE_WH, box_of, shown_box, write_film, write_frames
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.films import Sampling, open_film
from yolox_gssam.data.formats.video import class_names, clip_records, read_clips
from yolox_gssam.data.labelled import LabelledImage, xyxy_to_xywh

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "svanstrom"
COUNT = 20


@dataclass(frozen=True)
class Record:
    """A stored frame: what is labelled on it, and its file."""

    labelled: LabelledImage
    image: bytes

    @property
    def boxes_xywh(self) -> NDArray[np.float64]:
        return xyxy_to_xywh(self.labelled.boxes_xyxy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.labelled, name)


def stored(*arguments: Any, **options: Any) -> list[Record]:
    return [Record(*pair) for pair in clip_records(*arguments, **options)]


def records_of(root: Path, stride: int = 1, **options: Any) -> tuple[list[Record], list[str]]:
    """The records of a set, and what was told."""
    faults: list[Fault] = []
    clips = read_clips(root, faults.append, **options)
    told = [str(fault) for fault in faults]
    assert not any(fault.fatal for fault in faults), told
    return stored(clips, class_names(clips), Sampling(stride), root), told


def number_of(record: Record) -> int:
    return int(record.file_name.rpartition("_")[2].partition(".")[0])


def assert_right(records: Sequence[Record], expected: dict[int, bool] | None = None) -> None:
    """Each box lies where the picture shows the square, and the picture is that of the frame in the name.

    Args:
        expected: frame -> whether a box must be there; None: in all of them.
    """
    for record in records:
        image = cv2.imdecode(np.frombuffer(record.image, np.uint8), cv2.IMREAD_COLOR)
        shown, number = shown_box(np.asarray(image, np.uint8)), number_of(record)
        np.testing.assert_allclose(shown, box_of(number), atol=1)
        boxes = np.asarray(record.boxes_xywh)
        if expected is None or expected[number]:
            np.testing.assert_allclose(boxes, [box_of(number)], atol=1e-6)
        else:
            assert len(boxes) == 0
    if expected is not None:
        assert sorted(map(number_of, records)) == sorted(expected)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def drone_vs_bird(frames: Sequence[int], first: int = 0, shown: Sequence[int] | None = None) -> str:
    lines = []
    for frame in frames:
        x, y, w, h = box_of(frame)
        is_shown = shown is None or frame in shown
        lines.append(f"{frame + first} 1 {x} {y} {w} {h} drone" if is_shown else f"{frame + first} 0")
    return "\n".join(lines) + "\n"


class TestDroneVsBird:
    def test_every_third_frame_and_those_without_objects(self, tmp_path: Path) -> None:
        write_film(tmp_path / "videos" / "a.mp4", COUNT)
        write(tmp_path / "annotations" / "a.txt", drone_vs_bird(range(COUNT), shown=range(5, COUNT)))
        records, told = records_of(tmp_path, stride=3)
        assert_right(records, {frame: frame >= 5 for frame in range(0, COUNT, 3)})
        assert (told, {record.group for record in records}) == ([], {"a"})

    def test_frames_counted_from_one_are_noticed(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        write(tmp_path / "a.txt", drone_vs_bird(range(COUNT), first=1))
        records, told = records_of(tmp_path)
        assert_right(records, dict.fromkeys(range(COUNT), True))
        assert f"counts frames from 1 to {COUNT}" in told[0]

    def test_labels_after_the_end_are_left_out_and_told(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        write(tmp_path / "a.txt", drone_vs_bird(range(COUNT + 4)))
        records, told = records_of(tmp_path)
        assert_right(records, dict.fromkeys(range(COUNT), True))
        assert any(f"its labels are of {COUNT + 4} frames, a.mp4 has {COUNT}" in line for line in told)
        assert any(f"4 boxes are on frames after the end of the film, such as frame {COUNT}" in line for line in told)

    def test_faulty_lines(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", 4)
        for line, message in (
            ("3 1 1 2 3 4", r"a\.txt: line 5: must hold frame count"),
            ("2 0", r"line 5: frame 2 is also line 3"),
            ("3 1 nan 2 3 4 drone", "line 5: must hold frame count"),
        ):
            write(tmp_path / "a.txt", drone_vs_bird(range(3)) + f"\n{line}\n3 0\n")
            with pytest.raises(UserError, match=message):
                read_clips(tmp_path, raise_fatal)


class TestAntiUav:
    def labels(self, count: int, hidden: Sequence[int] = (), bare: Sequence[int] = ()) -> str:
        rects = [[] if n in hidden or n in bare else list(box_of(n)) for n in range(count)]
        return json.dumps({"exist": [int(n not in hidden) for n in range(count)], "gt_rect": rects})

    def test_two_cameras_of_a_scene_are_one_group(self, tmp_path: Path) -> None:
        for scene in ("001", "002"):
            for camera in ("visible", "infrared"):
                write_film(tmp_path / scene / f"{camera}.mp4", COUNT)
                write(tmp_path / scene / f"{camera}.json", self.labels(COUNT, hidden=[3, 4]))
        records, told = records_of(tmp_path)
        assert told == []
        assert {record.group for record in records} == {"001", "002"}
        assert len({record.file_name for record in records}) == 4 * COUNT
        assert_right(
            [r for r in records if r.file_name.startswith("001_visible")], {n: n not in (3, 4) for n in range(COUNT)}
        )
        assert [dict(note) for note in records[0].notes or []] == [{"track_id": 1}]

    def test_frames_beside_the_labels_and_some_that_tell_nothing(self, tmp_path: Path) -> None:
        write_frames(tmp_path / "a", COUNT)
        write(tmp_path / "a" / "IR_label.json", self.labels(COUNT + 2, bare=[7]))
        records, told = records_of(tmp_path)
        assert_right(records, {n: True for n in range(COUNT) if n != 7})
        assert any("1 frames show an object by exist, but have no box" in line for line in told) or told
        assert any(f"its labels are of {COUNT + 2} frames, a has {COUNT}" in line for line in told)


class TestMot:
    def sequence(self, root: Path, count: int = COUNT) -> Path:
        write_frames(root / "seq1" / "img1", count)
        info = f"[Sequence]\nname=seq1\nimDir=img1\nframeRate=25\nseqLength={count}\nimExt=.png\n"
        write(root / "seq1" / "seqinfo.ini", info)
        return root / "seq1" / "gt" / "gt.txt"

    def test_all_is_counted_from_one_and_confidence_zero_left_out(self, tmp_path: Path) -> None:
        rows = [
            f"{n + 1},7,{box_of(n)[0] + 1},{box_of(n)[1] + 1},8,8,1,1,1" if n != 4 else f"{n + 1},7,3,3,8,8,0,1,1"
            for n in range(COUNT)
        ]
        write(self.sequence(tmp_path), "\n".join(rows))
        records, told = records_of(tmp_path, stride=2, names=("drone",))
        assert_right(records, {n: n != 4 for n in range(0, COUNT, 2)})
        assert [dict(note) for note in records[0].notes or []] == [{"track_id": 7}]
        assert any("1 boxes of confidence 0" in line for line in told)

    def test_of_tools_that_count_pixels_from_zero(self, tmp_path: Path) -> None:
        write(
            self.sequence(tmp_path),
            "\n".join(f"{n + 1},1,{box_of(n)[0]},{box_of(n)[1]},8,8,1,1,1" for n in range(COUNT)),
        )
        write(tmp_path / "seq1" / "gt" / "labels.txt", "bird\n")
        clips = read_clips(tmp_path, raise_fatal, origin=0)
        assert class_names(clips) == ("bird",)
        assert_right(stored(clips, ("bird",), Sampling(1), tmp_path), dict.fromkeys(range(COUNT), True))

    def test_a_missing_frame_moves_no_label(self, tmp_path: Path) -> None:
        write(
            self.sequence(tmp_path),
            "\n".join(f"{n + 1},1,{box_of(n)[0] + 1},{box_of(n)[1] + 1},8,8,1,1,1" for n in range(COUNT)),
        )
        (tmp_path / "seq1" / "img1" / "000009.png").unlink()
        (tmp_path / "seq1" / "img1" / "000001.png").unlink()
        records, told = records_of(tmp_path)
        assert_right(records, {n: True for n in range(COUNT) if n not in (0, 8)})
        assert any("2 frames of" in line for line in told)


def cvat(
    boxes: str, size: int, start: int = 0, step: int = 1, segment: tuple[int, int] | None = None, kind: str = "task"
) -> str:
    first, last = segment or (0, size - 1)
    return (
        f"<annotations><version>1.1</version><meta><{kind}><size>{size}</size><mode>interpolation</mode>"
        f"<start_frame>{start}</start_frame><stop_frame>{start + step * (size - 1)}</stop_frame>"
        f"<frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter><segments><segment><id>1</id>"
        f"<start>{first}</start><stop>{last}</stop></segment></segments></{kind}><source>a.mp4</source></meta>{boxes}"
        "</annotations>"
    )


def cvat_box(frame: int, place: Sequence[float] | None = None, **more: object) -> str:
    x, y, w, h = place or box_of(frame)
    fields = {"outside": 0, "occluded": 0, "keyframe": 1, "z_order": 0, **more}
    rest = " ".join(f'{key}="{value}"' for key, value in fields.items())
    return f'<box frame="{frame}" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}" {rest}></box>'


class TestCvat:
    def test_tracks_that_begin_and_end(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        boxes = "".join(cvat_box(n) for n in range(3, 11)) + cvat_box(11, outside=1) + "".join(map(cvat_box, (15, 16)))
        track = f'<track id="0" label="drone">{boxes}{cvat_box(17, outside=1)}</track>'
        write(tmp_path / "annotations.xml", cvat(track, COUNT))
        records, told = records_of(tmp_path)
        assert_right(records, {n: n in range(3, 11) or n in (15, 16) for n in range(COUNT)})
        assert told == []
        assert [dict(note) for note in records[3].notes or []] == [{"track_id": 1}]

    def test_between_key_frames_boxes_lie_on_a_line_and_the_last_stays(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        track = f'<track id="0" label="drone">{cvat_box(2, (10, 10, 8, 8))}{cvat_box(6, (30, 18, 12, 8))}</track>'
        write(tmp_path / "annotations.xml", cvat(track, COUNT))
        records, _ = records_of(tmp_path)
        found = {number_of(r): np.asarray(r.boxes_xywh).tolist() for r in records}
        assert found[1] == []
        assert found[3] == [[15, 12, 9, 8]]
        assert found[5] == [[25, 16, 11, 8]]
        assert found[19] == [[30, 18, 12, 8]]

    @pytest.mark.parametrize("kind", ["task", "job"])
    def test_steps_offsets_and_jobs(self, tmp_path: Path, kind: str) -> None:
        """A task of every third frame from the second on, of which a job has frames 2 to 4 of the task."""
        write_film(tmp_path / "a.mp4", COUNT)
        labelled = range(1 + 3 * 2, 1 + 3 * 4 + 1, 3)
        track = f'<track id="0" label="drone">{"".join(map(cvat_box, labelled))}</track>'
        write(tmp_path / "annotations.xml", cvat(track, 6, 1, 3, (2, 4), kind))
        records, _ = records_of(tmp_path)
        assert_right(records, dict.fromkeys(labelled, True))

    def test_what_would_be_on_wrong_frames_or_is_turned_is_refused(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        track = f'<track id="0" label="drone">{"".join(map(cvat_box, range(4)))}</track>'
        write(tmp_path / "annotations.xml", cvat(track, 6, 0, 3))
        with pytest.raises(UserError, match="frame 1: is not among the labelled frames, 0 to 15 in steps of 3"):
            read_clips(tmp_path, raise_fatal)
        write(
            tmp_path / "annotations.xml",
            cvat(f'<track id="0" label="drone">{cvat_box(1, rotation=30.5)}</track>', COUNT),
        )
        with pytest.raises(UserError, match=r"track 0, frame 1: is rotated by 30\.5 degrees"):
            read_clips(tmp_path, raise_fatal)
        polygon = '<track id="0" label="drone"><polygon frame="0" points="1,1;2,2;3,1"/></track>'
        write(tmp_path / "annotations.xml", cvat(polygon, COUNT))
        with pytest.raises(UserError, match="track 0: holds polygon; only boxes are read"):
            read_clips(tmp_path, raise_fatal)


class TestLabelStudio:
    def task(self, sequence: list[dict[str, Any]], count: int = COUNT) -> str:
        value = {"framesCount": count, "duration": count / 25, "sequence": sequence, "labels": ["drone"]}
        result = [{"type": "videorectangle", "value": value, "id": "x1", "from_name": "box", "to_name": "video"}]
        annotations = [{"id": 1, "was_cancelled": False, "result": result}]
        return json.dumps([{"id": 3, "data": {"video": "/data/upload/1/0a1b2c3d-a.mp4"}, "annotations": annotations}])

    def key(
        self, frame: int, place: Sequence[float] | None = None, enabled: bool = True, rotation: float = 0
    ) -> dict[str, Any]:
        x, y, w, h = place or box_of(frame)
        width, height = SIZE_WH
        percent = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 * w / width, "height": 100 * h / height}
        return {"frame": frame + 1, "enabled": enabled, "rotation": rotation, **percent, "time": (frame + 1) / 25}

    def test_key_frames_in_percent_from_one(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        keys = (
            [self.key(n) for n in range(2, 9)] + [self.key(9, enabled=False)] + [self.key(n) for n in range(14, COUNT)]
        )
        write(tmp_path / "project.json", self.task(keys))
        records, told = records_of(tmp_path)
        assert_right(records, {n: 2 <= n <= 9 or n >= 14 for n in range(COUNT)})
        assert told == []

    def test_on_a_line_between_key_frames(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        write(
            tmp_path / "p.json", self.task([self.key(0, (16, 24, 8, 8)), self.key(4, (32, 24, 16, 8), enabled=False)])
        )
        found = {number_of(r): np.asarray(r.boxes_xywh) for r in records_of(tmp_path)[0]}
        np.testing.assert_allclose(found[1], [[20, 24, 10, 8]], atol=1e-9)
        np.testing.assert_allclose(found[4], [[32, 24, 16, 8]], atol=1e-9)
        assert len(found[5]) == 0

    def test_another_rate_is_not_guessed(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        write_film(tmp_path / "b.mp4", COUNT)
        write(tmp_path / "b.txt", drone_vs_bird(range(COUNT)))
        write(tmp_path / "p.json", self.task([self.key(0)], count=COUNT - 4))
        records, told = records_of(tmp_path)
        assert {record.group for record in records} == {"b"}
        assert any("are told by time: they would be on wrong frames; left out" in line for line in told)

    def test_rotated_boxes_are_refused(self, tmp_path: Path) -> None:
        write_film(tmp_path / "a.mp4", COUNT)
        write(tmp_path / "p.json", self.task([self.key(5, rotation=12)]))
        with pytest.raises(UserError, match="task 3, region 1, frame 6: is rotated"):
            read_clips(tmp_path, raise_fatal)


def test_films_without_labels_are_told_and_two_labels_of_one_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_film(tmp_path / f"{name}.mp4", 6)
    write(tmp_path / "a.txt", drone_vs_bird(range(6)))
    _, told = records_of(tmp_path)
    assert told == [f"{tmp_path}: 1 films have no labels and are left out, such as b.mp4"]
    write(tmp_path / "x.xml", cvat(f'<track id="0" label="drone">{cvat_box(0)}</track>', 6))
    with pytest.raises(UserError, match=r"a\.mp4 (has labels in|is also labelled by) .*a\.txt"):
        read_clips(tmp_path, raise_fatal)


def test_parts_by_folders(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_film(tmp_path / part / "a.mp4", 4)
        write(tmp_path / part / "a.txt", drone_vs_bird(range(4)))
    clips = read_clips(tmp_path, raise_fatal)
    records = stored(clips, ("drone",), Sampling(2, png=True), tmp_path, keep_split=True)
    assert [(record.file_name, record.split) for record in records] == [
        ("train_a_000000.png", "train"),
        ("train_a_000002.png", "train"),
        ("val_a_000000.png", "val"),
        ("val_a_000002.png", "val"),
    ]


def test_a_film_that_breaks_off_and_one_that_is_none(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", COUNT)
    assert (open_film(path).count, open_film(path).size_wh, open_film(path).rate_varies) == (COUNT, SIZE_WH, False)
    write(tmp_path / "a.txt", drone_vs_bird(range(COUNT)))
    data = path.read_bytes()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + 400] + bytes(len(data[start + 400 : -1500])) + data[-1500:])
    try:
        records, told = records_of(tmp_path)
    except UserError as error:
        assert "a.mp4" in str(error)  # noqa: PT017
    else:
        assert told
        for record in records:  # whatever could be decoded
            assert number_of(record) < COUNT
    path.write_bytes(b"no film")
    with pytest.raises(UserError, match=r"a\.mp4: the clip cannot be opened"):
        read_clips(tmp_path, raise_fatal)


def test_films_without_labels_can_be_kept(tmp_path: Path) -> None:
    """Beside a labelled one and alone; every frame of theirs shows nothing."""
    write_film(tmp_path / "bare.mp4", 6)
    faults: list[Fault] = []
    (alone,) = read_clips(tmp_path, faults.append, keep_unlabelled=True)
    assert (alone.name, list(alone.frames), list(alone.labels.boxes)) == ("bare", list(range(6)), [])
    assert alone.labels.path == alone.film.path == tmp_path / "bare.mp4"
    assert [fault.message for fault in faults] == [
        "1 films have no labels and count as showing nothing, such as bare.mp4"
    ]
    write_film(tmp_path / "a.mp4", COUNT)
    write(tmp_path / "a.txt", drone_vs_bird(range(COUNT)))
    assert [clip.name for clip in read_clips(tmp_path, faults.append, keep_unlabelled=True)] == ["a", "bare"]
    assert [clip.name for clip in read_clips(tmp_path, faults.append)] == ["a"]
    with pytest.raises(UserError, match="no films in there"):
        read_clips(write(tmp_path / "empty" / "note.txt", "nothing").parent, raise_fatal, keep_unlabelled=True)


def test_folders_that_are_no_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labels of films; known are those of Drone-vs-Bird"):
        read_clips(tmp_path, raise_fatal)
    with pytest.raises(UserError, match="no such folder"):
        read_clips(tmp_path / "missing", raise_fatal)
    write(tmp_path / "a.xml", cvat(f'<track id="0" label="drone">{cvat_box(0)}</track>', 6))
    with pytest.raises(UserError, match=r"a\.xml: its <source> is 'a.mp4'"):
        read_clips(tmp_path, raise_fatal)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="../shared/data/svanstrom is not there")
@pytest.mark.skipif(find_spec("matio") is None, reason="mat-io reads the labels; it needs Python 3.11")
def test_svanstrom_clips_by_their_published_labels(tmp_path: Path) -> None:
    name = "V_DRONE_001"
    for suffix in (".mp4", "_LABELS.mat"):
        (tmp_path / f"{name}{suffix}").symlink_to(CLIPS / "Data" / "Video_V" / f"{name}{suffix}")
    records, told = records_of(tmp_path, stride=60)
    truth = json.loads((CLIPS / "labels.json").read_text())[name]
    assert told == []
    assert [number_of(record) for record in records] == list(range(0, truth["frames"], 60))
    for record in records:
        expected = [[x - 1, y - 1, *wh] for number, x, y, *wh in truth["boxes"] if number == number_of(record)]
        np.testing.assert_allclose(record.boxes_xywh, np.reshape(expected, (-1, 4)), atol=2e-3)
        assert all(note["track_linked"] and note["track_id"] >= 1 for note in record.notes or [])
