"""Trackers of Roboflow's package trackers (Apache-2.0) in place of ours, for comparison; nothing else needs it.

Only what belongs together is theirs: from which score on a track begins and goes on, when it is given up and what
evidence it gathers is as with ours. They number a track with its second box, from which on ours counts too, so that
the evidence of its first is lost. They know nothing of a moving camera.
"""

import inspect
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.detections import Detections
from yolox_gssam.tracking.tracks import Track, Tracker, TrackOptions

OTHER_TRACKERS = {"bytetrack": "ByteTrack", "ocsort": "OC-SORT", "cbiou": "C-BIoU"}
"""Names and titles."""
_CLASSES = {"bytetrack": ("ByteTrackTracker", 1), "ocsort": ("OCSORTTracker", 1), "cbiou": ("CBIoUTracker", 2)}
"""The class, and how many boxes in a row it asks for, so that it numbers a track with its second box, as ours does."""


def require_trackers() -> None:
    """Raises UserError where the package is not installed."""
    if find_spec("trackers") is None:
        raise UserError("--other-trackers needs the package trackers: pip install trackers")


class OtherTracker(Tracker):
    """A tracker of the package behind the interface of ours.

    Args:
        name: of `OTHER_TRACKERS`.
        options: of our tracks.
        fps: frames per second.
    """

    def __init__(self, name: str, options: TrackOptions, fps: float) -> None:
        import trackers

        super().__init__(replace(options, sure_hits=1))
        class_name, boxes = _CLASSES[name]
        kind = getattr(trackers, class_name)
        wanted = {
            "frame_rate": fps,
            "lost_track_buffer": round(30 * options.lost_s),  # told in thirtieths of a second
            "track_activation_threshold": options.start_score,
            "high_conf_det_threshold": options.start_score,
            "minimum_consecutive_frames": boxes,
        }
        known = inspect.signature(kind).parameters
        self._other = kind(**{option: value for option, value in wanted.items() if option in known})
        self._by_id: dict[int, Track] = {}

    def update(
        self, detections: Detections, time_s: float, shift: NDArray[np.float64] | tuple[float, float] = (0.0, 0.0)
    ) -> list[Track]:
        """See `Tracker`; `shift` is not used."""
        import supervision

        for track in self._tracks:
            track.missed += 1
        detections = detections.above(self.options.keep_score)
        given = supervision.Detections(
            xyxy=detections.boxes_xyxy.copy(),
            confidence=detections.scores.copy(),
            class_id=detections.labels.copy(),
            data={"row": np.arange(len(detections))},
        )
        found = self._other.update(given, timestamp=time_s)
        for row, number in zip(found.data.get("row", ()), found.tracker_id, strict=True):
            if number >= 0:
                self._go_on(int(number), detections, int(row), time_s)
        return self._end_lost(time_s)

    def _go_on(self, number: int, detections: Detections, row: int, time_s: float) -> None:
        track = self._by_id.get(number)
        if track is not None and any(track is own for own in self._tracks):
            self._take(track, detections, row, time_s)
        else:
            self._begin(detections, row, time_s)
            self._by_id[number] = self._tracks[-1]
