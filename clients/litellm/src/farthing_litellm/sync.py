"""Makes what was written survive a power cut, a few milliseconds later and not in the path of a call.

An fsync takes as long as the disk likes, from a fraction of a millisecond to seconds on a disk that others keep busy, and
LiteLLM runs callbacks on the event loop that serves requests. So a hook only hands its line to the kernel, which is what a
`kill -9` cannot take back, and this thread makes one fsync out of all lines of the last five milliseconds.
"""

from __future__ import annotations

import threading
import time
from typing import Callable

from .spool import Spool

SYNC_WITHIN_SECONDS = 0.005


class Syncer:
    """Calls the spool's `sync` soon after `soon` was called."""

    def __init__(self, spool: Spool, complain: Callable[[str, Exception], None]) -> None:
        self._spool = spool
        self._complain = complain
        self.in_child()

    def soon(self) -> None:
        if not self._written.is_set():
            self._written.set()
        if not self._thread.is_alive():
            self._start()

    def in_child(self) -> None:
        self._written = threading.Event()
        self._thread = self._make_thread()
        self._starting = threading.Lock()

    def _start(self) -> None:
        with self._starting:
            if not self._thread.is_alive():
                self._thread = self._make_thread()
                self._thread.start()

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="farthing-sync", daemon=True)

    def _run(self) -> None:
        while True:
            self._written.wait()
            time.sleep(SYNC_WITHIN_SECONDS)
            self._written.clear()
            try:
                self._spool.sync()
            except Exception as trouble:
                self._complain("the spool could not be made durable", trouble)
