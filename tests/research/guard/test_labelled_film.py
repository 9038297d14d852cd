"""Films and their labels as the measures take them."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from research.guard.guard_cases import drawn_set

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.formats.svanstrom import label_path, read_labels
from yolox_gssam.research.guard import labelled_film
from yolox_gssam.research.guard.labelled_film import LabelledFilm, read_films

SVANSTROM = Path(__file__).parents[4] / "shared" / "data" / "svanstrom" / "Data"


def film_of(frames: range | list[int], fps: float) -> LabelledFilm:
    return LabelledFilm("V_A", "V_A", "a.mp4", 0, 0, fps, (160, 120), list(frames), [], True, False)


@pytest.mark.parametrize(
    ("frames", "film_fps", "fps", "expected"),
    [
        pytest.param(range(9), 30, 10, [0, 3, 6], id="every-third"),
        pytest.param(range(11), 25, 10, [0, 3, 5, 8, 10], id="two-and-a-half"),
        pytest.param(range(4), 10, 30, [0, 1, 2, 3], id="film-is-slower"),
        pytest.param([1, 2, 7, 8, 20], 30, 10, [1, 7, 20], id="gaps"),
        pytest.param(range(0), 30, 10, [], id="none"),
    ],
)
def test_sampled_frames(frames: range | list[int], film_fps: float, fps: float, expected: list[int]) -> None:
    assert film_of(frames, film_fps).sample(fps).tolist() == expected


def test_films_with_and_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = {film.name: film for film in read_films(drawn_set(tmp_path / "films"), tmp_path / "kept")}
    assert list(films) == ["bird", "drone", "glint", "sky"]
    assert "1 of 4 films have no labels: they count as films without any drone" in capsys.readouterr().out
    drone, sky = films["drone"], films["sky"]
    assert (drone.fps, drone.size_wh, drone.classes, drone.labelled) == (10, (160, 120), {"bird", "drone"}, True)
    assert [box[:6] for box in drone.boxes if box[0] == 21] == [(21, 31, 90, 8, 8, "bird"), (21, 23, 20, 8, 8, "drone")]
    assert (list(sky.frames), list(sky.boxes), sky.labelled) == (list(range(60)), [], False)
    assert film_of([], 10).sensor == "visible"
    assert sky.sensor is None


def test_what_was_read_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, kept = drawn_set(tmp_path / "films"), tmp_path / "kept"
    films = read_films(root, kept)
    asked = []
    read_clips = labelled_film.read_clips
    monkeypatch.setattr(
        labelled_film, "read_clips", lambda *args, **options: asked.append(1) or read_clips(*args, **options)
    )
    again = read_films(root, kept)
    assert asked == []
    assert [film.name for film in again] == [film.name for film in films]
    assert [np.array(film.boxes).tolist() for film in again] == [np.array(film.boxes).tolist() for film in films]
    (file,) = kept.iterdir()
    file.write_text("{")
    read_films(root, kept)
    assert asked == [1]
    os.utime(root / "bird.txt", (1, 1))
    read_films(root, kept)
    assert asked == [1, 1]


def test_faults_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; give a folder of films"):
        read_films(tmp_path / "nothing", tmp_path / "kept")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no films in there"):
        read_films(tmp_path / "empty", tmp_path / "kept")
    root = drawn_set(tmp_path / "films")
    (root / "bird.txt").write_text("0 1 3 4 5 6 bird\n" * 2 + "1 0\n2 0\n")
    with pytest.raises(UserError, match=r"bird\.txt: line 2: frame 0 is also line 1"):
        read_films(root, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(not SVANSTROM.is_dir(), reason="../shared/data/svanstrom is not there")
@pytest.mark.skipif(find_spec("matio") is None, reason="mat-io reads the labels; it needs Python 3.11")
def test_svanstrom_labels_are_the_refined_ones(tmp_path: Path) -> None:
    clip = SVANSTROM / "Video_IR" / "IR_DRONE_001.mp4"
    for path in (clip, label_path(clip)):
        (tmp_path / path.name).symlink_to(path)
    (film,) = read_films(tmp_path, tmp_path / "kept")
    loose = read_labels(label_path(clip))
    tight = np.array([box[1:5] for box in film.boxes])
    assert (film.sensor, film.fps, film.linked, len(film.frames)) == ("infrared", 30, True, loose.frames)
    assert np.array_equal([box[0] for box in film.boxes], loose.frame)
    # Tight boxes are less than half as large, and their centres lie in the loose ones.
    assert np.median(tight[:, 2:].prod(axis=1) / loose.boxes_xywh[:, 2:].prod(axis=1)) < 0.5
    offsets = tight[:, :2] + tight[:, 2:] / 2 - loose.boxes_xywh[:, :2]
    assert ((offsets > 0) & (offsets < loose.boxes_xywh[:, 2:])).all()
