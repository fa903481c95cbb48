"""The callback: takes each finished call from LiteLLM, puts it on disk and returns.

LiteLLM calls one of four hooks once per call: sync or async, success or failure; a streamed call counts when its stream
has ended. All four do the same thing. A hook never raises, never waits for the network and never for an fsync: see
`sync` for what that leaves to a power cut, and the README for what it was measured to cost.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Optional, Union

from litellm.integrations.custom_logger import CustomLogger

from . import payload
from .sender import Endpoint, Sender
from .spool import Spool
from .sync import Syncer

log = logging.getLogger("farthing_litellm")

# how many calls are remembered in order to write each of them once.
CALLS_REMEMBERED = 4096
# the same trouble is told once in a while, not once per call.
SECONDS_BETWEEN_COMPLAINTS = 60.0
EXIT_WITHIN_SECONDS = 3.0


def default_spool() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(state) / "farthing" / "litellm"


def setting(name: str, given: Optional[str]) -> str:
    value = given or os.environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set: farthing_litellm needs FARTHING_URL and FARTHING_KEY")
    return value


class FarthingLogger(CustomLogger):
    """Sends usage to Farthing. What is not given is read from FARTHING_URL, FARTHING_KEY and FARTHING_SPOOL."""

    def __init__(
        self,
        url: Optional[str] = None,
        key: Optional[str] = None,
        spool: Optional[Union[str, "os.PathLike[str]"]] = None,
        **litellm_options: Any,
    ) -> None:
        # litellm's own switch for leaving messages out replaces the whole response, its usage included. `payload` takes
        # them out more exactly.
        super().__init__(**litellm_options)
        self._endpoint = Endpoint(setting("FARTHING_URL", url), setting("FARTHING_KEY", key))
        directory = spool or os.environ.get("FARTHING_SPOOL") or default_spool()
        self._spool = Spool(Path(directory).expanduser().absolute())
        self._complained: Dict[str, float] = {}
        self._syncer = Syncer(self._spool, self._complain)
        self._sender = Sender(self._spool, self._endpoint, log.warning)
        self._written: "OrderedDict[tuple[Any, ...], None]" = OrderedDict()
        self._remembering = threading.Lock()
        _loggers.add(self)
        # what processes before this one left behind does not wait for this one's first call.
        self._sender.start()

    def __repr__(self) -> str:
        return f"FarthingLogger({self._endpoint.url!r}, spool={str(self._spool.directory)!r})"

    def flush(self, within_seconds: float = EXIT_WITHIN_SECONDS) -> bool:
        """Sends what is there, and says whether all of it was answered in time. What was not stays in the spool."""
        return self._sender.drain(within_seconds)

    # the names of the arguments are litellm's, which passes them by name.

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._write(kwargs)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._write(kwargs)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._write(kwargs)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._write(kwargs)

    def _write(self, kwargs: Any) -> None:
        try:
            call = kwargs.get("standard_logging_object")
            if call is None:
                raise ValueError("litellm made no standard_logging_object for a call")
            if not call.get("litellm_call_id"):
                # older releases (1.83 is one) leave it out of the payload. the payload's `id` is no substitute: it is the
                # provider's, and comes back with every answer from a cache.
                call = {**call, "litellm_call_id": kwargs.get("litellm_call_id")}
            if self._is_new(call):
                self._spool.append(payload.line(payload.kept(call)))
                self._syncer.soon()
                self._sender.soon()
        except Exception as trouble:
            # whatever is wrong with the accounting, the call it is about was fine.
            self._complain("a call could not be written to the spool", trouble)

    def _is_new(self, call: Any) -> bool:
        # an id alone does not do: the attempts of one routed call share it, and each of them may have been paid for.
        identity = (call.get("litellm_call_id"), call.get("status"), call.get("startTime"))
        with self._remembering:
            if identity in self._written:
                return False
            self._written[identity] = None
            if len(self._written) > CALLS_REMEMBERED:
                self._written.popitem(last=False)
            return True

    def _complain(self, what: str, trouble: Exception) -> None:
        now = time.monotonic()
        if now - self._complained.get(what, -SECONDS_BETWEEN_COMPLAINTS) >= SECONDS_BETWEEN_COMPLAINTS:
            self._complained[what] = now
            lost = f"; {self._spool.lost} events were lost so far" if self._spool.lost else ""
            log.error("%s: %s: %s%s", what, type(trouble).__name__, trouble, lost)

    def _in_child(self) -> None:
        self._remembering = threading.Lock()
        self._spool.in_child()
        self._syncer.in_child()
        self._sender.in_child()


_loggers: "weakref.WeakSet[FarthingLogger]" = weakref.WeakSet()


def _after_fork() -> None:
    # a proxy may load its configuration before it forks its workers. the child's threads start with its first call.
    for logger in list(_loggers):
        logger._in_child()


def _at_exit() -> None:
    # litellm also finishes its queue of callbacks at exit, but has registered before us and so would run after us.
    try:
        from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

        GLOBAL_LOGGING_WORKER._flush_on_exit()  # type: ignore[no-untyped-call]
    except Exception:
        log.debug("litellm has no queue of callbacks to finish", exc_info=True)
    for logger in list(_loggers):
        logger.flush()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
