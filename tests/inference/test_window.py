import sys

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.window import check_display, show


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no display"):
        check_display()
    monkeypatch.setenv("DISPLAY", ":0")
    check_display()


@pytest.mark.parametrize(("key", "goes_on"), [(27, False), (ord("q"), False), (-1, True), (ord("a"), True)])
def test_escape_and_q_end(monkeypatch: pytest.MonkeyPatch, key: int, goes_on: bool) -> None:
    shown: list[int] = []
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image.shape[1]))
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: key)
    assert show(np.zeros((4, 6, 3), np.uint8), 1) is goes_on
    assert shown == [6]


def test_a_headless_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise cv2.error("not implemented")

    monkeypatch.setattr(cv2, "imshow", fail)
    with pytest.raises(UserError, match="headless"):
        show(np.zeros((4, 6, 3), np.uint8), 1)
