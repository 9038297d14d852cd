"""The sound of a video file beside the annotated pictures: OpenCV writes none, the ffmpeg program puts it there."""

import shutil
import subprocess
from pathlib import Path

from yolox_gssam.common.text import shorten


def add_sound(video: Path, source: Path, seconds: float) -> str | None:
    """Puts the audio tracks of `source` into `video`, an .mp4, which stays as it is where that fails.

    They are copied, or turned into AAC where an mp4 cannot hold them; what comes after `seconds`, the length of
    the video, is left out.

    Returns:
        Why it failed, in a few words that say what to do; None where it is done.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return "install the ffmpeg program to keep it"
    joined = video.with_name(f"{video.stem}-sound.mp4")
    inputs = ["-i", f"file:{video}", "-protocol_whitelist", "file", "-i", f"file:{source}"]
    streams = ["-map", "0:v:0", "-map", "1:a?", "-c:v", "copy", "-t", f"{seconds:.6f}"]
    reason = ""
    try:
        for codec in ("copy", "aac"):
            command = [program, "-nostdin", "-v", "error", "-y", *inputs, *streams, "-c:a", codec, f"file:{joined}"]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            if done.returncode == 0:
                joined.replace(video)
                return None
            reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    except OSError as error:
        reason = str(error)
    finally:
        joined.unlink(missing_ok=True)
    return f"ffmpeg could not add it: {shorten(reason)}"
