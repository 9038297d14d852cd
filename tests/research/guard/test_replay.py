"""Alarms from boxes with answers worked out by hand, and against the loop of watching itself."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from research.guard.guard_cases import BIRD, DRONE, boxes, drawn_set, seen
from watch.scenes import CLASSES, BrightSpots

from yolox_gssam.detections import Detections
from yolox_gssam.research.guard.labelled_film import read_films
from yolox_gssam.research.guard.replay import FrameReplay, TrackReplay
from yolox_gssam.research.guard.saved_detections import detect_film
from yolox_gssam.research.guard.seen_film import SeenFilm, see_film
from yolox_gssam.tracking.tracks import Tracker
from yolox_gssam.watch.alarms import Alarm, AlarmOptions
from yolox_gssam.watch.sources import Picture
from yolox_gssam.watch.watcher import Channel, WatchOptions

NONE = Detections.empty()
LABELS = frozenset({DRONE})


def by_tracks(film: SeenFilm) -> TrackReplay:
    return TrackReplay(film, Tracker(), AlarmOptions(LABELS))


def by_frames(film: SeenFilm, votes: int = 1, window: int = 1) -> FrameReplay:
    return FrameReplay(film, LABELS, votes, window, cooldown_s=5.0)


def test_a_track_hits_when_its_evidence_passes() -> None:
    """n boxes of 0.8 say 5 log(5) (1 - exp(-n / 5)): a threshold of 2 takes two of them, one of 3.5 three."""
    film = seen([NONE] * 5 + [boxes((50, 50, 0.8))] * 10, [None] * 3 + [(50, 50)] * 12)
    replay = by_tracks(film)
    assert film.first_s == 0.3
    assert replay.at(2.0).hit_s == pytest.approx(0.6)
    assert replay.at(3.5).hit_s == pytest.approx(0.7)
    assert replay.at(2.0).false_s == ()
    assert max(replay.peaks) == pytest.approx(5 * np.log(5) * (1 - np.exp(-2)), rel=1e-5)
    assert replay.at(6.9).hit_s == pytest.approx(1.4)
    assert replay.at(7.0).hit_s is None


def test_an_alarm_beside_the_drone_is_false_and_no_hit() -> None:
    """A spot from 0.0 s on at another place than the drone, which the second track finds from 1.0 s on."""
    spot, both = boxes((150, 50, 0.8)), boxes((150, 50, 0.8), (50, 50, 0.8))
    outcome = by_tracks(seen([spot] * 10 + [both] * 10, [(50, 50)] * 20)).at(2.0)
    assert outcome.false_s == pytest.approx((0.1,))
    assert outcome.hit_s == pytest.approx(1.1)


def test_tracks_of_other_classes_raise_nothing() -> None:
    bird = [boxes((50, 50, 0.9), label=BIRD)] * 5 + [boxes((50, 50, 0.6))] * 5
    replay = by_tracks(seen(bird, classes=["bird"]))
    assert max(replay.peaks) == 0
    assert replay.at(0.1).false_s == ()


def test_single_frames_alarm_by_their_best_box() -> None:
    """False at 0.0 and, more than five seconds after the last, at 6.0 s; the drone's box comes at 1.0 s."""
    found = [NONE] * 70
    found[0], found[5], found[10], found[60] = (
        boxes((90, 9, 0.5)),
        boxes((90, 9, 0.7)),
        boxes((50, 50, 0.6), (90, 9, 0.2)),
        boxes((90, 9, 0.9)),
    )
    replay = by_frames(seen(found, [(50, 50)] * 70))
    assert replay.at(0.5) == replay.at(0.3)
    assert replay.at(0.5).false_s == pytest.approx((0.0, 6.0))
    assert replay.at(0.5).hit_s == pytest.approx(1.0)
    assert replay.at(0.65).hit_s is None
    assert replay.at(0.8).false_s == pytest.approx((6.0,))
    assert sorted(replay.peaks) == pytest.approx([0.2, 0.5, 0.7, 0.9])


def test_two_of_three_frames_vote() -> None:
    """Scores .9 - .6 .8: the second best of the last three are 0, 0, .6, .6 and then .6, .8 at most."""
    found = [boxes((9, 9, 0.9)), NONE, boxes((9, 9, 0.6)), boxes((9, 9, 0.8)), NONE, NONE]
    replay = by_frames(seen(found), votes=2, window=3)
    assert replay.at(0.6).false_s == pytest.approx((0.2,))
    assert replay.at(0.7).false_s == ()
    assert list(replay.peaks) == pytest.approx([0.6])


def test_boxes_of_other_classes_are_no_votes() -> None:
    replay = by_frames(seen([boxes((9, 9, 0.9), label=BIRD)] * 3))
    assert (list(replay.peaks), replay.at(0.1).false_s) == ([], ())


@pytest.mark.parametrize("name", ["drone", "glint", "bird"])
def test_alarms_are_those_of_watching(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """The loop of watching, fed with the frames, raises its alarms at the same times."""
    root = drawn_set(tmp_path_factory.mktemp("films"))
    (film,) = [film for film in read_films(root, root / "kept") if film.name == name]
    saved = detect_film(_Bright(), film, film.sample(10), 7)
    outcome = by_tracks(see_film(film, saved, 10, "drone")).at(AlarmOptions.threshold)

    channel, raised = Channel("gate", CLASSES, WatchOptions()), []
    for frame, image in _frames(film.path):
        (found,) = BrightSpots().detect([image])
        events, _ = channel.take(Picture(image, frame / 10, 0.0, 0.0), found)
        raised += [frame / 10 for event in events if isinstance(event, Alarm)]
    assert [*outcome.false_s, *([] if outcome.hit_s is None else [outcome.hit_s])] == pytest.approx(raised)
    assert raised == pytest.approx({"drone": [2.4], "glint": [1.4], "bird": []}[name])


class _Bright(BrightSpots):
    class_names = CLASSES


def _frames(path: str) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    video, number = cv2.VideoCapture(path), 0
    while (read := video.read())[0]:
        yield number, np.asarray(read[1], np.uint8)
        number += 1
