import os
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from videos import add_sound_track, decode, make_video

from yolox_gssam.inference.container import read_container
from yolox_gssam.inference.sound import add_sound
from yolox_gssam.inference.video_io import VideoReader, open_video_writer

# Notes its arguments and, where the codec is the one that "works", hands on its first input.
STAND_IN = """#!{shell}
printf '%s\\n' "$@" >> {log}
for last; do :; done
case " $* " in *"-c:a {works} "*) cp "${{6#file:}}" "${{last#file:}}" ;; *) echo "no such codec" >&2; exit 1 ;; esac
"""


def copy_video(source: Path, target: Path) -> str | None:
    """Writes the frames of a video anew, as the demo does; why there is no sound."""
    with VideoReader(str(source)) as reader, open_video_writer(target, reader.fps, reader.path) as writer:
        for frame in reader.frames():
            writer.write(frame.image)
    return writer.no_sound


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, works: str) -> Path:
    """Puts a stand-in for ffmpeg where it is found; its log."""
    log = folder / "log.txt"
    program = folder / "ffmpeg"
    program.write_text(STAND_IN.format(shell=shutil.which("sh"), log=log, works=works))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def test_without_ffmpeg_the_pictures_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    add_sound_track(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert copy_video(path, tmp_path / "out.mp4") == "install the ffmpeg program to keep it"
    assert len(decode(tmp_path / "out.mp4")[0]) == 40


@pytest.mark.parametrize(("works", "calls"), [("copy", 1), ("aac", 2), ("none", 2)])
def test_what_an_mp4_cannot_hold_becomes_aac(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: str, calls: int
) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    log = install(tmp_path, monkeypatch, works)
    reason = copy_video(path, tmp_path / "out.mp4")
    assert reason == (None if works != "none" else "ffmpeg could not add it: 'no such codec'")
    assert log.read_text().splitlines().count("1:a?") == calls
    assert len(decode(tmp_path / "out.mp4")[0]) == 40
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.mp4", "ffmpeg", "log.txt", "out.mp4"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize(
    ("name", "pictures", "codec"),
    [("a.mp4", "mp4v", "aac"), ("a.avi", "MJPG", "pcm_s16le"), ("a.mkv", "MJPG", "libopus")],
)
def test_the_sound_is_kept(tmp_path: Path, name: str, pictures: str, codec: str) -> None:
    with wave.open(str(tmp_path / "tone.wav"), "wb") as tone:
        tone.setparams((1, 2, 48000, 0, "NONE", ""))
        tone.writeframes((8000 * np.sin(np.arange(2 * 48000) / 20)).astype("<i2").tobytes())
    silent = make_video(tmp_path / f"silent_{name}", pictures, 25)
    inputs = ["-i", silent, "-i", tmp_path / "tone.wav", "-c:v", "copy", "-c:a", codec]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, tmp_path / name], check=True)
    assert read_container(tmp_path / name).sound is True
    assert copy_video(tmp_path / name, tmp_path / "out.mp4") is None
    assert read_container(tmp_path / "out.mp4").sound is True
    assert len(decode(tmp_path / "out.mp4")[0]) == 40
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "out.mp4", "-vn", tmp_path / "back.wav"], check=True)
    with wave.open(str(tmp_path / "back.wav")) as back:
        assert back.getnframes() / back.getframerate() == pytest.approx(1.6, abs=0.1)


def test_a_source_that_is_gone(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    before = path.read_bytes()
    assert add_sound(path, tmp_path / "gone.mp4", 1.6) is not None
    assert path.read_bytes() == before
