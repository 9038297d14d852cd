"""Films for the tests of alarms: drawn ones with labels, and ones made of boxes alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from watch.scenes import drone_film, picture, write_film

from yolox_gssam.detections import Detections
from yolox_gssam.research.guard.seen_film import SeenFilm

DRONE, BIRD = 0, 1
Box = tuple[float, float, float]
"""Centre x and y, and the score."""


def boxes(*found: Box, label: int = DRONE) -> Detections:
    """Boxes of 10 pixels."""
    centres = np.array([box[:2] for box in found], np.float32).reshape(-1, 2)
    scores = np.array([box[2] for box in found], np.float32)
    return Detections(np.concatenate((centres - 5, centres + 5), axis=1), scores, np.full(len(found), label))


def seen(
    found: Sequence[Detections],
    drones: Sequence[tuple[float, float] | None] | None = None,
    name: str = "film",
    classes: Sequence[str] = (),
    rate: float = 10,
) -> SeenFilm:
    """A film of so many frames a second, with at most one true drone of 10 pixels on each."""
    truth = [None] * len(found) if drones is None else list(drones)
    shown = [frame for frame, centre in enumerate(truth) if centre is not None]
    return SeenFilm(
        name=name,
        sensor=None,
        classes=frozenset((*classes, *(("drone",) if shown else ()))),
        times_s=np.arange(len(found)) / rate,
        detections=found,
        shifts=np.zeros((len(found), 2)),
        drones_xyxy=[
            np.zeros((0, 4)) if centre is None else np.array([[*np.subtract(centre, 5), *np.add(centre, 5)]])
            for centre in truth
        ],
        drone_tracks=[np.full(int(centre is not None), 1) for centre in truth],
        first_s=shown[0] / rate if shown else None,
        seconds=len(found) / rate,
    )


def drawn_set(root: Path) -> Path:
    """Films at 10 frames a second, labelled as Drone-vs-Bird has it.

    `drone` shows one from 2.0 to 3.9 s beside a bird; `bird` a bird; `glint` a bright spot that is labelled as a bird,
    from 1.0 to 1.9 s; `sky`, without labels, nothing.
    """
    root.mkdir(parents=True, exist_ok=True)
    drone_film(root / "drone.avi")
    rows = []
    for frame in range(60):
        own = [f"{10 + frame} 90 8 8 bird"]
        if 20 <= frame < 40:
            own.append(f"{20 + 3 * (frame - 20)} 20 8 8 drone")
        rows.append(" ".join([str(frame), str(len(own)), *own]))
    (root / "drone.txt").write_text("\n".join(rows))
    write_film(root / "bird.avi", [picture((10 + frame, 90, 10)) for frame in range(60)])
    (root / "bird.txt").write_text("\n".join(f"{frame} 1 {10 + frame} 90 8 8 bird" for frame in range(60)))
    write_film(root / "glint.avi", [picture(*([(40, 30, 250)] if 10 <= frame < 20 else [])) for frame in range(60)])
    glint = [f"{frame} 1 40 30 8 8 bird" if 10 <= frame < 20 else f"{frame} 0" for frame in range(60)]
    (root / "glint.txt").write_text("\n".join(glint))
    write_film(root / "sky.avi", [picture()] * 60)
    return root
