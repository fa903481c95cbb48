"""Events on disk until Farthing has acknowledged them.

A spool is a directory of segments, each at most 512 events long and sent as one batch. A segment is removed after its
batch was acknowledged and at no other moment, so there is no position to remember and none to get wrong. Whoever writes a
segment holds a lock (flock) on it, and so does whoever sends it; the kernel takes the lock back when a process dies,
however it dies, and from then on the next sender that looks finds the segment free. Processes that share a Farthing key
may share a spool. What becomes of a segment is said by its name:

    ….jsonl.new       being made: not locked yet, so nobody touches it
    ….jsonl           written, or waiting to be sent
    ….jsonl.refused   answered with a 4xx that repeating does not mend; tried again when a process starts
    ….torn            the half line that a crash left at a segment's end, kept for a person to look at
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Deque, Iterator, Optional

# a batch of this many events is a few hundred kB, gzipped some tens: small enough for any proxy on the way.
EVENTS_PER_SEGMENT = 512
BYTES_PER_SEGMENT = 4 << 20

# what is held in memory while the disk takes nothing. beyond it events are lost, counted and reported.
BYTES_IN_MEMORY = 8 << 20


@dataclass
class Segment:
    """A segment that this process alone may send: it holds the lock for as long as the segment is borrowed."""

    path: Path
    events: bytes
    count: int

    def acknowledged(self) -> None:
        self.path.unlink()

    def refused(self) -> Path:
        kept = self.path.with_name(self.path.name + ".refused")
        self.path.rename(kept)
        return kept


class Spool:
    """Where one process writes its events, and where it finds those of all processes."""

    _held: set[int]
    _waiting: Deque[bytes]
    _active: Optional[int]
    _active_path: Optional[Path]
    _full: list[int]
    _unsynced: bool
    _new: bool

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lost = 0
        self.torn = 0
        self._forget()
        # a start is when somebody may have mended what was refused: the key, the address, or the server.
        for refused in sorted(directory.glob("*.jsonl.refused")):
            with suppress(FileNotFoundError):
                refused.rename(refused.with_name(refused.name[: -len(".refused")]))

    def append(self, line: bytes) -> None:
        """Hands the line to the kernel. When this returns, the death of the process loses nothing any more; that of the
        machine does until `sync` has run."""
        with self._writing:
            self._waiting.append(line)
            self._bytes_waiting += len(line)
            try:
                self._write_waiting()
            except OSError:
                while self._bytes_waiting > BYTES_IN_MEMORY:
                    self._bytes_waiting -= len(self._waiting.popleft())
                    self.lost += 1
                raise
            self._unsynced = True

    def write_what_waits(self) -> None:
        """Tries again to write what the disk would not take."""
        with self._writing:
            self._write_waiting()

    def sync(self) -> None:
        """Makes what was written survive a power cut. Writers go on meanwhile: only the lock on closing is held."""
        with self._closing:
            with self._writing:
                if not self._unsynced and not self._full:
                    return
                full, active, new = self._full, self._active, self._new
                self._full, self._unsynced, self._new = [], False, False
            try:
                for file in full:
                    os.fsync(file)
                if active is not None:
                    os.fsync(active)
            finally:
                # also where the disk reports an error: a lock that is kept would keep the events from being sent.
                for file in full:
                    self._release(file)
            if new:
                _sync_directory(self.directory)

    def seal(self) -> None:
        """Ends the segment being written, so that it can be sent."""
        with self._writing:
            self._end_segment()
        self.sync()

    def waiting(self) -> list[Path]:
        """The segments that are there, also those that somebody else holds."""
        active = self._active_path
        return [path for path in sorted(self.directory.glob("*.jsonl")) if path != active]

    @contextmanager
    def borrow(self, path: Path) -> Iterator[Optional[Segment]]:
        """The segment at this path, unless it is somebody else's or gone."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield None
            return
        self._held.add(file)
        try:
            if not _lock(file) or not _is_still(path, file):
                yield None
                return
            with open(file, "rb", closefd=False) as reader:
                written = reader.read()
            events, torn = _whole_lines(written)
            if torn:
                self._keep_apart(path, torn)
            if events:
                yield Segment(path, events, events.count(b"\n"))
            else:
                path.unlink()
                yield None
        finally:
            self._release(file)

    def in_child(self) -> None:
        """After a fork the segments are the parent's: the child closes its copies of their files, which leaves the locks
        where they are, and starts a segment of its own. Lines that could not be written yet are the parent's to write."""
        for file in self._held:
            with suppress(OSError):
                os.close(file)
        self._forget()

    def _release(self, file: int) -> None:
        # said, and not left to closing: a child that was forked a moment ago may hold a copy still, and a lock lasts as
        # long as its last copy.
        fcntl.flock(file, fcntl.LOCK_UN)
        self._held.discard(file)
        os.close(file)

    def _forget(self) -> None:
        self._held = set()
        self._writing = threading.Lock()
        self._closing = threading.Lock()
        self._waiting = deque()
        self._bytes_waiting = 0
        self._active = None
        self._active_path = None
        self._active_events = 0
        self._active_bytes = 0
        self._full = []
        self._unsynced = False
        self._new = False

    def _write_waiting(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            if self._active is None:
                self._begin_segment()
            assert self._active is not None
            written = os.write(self._active, line)
            if written != len(line):
                self._take_back_half_a_line(self._active)
                raise OSError(f"only {written} of {len(line)} bytes could be written")
            self._waiting.popleft()
            self._bytes_waiting -= len(line)
            self._active_bytes += len(line)
            self._active_events += 1
            if self._active_events >= EVENTS_PER_SEGMENT or self._active_bytes >= BYTES_PER_SEGMENT:
                self._end_segment()

    def _take_back_half_a_line(self, active: int) -> None:
        """A disk that fills up takes half a line, and the next line must not be glued to it."""
        try:
            os.ftruncate(active, self._active_bytes)
        except OSError:
            self._end_segment()

    def _begin_segment(self) -> None:
        # names sort by time, so that senders find the oldest first. two processes of one host and one moment differ in
        # their id, two containers in their host.
        name = f"{time.time_ns():020d}-{os.getpid()}-{socket.gethostname()}.jsonl".replace(os.sep, "_")
        path = self.directory / name
        made = path.with_name(path.name + ".new")
        file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # locked before it gets the name under which senders look for it: in between, one could take it for the
            # empty segment of a dead process and remove it under our hands.
            fcntl.flock(file, fcntl.LOCK_EX)
            made.rename(path)
        except OSError:
            os.close(file)
            raise
        self._held.add(file)
        self._active, self._active_path, self._new = file, path, True
        self._active_events = self._active_bytes = 0

    def _end_segment(self) -> None:
        """Whoever syncs next closes the file, which gives the lock back: closing must not come before the fsync, and the
        fsync must not be waited for by a call."""
        if self._active is not None:
            self._full.append(self._active)
        self._active, self._active_path, self._active_events = None, None, 0

    def _keep_apart(self, path: Path, torn: bytes) -> None:
        kept = path.with_name(path.name[: -len(".jsonl")] + ".torn")
        file = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(file, torn)
            os.fsync(file)
        finally:
            os.close(file)
        self.torn += 1


def _whole_lines(written: bytes) -> tuple[bytes, bytes]:
    """What can be sent, and what a crash left of a line: a killed process leaves a last line without its end, a power cut
    may leave zeros where a line was promised."""
    *lines, rest = written.split(b"\n")
    whole = [line for line in lines if line[:1] == b"{" and line[-1:] == b"}" and b"\0" not in line]
    if whole and not _is_json(whole[-1]):
        whole.pop()
    if len(whole) == len(lines) and not rest:
        return written, b""
    sendable = set(whole)
    torn = b"\n".join([line for line in lines if line not in sendable] + [rest])
    return b"".join(line + b"\n" for line in whole), torn


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, file: int) -> bool:
    """Between opening and locking, whoever held the lock may have removed or renamed the file."""
    try:
        at_path = os.stat(path)
    except FileNotFoundError:
        return False
    held = os.fstat(file)
    return (at_path.st_dev, at_path.st_ino) == (held.st_dev, held.st_ino)


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
