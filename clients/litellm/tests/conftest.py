"""What tests share: a server on loopback that behaves as it is told to, and loggers that end with their test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Iterator

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402

import sink  # noqa: E402
from farthing_litellm import FarthingLogger  # noqa: E402


@pytest.fixture
def server() -> Iterator[sink.Sink]:
    with sink.Sink() as running:
        yield running


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def logger(server: sink.Sink, spool: Path) -> Iterator[FarthingLogger]:
    """The one callback of litellm, pointed at the server."""
    made = FarthingLogger(server.url, sink.KEY, spool)
    litellm.callbacks = [made]
    yield made
    detach(made)


@pytest.fixture
def start(server: sink.Sink, spool: Path) -> Iterator[Callable[[], FarthingLogger]]:
    """Makes loggers when the test wants them, each as a process of its own would."""
    made = []

    def begin() -> FarthingLogger:
        made.append(FarthingLogger(server.url, sink.KEY, spool))
        litellm.callbacks = [made[-1]]
        return made[-1]

    yield begin
    for logger in made:
        detach(logger)


def detach(logger: FarthingLogger) -> None:
    # litellm copies `callbacks` into lists of its own at the first call, and never takes one out again.
    litellm.callbacks = []
    for copies in (
        litellm.success_callback,
        litellm.failure_callback,
        litellm._async_success_callback,
        litellm._async_failure_callback,
        litellm.input_callback,
    ):
        copies[:] = [callback for callback in copies if callback is not logger]
