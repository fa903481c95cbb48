"""What was written survives the death of whoever wrote it, and nobody takes what belongs to the living."""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from pathlib import Path
from typing import Callable

import processes
import sink
from farthing_litellm import FarthingLogger
from farthing_litellm.spool import Spool

def every_call_written_before_a_kill_arrives(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    server.always = sink.status(503)
    process = processes.gateway(server, spool, calls=100_000, apart=0.002)
    written = set()
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("written "):
            written.update(line.split()[1:])
        if len(written) == 150:
            process.send_signal(signal.SIGKILL)
            break
    for line in process.stdout:
        # what it had said before it died counts too; a last line without its end says nothing.
        if line.startswith("written ") and line.endswith("\n"):
            written.update(line.split()[1:])
    assert process.wait() == -signal.SIGKILL
    assert len(written) >= 150
    assert server.events == []
    server.always = None
    start()
    server.wait_for_events(len(written))
    assert written <= set(server.ids())


def a_script_that_ends_sends_what_it_has(server: sink.Sink, spool: Path) -> None:
    process = processes.gateway(server, spool, calls=20)
    process.communicate()
    assert process.returncode == 0
    assert len(server.ids()) == 20
    assert list(spool.iterdir()) == []


def a_script_that_ends_while_the_server_is_down_leaves_what_it_has(
    server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]
) -> None:
    server.always = sink.status(503)
    process = processes.gateway(server, spool, calls=20)
    process.communicate()
    assert process.returncode == 0
    server.always = None
    start()
    server.wait_for_events(20)


def a_spool_can_be_sent_without_litellm(server: sink.Sink, spool: Path) -> None:
    for number in range(3):
        processes.lines_of_a_dead_process(spool, processes.event(str(number)), name=f"0000000000000000000{number}-1-gone.jsonl")
    server.always = sink.status(401)
    ended = processes.send(server, spool)
    assert (ended.returncode, ended.stdout) == (1, "0 of 3 batches sent\n")
    assert "refused 1 events with 401" in ended.stderr
    assert sink.KEY not in ended.stderr
    server.always = None
    ended = processes.send(server, spool)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "3 of 3 batches sent\n", "")
    assert server.ids() == Counter(["0", "1", "2"])


def a_half_written_line_is_kept_apart(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    half = processes.event("third")[:-9]
    segment = processes.lines_of_a_dead_process(spool, processes.event("first") + processes.event("second") + half)
    assert start().flush()
    assert server.ids() == Counter(["first", "second"])
    [torn] = spool.iterdir()
    assert torn.name == segment.name.replace(".jsonl", ".torn")
    assert torn.read_bytes() == half
    assert oct(torn.stat().st_mode & 0o777) == "0o600"


def a_whole_line_without_its_end_is_not_trusted(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    processes.lines_of_a_dead_process(spool, processes.event("first") + processes.event("second").rstrip(b"\n"))
    assert start().flush()
    assert server.ids() == Counter(["first"])
    [torn] = spool.iterdir()
    assert torn.read_bytes() == processes.event("second").rstrip(b"\n")


def zeros_that_a_power_cut_left_are_kept_apart(
    server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]
) -> None:
    processes.lines_of_a_dead_process(spool, processes.event("first") + b"\0" * 100 + b"\n" + processes.event("second"))
    assert start().flush()
    assert server.ids() == Counter(["first", "second"])
    [torn] = spool.iterdir()
    assert torn.read_bytes().strip(b"\n") == b"\0" * 100


def an_empty_segment_goes_without_a_request(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    processes.lines_of_a_dead_process(spool, b"")
    assert start().flush()
    assert server.requests == []
    assert list(spool.iterdir()) == []


def what_a_living_process_writes_is_left_to_it(
    server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]
) -> None:
    living = Spool(spool)
    living.append(processes.event("its own"))
    logger = start()
    assert logger.flush()
    assert server.events == []
    living.append(processes.event("another"))
    living.seal()
    assert logger.flush()
    assert server.ids() == Counter(["its own", "another"])


def a_batch_is_512_events_at_most(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    server.always = sink.status(503)
    logger = start()
    for number in range(1200):
        logger.log_success_event({"standard_logging_object": {"litellm_call_id": str(number)}}, None, None, None)
    server.always = None
    assert logger.flush()
    assert server.ids() == Counter(str(number) for number in range(1200))
    assert max(request["body"].count(b"\n") for request in server.requests) <= 512


def a_fork_writes_a_segment_of_its_own(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    server.always = sink.status(503)
    logger = start()
    call = {"litellm_call_id": "parent", "status": "success"}
    logger.log_success_event({"standard_logging_object": call}, None, None, None)
    child = os.fork()
    if child == 0:
        try:
            call = {"litellm_call_id": "child", "status": "success"}
            logger.log_success_event({"standard_logging_object": call}, None, None, None)
            # killed while its parent lives: its events must not wait for the parent's end.
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    _, ended = os.waitpid(child, 0)
    assert os.WTERMSIG(ended) == signal.SIGKILL
    server.always = None
    assert logger.flush()
    server.wait_for_events(2)
    assert server.ids() == Counter(["parent", "child"])


def a_disk_that_takes_half_a_line_loses_none(server: sink.Sink, spool: Path, start: Callable[[], FarthingLogger]) -> None:
    logger = start()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # no file may grow beyond this: the kernel takes a part of the line that crosses it, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        server.always = sink.status(503)
        for number in range(100):
            call = {"litellm_call_id": str(number), "model": "m" * 200}
            logger.log_success_event({"standard_logging_object": call}, None, None, None)
        server.always = None
        for _ in range(60):
            logger.flush()
        server.wait_for_events(100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert server.ids() == Counter(str(number) for number in range(100))
    assert logger._spool.torn == 0
    assert logger._spool.lost == 0


def a_disk_that_takes_nothing_costs_a_bounded_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    refused = 0
    try:
        for _ in range(200):
            try:
                spool.append(b"x" * 99_999 + b"\n")
            except OSError:
                refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert refused == 200
    # eight megabytes are kept, the oldest of the rest are gone and counted.
    assert spool.lost == 200 - 83
    spool.write_what_waits()
    spool.seal()
    assert sum(path.stat().st_size for path in spool.waiting()) == 83 * 100_000
