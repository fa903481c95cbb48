"""Processes that write to a spool, and what dead ones leave in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


def lines_of_a_dead_process(spool: Path, written: bytes, name: str = "00000000000000000001-1-gone.jsonl") -> Path:
    spool.mkdir(parents=True, exist_ok=True)
    segment = spool / name
    segment.write_bytes(written)
    return segment


def event(name: str) -> bytes:
    return json.dumps({"litellm_call_id": name, "status": "success"}).encode() + b"\n"
