"""Small videos that several tests make and read."""

import http.server
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def grey_frame(number: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A frame that tells its own number by its brightness."""
    return np.full((height, width, 3), 6 * number, np.uint8)


def numbers_of(images: list[NDArray[np.uint8]]) -> list[int]:
    # MPEG-4 darkens flat frames by up to three steps of brightness.
    return [round((float(image.mean()) + 1.5) / 6) for image in images]


def make_video(path: Path, codec: str, fps: float, frames: int = 40) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (96, 64))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(grey_frame(number))
    writer.release()
    return path


def decode(path: Path) -> tuple[list[NDArray[np.uint8]], float]:
    """All frames and the frame rate, by OpenCV alone."""
    capture = cv2.VideoCapture(str(path))
    images = []
    while (read := capture.read())[0]:
        images.append(np.asarray(read[1], np.uint8))
    return images, capture.get(cv2.CAP_PROP_FPS)


def index_first(data: bytes) -> bytes:
    """An mp4 with its index (moov) moved before the frames (mdat), as for streaming."""
    boxes, position = {}, 0
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        boxes[kind] = data[position : position + length]
        position += length
    moov = bytearray(boxes[b"moov"])
    start = moov.find(b"stco") + 8
    (count,) = struct.unpack(">I", moov[start : start + 4])
    for entry in range(start + 4, start + 4 + 4 * count, 4):
        (offset,) = struct.unpack(">I", moov[entry : entry + 4])
        moov[entry : entry + 4] = struct.pack(">I", offset + len(moov))
    return boxes[b"ftyp"] + bytes(moov) + boxes[b"free"] + boxes[b"mdat"]


def add_sound_track(path: Path) -> None:
    """Adds a track of sound, without samples, to an mp4 whose index is its end."""
    data = path.read_bytes()
    handler = struct.pack(">I4sI4s4s12xB", 33, b"hdlr", 0, bytes(4), b"soun", 0)
    media = struct.pack(">I4s", 8 + len(handler), b"mdia") + handler
    track = struct.pack(">I4s", 8 + len(media), b"trak") + media
    start = data.rindex(b"moov") - 4
    (length,) = struct.unpack_from(">I", data, start)
    path.write_bytes(data[:start] + struct.pack(">I", length + len(track)) + data[start + 4 :] + track)


class _Stream(http.server.BaseHTTPRequestHandler):
    """A camera that sends 12 JPEG frames and then drops the connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(12):
            jpeg = cv2.imencode(".jpg", grey_frame(number))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Keeps quiet."""


@contextmanager
def mjpeg_stream() -> Iterator[str]:
    """The address of such a camera."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/camera.mjpg?key=secret"
    server.shutdown()
    server.server_close()
