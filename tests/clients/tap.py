"""A tap in the line between a client and Farthing: it passes requests and answers on, and remembers what was acknowledged."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Tap:
    def __init__(self, to: str) -> None:
        self.to = to
        self.acknowledged: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self._server.tap = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Tap":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        tap: Tap = self.server.tap  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        passed_on = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        request = urllib.request.Request(tap.to + self.path, data=body, headers=passed_on)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, said = answer.status, answer.read()
            tap.acknowledged.append(body)
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass
