from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.source_kind import Kind, check_source, recognize


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/0001.jpg", "clips/a.mp4", "clips/b.MP4", "clip.mp4", "a.png", "7/0.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()


@pytest.mark.parametrize(
    ("kind", "path", "line"),
    [
        pytest.param("video", "photos", "a folder; type: demo.py image --path photos", id="folder"),
        pytest.param("video", "clips", r"a folder of 2 videos.*; type: demo.py video --path clips/a.mp4", id="videos"),
        pytest.param("video", "photos/%04d.jpg", "a series of images; type: demo.py image --path photos", id="series"),
        pytest.param("image", "photos/*.jpg", "a series of images; type: demo.py image --path photos", id="star"),
        pytest.param("video", "0", "the number of a camera; type: demo.py webcam --camid 0", id="camera"),
        pytest.param("image", "1", "the number of a camera; type: demo.py webcam --camid 1", id="camera as image"),
        pytest.param("webcam", "1", "the number of a camera; type: demo.py webcam --camid 1", id="webcam --path"),
        pytest.param("image", "clip.mp4", "a video; type: demo.py video --path clip.mp4", id="video as image"),
        pytest.param("image", "rtsp://a/b", "a URL; type: demo.py video --path rtsp://a/b", id="URL as image"),
        pytest.param("image", None, "--path is needed: an image or a folder", id="nothing"),
        pytest.param("video", "", "--path is needed: a video or a URL", id="empty"),
    ],
)
def test_what_to_type(kind: str, path: str | None, line: str) -> None:
    with pytest.raises(UserError, match=line):
        check_source(kind, path)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *(("image", path) for path in ("photos", "a.png", "missing.jpg", "7")),
        *(("video", path) for path in ("clip.mp4", "rtsp://a/b", "missing.mp4", "photos/0001.jpg")),
        *(("webcam", path) for path in (None, "", "rtsp://a/b", "clip.mp4")),
    ],
)
def test_what_may_be_right_is_left_alone(kind: str, path: str | None) -> None:
    check_source(kind, path)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("photos", Kind.IMAGES),
        ("7", Kind.IMAGES),
        ("a.png", Kind.IMAGES),
        ("clip.mp4", Kind.VIDEO),
        ("rtsp://a/b", Kind.VIDEO),
        ("recording", Kind.VIDEO),
        ("0", Kind.CAMERA),
    ],
)
def test_a_source_is_recognized(source: str, kind: Kind) -> None:
    Path("recording").touch()
    assert recognize(source) == (kind, source)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("clips", r"a folder of 2 videos, which are annotated one by one; give clips/a\.mp4"),
        ("photos/%04d.jpg", "a series of images; give photos"),
        ("missing.jpg", r"missing\.jpg: no such image, video or folder"),
        ("nowhere", "nowhere: no such"),
        ("", "SOURCE: no such"),
    ],
)
def test_what_to_give_instead(source: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        recognize(source)
