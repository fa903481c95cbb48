"""Processes that write to a spool, what they have written so far, and what dead ones leave in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import sink

HERE = Path(__file__).parent


def gateway(server: sink.Sink, spool: Path, calls: int, apart: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "gateway.py"), str(calls), str(apart)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(HERE.parent / "src"),
            "FARTHING_URL": server.url,
            "FARTHING_KEY": sink.KEY,
            "FARTHING_SPOOL": str(spool),
        },
    )


def send(server: sink.Sink, spool: Path) -> subprocess.CompletedProcess[str]:
    """`python -m farthing_litellm`, where nothing but the standard library and this package can be imported."""
    source = str(HERE.parent / "src")
    settings = {"FARTHING_URL": server.url, "FARTHING_KEY": sink.KEY, "FARTHING_SPOOL": str(spool), "PYTHONPATH": source}
    command = [sys.executable, "-S", "-m", "farthing_litellm"]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60)


def lines_in(spool: Path) -> int:
    """How many events wait in the spool. A segment that is being made has no name yet that would stay."""
    return sum(path.read_bytes().count(b"\n") for path in spool.glob("*.jsonl"))


def eventually(true: Callable[[], bool], within: float = 30.0) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)


def lines_of_a_dead_process(spool: Path, written: bytes, name: str = "00000000000000000001-1-gone.jsonl") -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    segment = spool / name
    segment.write_bytes(written)
    return segment


def event(name: str) -> bytes:
    return json.dumps({"litellm_call_id": name, "status": "success"}).encode() + b"\n"
