"""The page of live pictures and alarms, and what monitoring asks: a small server beside the loop."""

import asyncio
import contextlib
import hmac
import ipaddress
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.clips import read_avi
from yolox_gssam.watch.metrics import metrics_text
from yolox_gssam.watch.store import CLIPS, SNAPSHOTS, AlarmFilter, Store
from yolox_gssam.watch.watcher import Watcher

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as missing:
    raise UserError(f"the page needs {missing.name}: type pip install 'yolox-gssam[watch]'") from missing

_COOKIE = "watch_token"
_ID = re.compile(r"[0-9a-f]{32}")
_FILES = {"page.css": "text/css", "page.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Page:
    """What the server answers.

    Args:
        watcher: the loop that is shown.
        store: its alarms.
        token: needed for all but /healthz, as `Authorization: Bearer`, or once as /?token=; None asks for none.
    """

    def __init__(self, watcher: Watcher, store: Store, token: str | None) -> None:
        self._watcher, self._store, self._token = watcher, store, token

    def app(self) -> Starlette:
        """The application, for uvicorn or a test."""
        routes = [
            Route("/healthz", self._health),
            Route("/metrics", self._metrics),
            Route("/api/sources", self._sources),
            Route("/api/live/{number:int}", self._live),
            Route("/api/alarms", self._alarms),
            Route("/live/{number:int}.jpg", self._picture),
            Route("/snapshots/{alarm_id}", self._snapshot),
            Route("/clips/{alarm_id}.avi", self._clip_file),
            Route("/clips/{alarm_id}", self._clip),
            Route("/", self._file),
            Route("/{name:str}", self._file),
        ]
        app = Starlette(routes=routes)
        app.add_middleware(_Guard, token=self._token)
        if self._token is None:  # another site's page must not read this one under a name of its own
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", "testserver"])
        return app

    def _file(self, request: Request) -> Response:
        name = request.path_params.get("name", "page.html")
        if name == "page.html":
            return Response(_own(name), media_type="text/html", headers=_HEADERS)
        if name not in _FILES:
            return _missing()
        return Response(_own(name), media_type=_FILES[name], headers=_HEADERS)

    def _health(self, request: Request) -> Response:
        problem = self._watcher.problem()
        return PlainTextResponse(problem or "ok", 503 if problem else 200)

    def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(metrics_text(self._watcher), media_type="text/plain; version=0.0.4")

    def _sources(self, request: Request) -> Response:
        return JSONResponse({"sources": [asdict(state) for state in self._watcher.sources.states()]})

    def _live(self, request: Request) -> Response:
        number = request.path_params["number"]
        live = self._watcher.channels[number].live if number < len(self._watcher.channels) else None
        if live is None:
            return JSONResponse({"tracks": []})
        return JSONResponse({"time_s": live.picture.time_s, "size_wh": live.size_wh, "tracks": live.tracks})

    def _picture(self, request: Request) -> Response:
        number = request.path_params["number"]
        live = self._watcher.channels[number].live if number < len(self._watcher.channels) else None
        if live is None:
            return _missing()
        return Response(live.picture.data, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    def _alarms(self, request: Request) -> Response:
        asked = request.query_params
        try:
            wanted = AlarmFilter(
                asked.get("source"),
                asked.get("label"),
                asked.get("since_utc"),
                asked.get("until_utc"),
                int(asked["before"]) if "before" in asked else None,
                max(1, min(1000, int(asked.get("limit", 100)))),
            )
        except ValueError:
            return JSONResponse({"error": "before and limit must be whole numbers"}, 400)
        return JSONResponse({"alarms": self._store.alarms(wanted)})

    def _snapshot(self, request: Request) -> Response:
        path = self._stored(request, SNAPSHOTS, "snapshot")
        return _missing() if path is None else FileResponse(path, media_type="image/jpeg", headers=_HEADERS)

    def _clip_file(self, request: Request) -> Response:
        path = self._stored(request, CLIPS, "clip")
        return _missing() if path is None else FileResponse(path, media_type="video/x-msvideo", headers=_HEADERS)

    def _clip(self, request: Request) -> Response:
        """The clip as a picture that moves, which a browser shows without a codec."""
        path = self._stored(request, CLIPS, "clip")
        if path is None:
            return _missing()
        return StreamingResponse(_play(path), media_type="multipart/x-mixed-replace; boundary=picture")

    def _stored(self, request: Request, folder: str, kind: str) -> Path | None:
        """The file of an alarm as the database names it: no part of the request becomes a path."""
        alarm_id = request.path_params["alarm_id"]
        name = self._store.file_of(alarm_id, kind) if _ID.fullmatch(alarm_id) else None
        path = self._store.folder / folder / name if name else None
        return path if path is not None and path.is_file() else None


class _Guard:
    """Lets in who has the token; an address /?token= sets a cookie and leads to the page without it."""

    def __init__(self, app: Any, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self._token is None or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = (bearer, request.cookies.get(_COOKIE, ""), request.query_params.get("token", ""))
        if not any(hmac.compare_digest(text.encode(), self._token.encode()) for text in given):
            answer: Response = PlainTextResponse("a token is needed: open /?token=TOKEN", 401)
        elif given[2] and scope["path"] == "/":
            answer = Response(status_code=303, headers={"Location": "./"})
            answer.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
        else:
            await self._app(scope, receive, send)
            return
        await answer(scope, receive, send)


@contextlib.contextmanager
def serve(page: Page, host: str, port: int) -> Iterator[int]:
    """Serves a page in a thread while the block runs; gives the port.

    Args:
        page: see there.
        host, port: where; port 0 takes a free one.

    Raises:
        UserError: the address cannot be taken.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        place = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"{host}:{port}: the page cannot be served there: {error.strerror}; choose another") from error
    config = uvicorn.Config(page.app(), log_level="warning", timeout_graceful_shutdown=1, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, name="page", daemon=True)
    thread.start()
    try:
        yield place.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(2)
        place.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _play(path: Path) -> AsyncIterator[bytes]:
    started = time.monotonic()
    for number, picture in enumerate(read_avi(path)):
        await asyncio.sleep(max(0.0, started + number / 10 - time.monotonic()))
        yield b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture + b"\r\n"
    yield b"--picture--\r\n"


def _own(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


def _missing() -> Response:
    return PlainTextResponse("there is no such thing", 404)
