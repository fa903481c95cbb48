"""Posts segments to Farthing until each is acknowledged.

One thread per process goes round: it ends the segment being written, takes every segment of the spool that nobody holds,
its own and those of processes that died, and posts each as one gzipped batch. A 2xx answer that arrived whole is an
acknowledgement and removes the segment. No answer, a broken one, 408, 425, 429, 5xx and a redirect mean later: after a
pause that doubles up to a minute, or after what the server asks for. Any other 4xx will not mend itself: the segment is
kept under another name. Sending twice is harmless, since Farthing recognises what it has; not sending is not.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Callable, Dict, Optional, Union
from urllib.parse import urlsplit

from .spool import Spool
from .version import VERSION

# how long the first event of a batch waits for company.
GATHER_SECONDS = 1.0
# how often the spool is looked through for segments of processes that died, when there is nothing of our own.
LOOK_ROUND_SECONDS = 15.0
ANSWER_WITHIN_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
# a server may ask for more patience than that, within reason: a nonsensical date must not end the sending.
LONGEST_RETRY_AFTER_SECONDS = 3600.0
# an answer for 512 events takes some 100 kB; what is longer than this is not Farthing's.
LONGEST_ANSWER = 4 << 20

Report = Callable[[str], None]


@dataclass(frozen=True)
class Acknowledged:
    pass


@dataclass(frozen=True)
class Refused:
    status: int
    detail: str


@dataclass(frozen=True)
class Later:
    reason: str
    after_seconds: Optional[float] = None


Answer = Union[Acknowledged, Refused, Later]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The standard library would carry the key along to whatever host a redirect names."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


class Endpoint:
    """Farthing's address and a key for it. Neither its text nor an error it raises contains the key."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("FARTHING_URL is no address: it looks like https://farthing.example.com")
        if "@" in parts.netloc:
            raise ValueError("FARTHING_URL contains a password: leave it out, the key is FARTHING_KEY's")
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError("FARTHING_KEY is no key: it looks like far_..., and `farthing keys create` makes one")
        self.url = url.strip().rstrip("/") + "/v1/ingest/litellm"
        self._authorization = f"Bearer {key}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def post(self, events: bytes) -> Answer:
        lines = events.count(b"\n") > 1
        # a single object would be answered with a status of its own (409 where it contradicts what Farthing has); a batch
        # of one is answered as every batch is, with an acknowledgement that names what became of each event.
        body = events if lines else b"[" + events + b"]"
        request = urllib.request.Request(
            self.url,
            data=gzip.compress(body, compresslevel=5, mtime=0),
            method="POST",
            headers={
                "Authorization": self._authorization,
                "Content-Type": "application/x-ndjson" if lines else "application/json",
                "Content-Encoding": "gzip",
                "User-Agent": f"farthing-litellm/{VERSION}",
            },
        )
        try:
            with self._opener.open(request, timeout=ANSWER_WITHIN_SECONDS) as answer:
                # an acknowledgement that breaks off is none: what is sent again for nothing costs nothing.
                answer.read(LONGEST_ANSWER)
                return Acknowledged()
        except urllib.error.HTTPError as error:
            with error:
                return _no_acknowledgement(error)
        except (OSError, http.client.HTTPException) as error:
            # urllib wraps what happened to the connection; the wrapper says nothing.
            cause = getattr(error, "reason", error)
            return Later(f"{type(cause).__name__}: {cause}")


def _no_acknowledgement(error: urllib.error.HTTPError) -> Answer:
    if error.code in (408, 425, 429) or error.code >= 500:
        return Later(f"answered {error.code}", _retry_after(error.headers))
    if error.code < 400:
        to = error.headers.get("Location", "elsewhere")
        return Later(f"redirected to {to}: set FARTHING_URL to where that leads")
    return Refused(error.code, _detail(error))


