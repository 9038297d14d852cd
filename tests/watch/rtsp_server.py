"""A real RTSP server, GStreamer's: python3 rtsp_server.py PORT serves moving pictures at rtsp://127.0.0.1:PORT/gate.

Debian has it: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
It is no package of pip, so it runs with the system's Python.
"""

import subprocess
import sys
from pathlib import Path

SYSTEM_PYTHON = Path("/usr/bin/python3")
PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate=20/1 "
    "! jpegenc ! rtpjpegpay name=pay0 pt=96 )"
)
_LOADS = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "assert all(Gst.ElementFactory.find(name) for name in ('videotestsrc', 'jpegenc', 'rtpjpegpay'))"
)


def is_installed() -> bool:
    """Whether the system's Python has GStreamer's server."""
    if not SYSTEM_PYTHON.exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", _LOADS], capture_output=True, check=False).returncode == 0


def start_server(port: int, size_wh: tuple[int, int] = (160, 120)) -> "subprocess.Popen[str]":
    """Starts the server at a port and waits until it takes connections."""
    command = [str(SYSTEM_PYTHON), __file__, str(port), *map(str, size_wh)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def main(port: str, width: str, height: str) -> None:
    """Serves until it is killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE.format(width=width, height=height))
    factory.set_shared(True)
    server.get_mount_points().add_factory("/gate", factory)
    assert server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:4])
