"""The loop from frames to alarms: one network for all sources, and for each source its tracks, alarms and clips."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections
from yolox_gssam.tracking.motion import CameraMotion
from yolox_gssam.tracking.tracks import Tracker, TrackOptions
from yolox_gssam.watch.alarms import Alarm, AlarmEnd, AlarmOptions, AlarmRaiser
from yolox_gssam.watch.clips import Clip, ClipMaker, Jpeg
from yolox_gssam.watch.frame_detector import FrameDetector
from yolox_gssam.watch.recorder import Recorder
from yolox_gssam.watch.sources import Picture, Sources

_STILL_S = 30.0  # a network that takes longer for a batch hangs
_SILENT_S = 1.0  # without a frame of a stream, its tracks are told that time goes on


@dataclass(frozen=True)
class WatchOptions:
    """Settings of tracks and alarms, and whether a moving camera is followed."""

    tracks: TrackOptions = field(default_factory=TrackOptions)
    alarms: AlarmOptions = field(default_factory=AlarmOptions)
    camera_moves: bool = True


@dataclass(frozen=True, eq=False)
class Live:
    """What is seen at a moment, for the page.

    Attributes:
        picture: the last frame, compressed.
        size_wh: width and height of the frame that `tracks` tells pixels of.
        tracks: id, box_xyxy, label, score, trail and alarm (whether it passed the threshold) of each.
    """

    picture: Jpeg
    size_wh: tuple[int, int]
    tracks: list[dict[str, Any]]


@dataclass
class Timing:
    """Seconds spent, and the latency of alarms.

    Attributes:
        frames: detected on.
        network_s: in the network.
        rest_s: in tracks, alarms and compressing pictures.
        alarms: raised.
        latency_s: greatest time from reading a frame to its alarm's way to the disk.
        elapsed_s: from the first frame to the last.
    """

    frames: int = 0
    network_s: float = 0.0
    rest_s: float = 0.0
    alarms: int = 0
    latency_s: float = 0.0
    elapsed_s: float = 0.0


class Channel:
    """Tracks, alarms and clips of one source.

    Args:
        name: of the source.
        class_names: of the network's classes.
        options: see there.
    """

    def __init__(self, name: str, class_names: Sequence[str], options: WatchOptions) -> None:
        self.name, self.class_names, self.options = name, class_names, options
        self.clips = ClipMaker()
        self.live: Live | None = None
        self.alarms = 0
        self.last_s = 0.0
        self._tracker = Tracker(options.tracks)
        self._raiser = AlarmRaiser(name, class_names, options.alarms)
        self._motion = CameraMotion()
        self._size_hw: tuple[int, ...] = ()

    def take(self, picture: Picture, detections: Detections) -> tuple[list[Alarm | AlarmEnd], list[Clip]]:
        """Takes in a frame and its boxes; what is to be told and written."""
        image = picture.image
        # Pixels of a frame of another size are not those of the tracks.
        ended = self._tracker.end_all() if image.shape[:2] != self._size_hw else []
        self._size_hw, self.last_s = image.shape[:2], picture.time_s
        shift = self._motion.shift(image) if self.options.camera_moves else np.zeros(2)
        ended += self._tracker.update(detections, picture.time_s, shift)
        clips = self.clips.add(image, picture.time_s)
        events = self._raiser.update(self._tracker.tracks, ended, picture.time_s, picture.clock_s)
        for event in events:
            if isinstance(event, Alarm):
                self.alarms += 1
                self.clips.begin(event.alarm_id, picture.time_s)
        self._show((image.shape[1], image.shape[0]))
        return events, clips

    def pass_time(self, time_s: float, clock_s: float) -> tuple[list[Alarm | AlarmEnd], list[Clip]]:
        """Goes on without frames, as where a stream is cut: alarms end, and clips with what there is."""
        self.last_s = time_s
        ended = self._tracker.update(Detections.empty(), time_s)
        events = self._raiser.update(self._tracker.tracks, ended, time_s, clock_s)
        return events, self.clips.finish_before(time_s)

    def end(self, clock_s: float) -> tuple[list[Alarm | AlarmEnd], list[Clip]]:
        """Ends all alarms and clips, where the source or the program ends."""
        events = self._raiser.update([], self._tracker.end_all(), self.last_s, clock_s)
        return [*events, *self._raiser.end_all(clock_s)], self.clips.finish_all()

    def _show(self, size_wh: tuple[int, int]) -> None:
        alarms = self.options.alarms
        tracks = [
            {
                "id": track.track_id,
                "box_xyxy": [round(float(value), 1) for value in track.box_xyxy],
                "label": self.class_names[track.label] if track.label < len(self.class_names) else str(track.label),
                "score": round(track.score, 3),
                "trail": [(round(x, 1), round(y, 1)) for x, y in track.trail],
                "alarm": alarms.evidence_of(track) >= alarms.threshold,
            }
            for track in self._tracker.tracks
        ]
        if self.clips.latest is not None:
            self.live = Live(self.clips.latest, size_wh, tracks)


class Watcher:
    """Detects on all sources' newest frames, batch by batch.

    Args:
        network: see there.
        class_names: of its classes.
        sources: not started yet.
        recorder: writes alarms, snapshots and clips.
        options: see there.
    """

    def __init__(
        self,
        network: FrameDetector,
        class_names: Sequence[str],
        sources: Sources,
        recorder: Recorder,
        options: WatchOptions | None = None,
    ) -> None:
        self.sources, self.timing = sources, Timing()
        self.channels = [Channel(source.source, class_names, options or WatchOptions()) for source in sources.all]
        self._network, self._recorder = network, recorder
        self._ended: set[int] = set()
        self._ticked_s: float | None = None
        self._began_s: float | None = None

    @property
    def waiting(self) -> int:
        """Alarms and ends that are not on the disk yet."""
        return self._recorder.waiting

    def problem(self) -> str | None:
        """What keeps it from watching: the loop stands still, or no source gives frames; None where it is well."""
        if self._ticked_s is None or time.monotonic() - self._ticked_s > _STILL_S:
            return "the loop stands still"
        if not any(state.state == "running" for state in self.sources.states()):
            return "no source gives frames"
        return None

    def run(self, stop: Callable[[], bool]) -> None:
        """Watches until `stop()` is true or all sources are over, then ends alarms and clips.

        Args:
            stop: asked at least five times a second.
        """
        self.sources.start()
        try:
            while not stop():
                self._ticked_s = time.monotonic()
                batch = self.sources.batch(0.2)
                if batch:
                    self._detect(batch)
                elif self.sources.over:
                    break
                self._pass_time()
        finally:
            for number in range(len(self.channels)):
                self._end(number)

    def _detect(self, batch: list[tuple[int, Picture]]) -> None:
        started = time.perf_counter()
        self._began_s = started if self._began_s is None else self._began_s
        found = self._network.detect([picture.image for _, picture in batch])
        detected = time.perf_counter()
        for (number, picture), detections in zip(batch, found, strict=True):
            events, clips = self.channels[number].take(picture, detections)
            self._hand_on(events, clips, picture.image)
            if any(isinstance(event, Alarm) for event in events):
                self.timing.latency_s = max(self.timing.latency_s, time.monotonic() - picture.read_s)
        self.timing.frames += len(batch)
        self.timing.network_s += detected - started
        ended = time.perf_counter()
        self.timing.rest_s += ended - detected
        self.timing.elapsed_s = ended - self._began_s

    def _pass_time(self) -> None:
        """Ends what a file left open at its end, and tells a stream that is silent that time goes on."""
        now_s = time.monotonic()
        for number, (source, channel) in enumerate(zip(self.sources.all, self.channels, strict=True)):
            if source.over:
                self._end(number)
            elif not source.is_file and channel.live is not None and now_s - channel.last_s > _SILENT_S:
                self._hand_on(*channel.pass_time(now_s, time.time()), None)

    def _end(self, number: int) -> None:
        if number not in self._ended:
            self._ended.add(number)
            events, clips = self.channels[number].end(time.time())
            self._hand_on(events, clips, None)

    def _hand_on(
        self,
        events: Sequence[Alarm | AlarmEnd],
        clips: Sequence[Clip],
        image: NDArray[np.uint8] | None,
    ) -> None:
        for event in events:
            self._recorder.event(event, image)
            self.timing.alarms += isinstance(event, Alarm)
        for clip in clips:
            self._recorder.clip(clip)
