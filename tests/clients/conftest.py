"""The fixtures: a server with a database of its own for each test, and clients as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import farthing

HERE = Path(__file__).parent
OUR_CLIENT = HERE.parent.parent / "clients" / "litellm" / "src"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[farthing.Farthing]:
    running = farthing.Farthing(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def launch(server: farthing.Farthing, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a client with the environment that its documentation asks for, and ends it with the test."""
    started = []

    def begin(*command: object, **settings: object) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(OUR_CLIENT),
            # litellm would fetch its price list at the start.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "GENERIC_LOGGER_ENDPOINT": f"{server.url}/v1/ingest/litellm",
            "GENERIC_LOGGER_HEADERS": f"Authorization=Bearer {server.key}",
            "FARTHING_URL": server.url,
            "FARTHING_KEY": server.key,
            "FARTHING_SPOOL": str(tmp_path / "spool"),
            **{name: str(value) for name, value in settings.items()},
        }
        log = open(tmp_path / f"client-{len(started)}.log", "w")
        process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=tmp_path
        )
        log.close()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def python(launch: Callable[..., subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Starts one of the senders."""

    def begin(script: str, *arguments: object, **settings: object) -> subprocess.Popen[str]:
        return launch(sys.executable, HERE / "senders" / script, *arguments, **settings)

    return begin


@pytest.fixture
def run(python: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., str]:
    """Runs one of the senders to its end, and gives back what it printed."""

    def to_its_end(script: str, *arguments: object, **settings: object) -> str:
        process = python(script, *arguments, **settings)
        said, _ = process.communicate(timeout=120)
        logs = "".join(log.read_text() for log in sorted(tmp_path.glob("client-*.log")))
        assert process.returncode == 0, logs[-4000:]
        return str(said)

    return to_its_end
