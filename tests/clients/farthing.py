"""The real `farthing serve` as a process, and its API as the tests ask it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Optional


class Farthing:
    """A server with a database of its own, which it keeps when it is killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self.key = ""
        self._process: Optional[subprocess.Popen[str]] = None

    def start(self) -> None:
        # the first start picks a port; the next ones take the same, as a restarted server does.
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        log = open(self.directory / "farthing.log", "a")
        self._process = subprocess.Popen(
            [os.environ["FARTHING"], "serve", "--listen", listen, "--database", f"sqlite://{self.directory}/f.db"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        first_start = not self.key
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if said := re.search(r"serves (http://\S+)", line):
                self.url = said[1]
            elif said := re.search(r"far_\w+", line):
                self.key = said[0]
            if self.url and (self.key if first_start else said):
                break
        else:
            raise AssertionError((self.directory / "farthing.log").read_text())

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=30)

    def get(self, path: str, **query: object) -> Any:
        with urllib.request.urlopen(self._request(path, query), timeout=30) as answer:
            return json.load(answer)

    def status_of(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self._request(path, {}), timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def spend(self, by: str) -> dict[tuple[Optional[str], ...], tuple[int, Decimal]]:
        """Calls and amount by the values of the dimensions."""
        dimensions = by.split(",")
        rows = self.get("/v1/reports/spend", group_by=by)["rows"]
        return {tuple(row[name] for name in dimensions): (row["calls"], Decimal(row["amount"])) for row in rows}

    def beside(self) -> dict[str, Any]:
        """What came in and has no amount."""
        return dict(self.get("/v1/reports/spend", group_by="model")["beside"])

    def calls(self) -> int:
        return sum(calls for calls, _ in self.spend("model").values())

    def event(self, source: str, name: str) -> Any:
        return self.get(f"/v1/events/{urllib.parse.quote(source, safe='')}/{urllib.parse.quote(name, safe='')}")

    def entries(self) -> list[dict[str, Any]]:
        entries, cursor = [], None
        while True:
            page = self.get("/v1/entries", limit=1000, **({"cursor": cursor} if cursor else {}))
            entries += page["items"]
            cursor = page.get("next")
            if cursor is None:
                return entries

    def quantities(self, entry: dict[str, Any]) -> dict[str, int]:
        return {item["meter"]: item["quantity"] for item in entry["line_items"]}

    def wait_for_calls(self, number: int, within: float = 30.0) -> None:
        wait_until(lambda: self.calls() >= number, within, lambda: f"{self.calls()} of {number} calls arrived")

    def _request(self, path: str, query: dict[str, object]) -> urllib.request.Request:
        tail = f"?{urllib.parse.urlencode(query)}" if query else ""
        return urllib.request.Request(self.url + path + tail, headers={"Authorization": f"Bearer {self.key}"})


def wait_until(true: Callable[[], bool], within: float, otherwise: Callable[[], str]) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.1)
