"""A real HTTP server on loopback that stands where Farthing would, and misbehaves on demand.

Each request takes the next of the planned behaviours; when none is left it is taken and acknowledged.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Deque, Dict, List, Optional

KEY = "far_canary-of-the-key"

Behaviour = Callable[["Handler"], None]


class Sink:
    def __init__(self) -> None:
        self.requests: List[Dict[str, Any]] = []
        self.events: List[Dict[str, Any]] = []
        self.planned: Deque[Behaviour] = deque()
        self.always: Optional[Behaviour] = None
        self.changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.sink = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Sink":
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ids(self) -> Counter[str]:
        return Counter(event["litellm_call_id"] for event in self.events)

    def wait_for_events(self, number: int, within: float = 30.0) -> None:
        """Until so many different events are there; fails with the number that came."""
        self.wait_until(lambda: len(self.ids()) >= number, within, lambda: f"{len(self.ids())} of {number} events arrived")

    def wait_for_requests(self, number: int, within: float = 30.0) -> None:
        self.wait_until(lambda: len(self.requests) >= number, within, lambda: f"{len(self.requests)} of {number} requests came")

    def wait_until(self, true: Callable[[], bool], within: float, otherwise: Callable[[], str]) -> None:
        with self.changed:
            assert self.changed.wait_for(true, timeout=within), otherwise()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sink: Sink = self.server.sink  # type: ignore[attr-defined]
        self.body = body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
        with sink.changed:
            behaviour = sink.planned.popleft() if sink.planned else (sink.always or acknowledge)
            sink.requests.append({"at": time.monotonic(), "path": self.path, "headers": dict(self.headers), "body": body})
            sink.changed.notify_all()
        behaviour(self)

    def take(self) -> None:
        """What a server does before it acknowledges: it keeps the events."""
        sink: Sink = self.server.sink  # type: ignore[attr-defined]
        with sink.changed:
            lines = self.headers["Content-Type"] == "application/x-ndjson"
            sink.events += [json.loads(line) for line in self.body.splitlines()] if lines else json.loads(self.body)
            sink.changed.notify_all()

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def acknowledge(handler: Handler) -> None:
    handler.take()
    handler.answer(200)


def after(seconds: float) -> Behaviour:
    def behave(handler: Handler) -> None:
        time.sleep(seconds)
        acknowledge(handler)

    return behave


def status(code: int, body: bytes = b"{}", **headers: str) -> Behaviour:
    return lambda handler: handler.answer(code, body, **headers)


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def hang_up_in_the_answer(handler: Handler) -> None:
    """The events are kept and the client is told half of it."""
    handler.take()
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"po')
    handler.close_connection = True
