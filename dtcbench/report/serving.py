"""The page of a run while it runs, on this machine's loopback interface, for those who have its token."""

from __future__ import annotations

import hmac
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import Any, NamedTuple, Self

from dtcbench.errors import UserError
from dtcbench.execution.watcher import Watcher
from dtcbench.files import private
from dtcbench.records.location import StoreError
from dtcbench.records.snapshot import Follower, Snapshot
from dtcbench.records.store import Store
from dtcbench.report import metrics, watching
from dtcbench.report.elements import Frame, template

_LOOPBACK = "127.0.0.1"
_NAMES = (_LOOPBACK, "localhost")
"""By which a browser may ask for it. Any other is somebody's who has made a name of their own lead here."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Content-Security-Policy": f"{_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HEADERS_OF = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": "GET"},
}
_REQUEST_S = 10.0
"""In which a part of a request must arrive."""
_AT_ONCE = 32
"""Connections: whoever is on this machine can open them, and the run needs its files."""


class Answer(NamedTuple):
    """What a request gets."""

    content: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class Server(Watcher):
    """Shows the run from its first cell until Ray has ended: as a page, as JSON, and as Prometheus' metrics.

    Parameters
    ----------
    store : of the run
    port : on loopback; 0 for a free one
    told : is told the page's address, with its token, when the run begins
    """

    def __init__(self, store: Store, port: int, told: Callable[[str], None]) -> None:
        self._store, self._port, self._told = store, port, told
        self._token = secrets.token_urlsafe(32)
        self._entered = ExitStack()
        self._listener: _Listener | None = None

    def __enter__(self) -> Self:
        """Take the port. UserError if that fails."""
        try:
            self._listener = self._entered.enter_context(_Listener(self._port, self._token, Views(self._store)))
        except OSError as error:
            raise UserError(
                f"--serve-port {self._port}: {error.strerror or error}; choose another port, or leave it out"
            ) from error
        return self

    def planned(self, suite: str, cells: int, to_run: int) -> None:
        """Start to answer, and say where; the run's folder is there by now."""
        listener, self._listener = self._listener, None
        if listener is None:
            return  # nothing is run, or it answers already
        thread = Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        self._entered.callback(thread.join)
        self._entered.callback(listener.shutdown)
        if isinstance(file := self._store.token_file, Path):
            file.unlink(missing_ok=True)  # of a run that was killed
            with open(file, "x", encoding="ascii", opener=private) as written:
                written.write(self._token)
            self._entered.callback(file.unlink, missing_ok=True)
        self._told(f"this run is at http://{_LOOPBACK}:{listener.server_port}/{self._token}/")

    def __exit__(self, *error: object) -> None:
        self._entered.close()


class Views:
    """How the run stands now, in each form that may be asked for."""

    def __init__(self, store: Store) -> None:
        self._follower, self._lock = Follower(store), Lock()
        self.routes: Mapping[str, Callable[[], Answer]] = {
            "": lambda: _html("live.html", *self._look()),
            "state": lambda: _html("live_state.html", *self._look()),
            "snapshot.json": lambda: Answer(self._look()[0].model_dump_json().encode(), "application/json"),
            "metrics": lambda: Answer(metrics.text(*self._look()), metrics.CONTENT_TYPE),
            "assets/page.css": lambda: Answer(template("page.css").render().encode(), "text/css"),
            "assets/live.js": lambda: Answer(template("live.js").render().encode(), "text/javascript"),
        }
        """By the path after the token."""

    def _look(self) -> tuple[Snapshot, float]:
        with self._lock:
            return self._follower.look()


def _html(name: str, snapshot: Snapshot, silent_s: float) -> Answer:
    """The page, or the part of it that changes."""
    text = template(name).render(
        frame=Frame("assets"),
        policy=_POLICY,
        snapshot=snapshot,
        is_silent=watching.is_silent(snapshot, silent_s),
        headline=watching.headline(snapshot, silent_s),
        counts=watching.counts(snapshot),
        figures={_titled(name): text for name, text in watching.figures(snapshot).items()},
        tables=[
            ("Nodes", *_titles_and_rows(watching.node_columns(snapshot))),
            ("Boards", *_titles_and_rows(watching.board_columns(snapshot))),
        ],
        lists=[
            ("Set aside", watching.set_aside(snapshot)),
            ("Under way", watching.under_way(snapshot)),
            ("Latest failures", watching.failures(snapshot)),
            ("Notes", snapshot.notes[: watching.SHOWN]),
        ],
    )
    return Answer(text.encode(), "text/html; charset=utf-8")


def _titles_and_rows(columns: Mapping[str, list[str]]) -> tuple[list[str], list[tuple[str, ...]]]:
    return list(map(_titled, columns)), list(zip(*columns.values(), strict=True))


def _titled(name: str) -> str:
    return name.capitalize() if name.islower() else name


class _Listener(ThreadingHTTPServer):
    """Listens on loopback alone."""

    daemon_threads = True

    def __init__(self, port: int, token: str, views: Views) -> None:
        super().__init__((_LOOPBACK, port), _Request)
        self.token, self.views = token.encode(), views
        self._free = BoundedSemaphore(_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, unless there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in the middle of an answer is no fault."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def answer(self, method: str, host: str, path: str, authorization: str) -> Answer:
        """What a request gets: only who asks by a name of this machine's own, and has the token, is shown anything."""
        if host.partition(":")[0] not in _NAMES:
            return Answer(b"ask by 127.0.0.1 or localhost", status=HTTPStatus.MISDIRECTED_REQUEST)
        if method != "GET":
            return Answer(b"GET alone is answered", status=HTTPStatus.METHOD_NOT_ALLOWED)
        first, _, rest = path.partition("?")[0].removeprefix("/").partition("/")
        if self._is_token(authorization.removeprefix("Bearer ")):
            route = "/".join(filter(None, (first, rest)))
        elif self._is_token(first):
            route = rest
        else:
            return Answer(b"the token is missing or wrong", status=HTTPStatus.UNAUTHORIZED)
        if route not in self.views.routes:
            return Answer(b"there is no such page", status=HTTPStatus.NOT_FOUND)
        try:
            return self.views.routes[route]()
        except StoreError as error:
            return Answer(str(error).encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token)


class _Request(BaseHTTPRequestHandler):
    server: _Listener
    timeout = _REQUEST_S
    server_version, sys_version = "dtcbench", ""

    def _answer(self) -> None:
        headers = self.headers
        answer = self.server.answer(self.command, headers.get("Host", ""), self.path, headers.get("Authorization", ""))
        self.send_response(answer.status)
        for name, value in {**_HEADERS, **_HEADERS_OF.get(answer.status, {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        """A page that asks again and again would fill any log."""