def _retry_after(headers: Message) -> Optional[float]:
    said = headers.get("Retry-After", "").strip()
    if not said:
        return None
    if said.isdigit():
        seconds = float(said)
    else:
        try:
            at = parsedate_to_datetime(said)
        except (TypeError, ValueError):
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=timezone.utc)
        seconds = (at - datetime.now(timezone.utc)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _detail(error: urllib.error.HTTPError) -> str:
    """What the problem says, in a line: it names the field and the fix."""
    try:
        text = error.read(64 << 10).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""
    with suppress(ValueError):
        problem = json.loads(text)
        if isinstance(problem, dict):
            text = str(problem.get("detail") or problem.get("title") or "")
    return " ".join(text.split())[:300]


class Sender:
    """The thread that empties the spool."""

    _thread: threading.Thread

    def __init__(self, spool: Spool, endpoint: Endpoint, report: Report) -> None:
        self._spool = spool
        self._endpoint = endpoint
        self._report = report
        self._reported: set[str] = set()
        self._stumbled: Dict[str, int] = {}
        self._failures = 0
        self._not_before = 0.0
        self.in_child()

    def soon(self, hurry: bool = False) -> None:
        """There is something to send; `hurry` says that it should not wait for company."""
        if hurry:
            self._hurry.set()
        if not self._something.is_set():
            self._something.set()
        if not self._thread.is_alive():
            self.start()

    def start(self) -> None:
        with self._starting:
            if not self._thread.is_alive():
                self._thread = self._make_thread()
                self._thread.start()

    def drain(self, within_seconds: float) -> bool:
        """Waits for a round that began after this was called. True if it left nothing that it might have sent."""
        if self._asked_to_wait() > within_seconds:
            return False
        with self._rounds_changed:
            wanted = self._rounds_begun + 1
            self.soon(hurry=True)
            ended = self._rounds_changed.wait_for(lambda: self._rounds_ended >= wanted, timeout=within_seconds)
            return ended and self._failures == 0

    def in_child(self) -> None:
        self._something = threading.Event()
        self._hurry = threading.Event()
        self._starting = threading.Lock()
        self._rounds_changed = threading.Condition()
        self._rounds_begun = 0
        self._rounds_ended = 0
        self._thread = self._make_thread()

    def round(self) -> Optional[float]:
        """Sends what can be sent; how long to wait before the next round, if something went wrong."""
        self._spool.seal()
        pause = self._write_what_waits()
        # what failed before comes last: should the server stumble over one batch, the others still get through.
        for path in sorted(self._spool.waiting(), key=lambda path: (self._stumbled.get(path.name, 0), path.name)):
            later = self._send(path)
            if later is not None:
                return later
        return pause

    def _write_what_waits(self) -> Optional[float]:
        """A full disk is no reason not to send: what is sent makes room."""
        try:
            self._spool.write_what_waits()
        except OSError as trouble:
            self._say_once("disk", f"{self._spool.directory} takes no more: {trouble}")
            return FIRST_PAUSE_SECONDS
        self._reported.discard("disk")
        return None

    def _send(self, path: Path) -> Optional[float]:
        with self._spool.borrow(path) as segment:
            if segment is None:
                self._stumbled.pop(path.name, None)
                return None
            answer = self._endpoint.post(segment.events)
            if isinstance(answer, Later):
                self._stumbled[path.name] = self._stumbled.get(path.name, 0) + 1
                return self._pause(answer)
            if isinstance(answer, Refused):
                kept = segment.refused()
                self._say_once(
                    f"refused {answer.status}",
                    f"{self._endpoint.url} refused {segment.count} events with {answer.status}: {answer.detail}; they are "
                    f"kept in {kept} and tried again at the next start",
                )
            else:
                segment.acknowledged()
        self._stumbled.pop(path.name, None)
        if self._failures:
            self._failures = 0
            self._reported.discard("later")
            self._report(f"{self._endpoint.url} answers again")
        return None

    def _pause(self, later: Later) -> float:
        self._say_once("later", f"{self._endpoint.url}: {later.reason}; events wait in {self._spool.directory}")
        # the exponent is bounded, since two to the power of a long outage is no float.
        pause: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        pause *= random.uniform(0.5, 1.0)
        if later.after_seconds is not None:
            self._not_before = time.monotonic() + later.after_seconds
        return max(pause, later.after_seconds or 0.0)

    def _asked_to_wait(self) -> float:
        return max(0.0, self._not_before - time.monotonic())

    def _say_once(self, what: str, text: str) -> None:
        if what not in self._reported:
            self._reported.add(what)
            self._report(text)

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="farthing-send", daemon=True)

    def _run(self) -> None:
        pause: Optional[float] = 0.0
        while True:
            if pause is None:
                self._something.wait(LOOK_ROUND_SECONDS)
                self._hurry.wait(GATHER_SECONDS)
            else:
                self._hurry.wait(pause)
                # a pause of our own may be cut short, but not one that the server asked for.
                time.sleep(self._asked_to_wait())
            self._something.clear()
            self._hurry.clear()
            with self._rounds_changed:
                self._rounds_begun += 1
            try:
                pause = self.round()
            except Exception as trouble:
                # a disk that is full or gone is as temporary as a server that is down.
                pause = self._pause(Later(f"{type(trouble).__name__}: {trouble}"))
            with self._rounds_changed:
                self._rounds_ended = self._rounds_begun
                self._rounds_changed.notify_all()
