"""Calls made with the real litellm, mocked at the model, arrive at a server that is not always well."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Callable

import litellm
import pytest

import processes
import sink
from farthing_litellm import FarthingLogger
from farthing_litellm.sender import Endpoint

PROMPT = [{"role": "user", "content": "CANARY-PROMPT"}]


def every_call_arrives_once_however_it_was_made(server: sink.Sink, logger: FarthingLogger) -> None:
    def call(**more: object) -> object:
        return litellm.completion("gpt-4o-mini", PROMPT, **{"mock_response": "fine", **more})

    call()
    for _ in call(stream=True):  # type: ignore[attr-defined]
        pass
    with pytest.raises(litellm.exceptions.InternalServerError):
        call(mock_response=Exception("the model is out"))

    async def calls() -> None:
        router = litellm.Router([{"model_name": "small", "litellm_params": {"model": "gpt-4o-mini", "api_key": "none"}}])
        await litellm.acompletion("gpt-4o-mini", PROMPT, mock_response="fine")
        async for _ in await litellm.acompletion("gpt-4o-mini", PROMPT, mock_response="fine", stream=True):
            pass
        with pytest.raises(litellm.exceptions.InternalServerError):
            await litellm.acompletion("gpt-4o-mini", PROMPT, mock_response=Exception("the model is out"))
        await router.acompletion("small", PROMPT, mock_response="fine")
        await litellm.aembedding("text-embedding-3-small", ["one"], mock_response=[0.1, 0.2])
        # older releases forget the hooks that are still to run when their event loop ends.
        await asyncio.to_thread(server.wait_for_events, 8)

    asyncio.run(calls())
    assert logger.flush()
    assert set(server.ids().values()) == {1}
    assert sorted((event["status"], event.get("stream") or False) for event in server.events) == [
        ("failure", False),
        ("failure", False),
        ("success", False),
        ("success", False),
        ("success", False),
        ("success", False),
        ("success", True),
        ("success", True),
    ]


def what_is_accounted_for_is_kept(server: sink.Sink, logger: FarthingLogger) -> None:
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine", user="alice", metadata={"tags": ["nightly"]})
    server.wait_for_events(1)
    [event] = server.events
    [request] = server.requests
    assert (event["model"], event["custom_llm_provider"], event["status"]) == ("gpt-4o-mini", "openai", "success")
    assert event["response"]["usage"]["prompt_tokens"] == event["prompt_tokens"] > 0
    assert event["response"]["usage"]["completion_tokens"] == event["completion_tokens"] > 0
    assert event["metadata"]["usage_object"]["prompt_tokens"] == event["prompt_tokens"]
    assert event["model_parameters"]["user"] == "alice"
    assert event["request_tags"] == ["nightly"]
    assert request["path"] == "/v1/ingest/litellm"
    assert request["headers"]["Authorization"] == f"Bearer {sink.KEY}"
    assert request["headers"]["Content-Encoding"] == "gzip"


def prompts_and_answers_reach_neither_disk_nor_wire(server: sink.Sink, logger: FarthingLogger, spool: Path) -> None:
    server.always = sink.status(503)
    everything = {
        "messages": [{"role": "system", "content": "CANARY"}, {"role": "user", "content": "CANARY"}],
        "tools": [{"type": "function", "function": {"name": "look_up", "description": "CANARY", "parameters": {}}}],
        "stop": ["CANARY"],
        "metadata": {
            "note": "CANARY",
            "requester_metadata": {"note": "CANARY" * 100, "nested": {"prompt": "CANARY"}},
            "spend_logs_metadata": {"note": "CANARY" * 100},
            "tags": ["CANARY" * 100],
        },
        "api_base": "http://127.0.0.1:9/v1?key=CANARY",
    }
    litellm.completion("gpt-4o-mini", mock_response="CANARY", **everything)
    for _ in litellm.completion("gpt-4o-mini", mock_response="CANARY", stream=True, **everything):
        pass
    with pytest.raises(litellm.exceptions.InternalServerError):
        litellm.completion("gpt-4o-mini", mock_response=Exception("CANARY is not allowed"), **everything)
    with pytest.raises(litellm.exceptions.BadRequestError):
        litellm.completion("no-provider/CANARY-is-no-secret", messages=[{"role": "user", "content": "CANARY"}])
    # litellm calls back from a thread of its own, some time after the call.
    processes.eventually(lambda: processes.lines_in(spool) == 4)
    on_disk = b"".join(path.read_bytes() for path in spool.iterdir())
    server.always = None
    logger.flush()
    server.wait_for_events(4)
    on_the_wire = b"".join(request["body"] for request in server.requests)
    for written in (on_disk, on_the_wire):
        assert written.count(b'"litellm_call_id"') >= 4
        # the one call that names the bird in its model's name shows that it would be found.
        assert b"CANARY" not in written.replace(b"CANARY-is-no-secret", b"")
        assert b"CANARY-is-no-secret" in written


def only_the_owner_may_read_the_spool(server: sink.Sink, logger: FarthingLogger, spool: Path) -> None:
    server.always = sink.status(503)
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
    server.wait_for_requests(1)
    [segment] = spool.iterdir()
    assert oct(segment.stat().st_mode & 0o777) == "0o600"
    assert oct(spool.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize(
    "misbehaviour",
    [
        pytest.param([], id="an instant answer"),
        pytest.param([sink.after(0.3)] * 20, id="300 ms to answer"),
        pytest.param([sink.status(503)] * 2, id="503 twice"),
        pytest.param([sink.status(429, Retry_After="1")], id="429"),
        pytest.param([sink.status(408)], id="408"),
        pytest.param([sink.hang_up] * 2, id="hung up without an answer"),
        pytest.param([sink.hang_up_in_the_answer] * 2, id="hung up in the middle of an answer"),
    ],
)
def all_of_400_calls_arrive(server: sink.Sink, logger: FarthingLogger, spool: Path, misbehaviour: list[sink.Behaviour]) -> None:
    server.planned.extend(misbehaviour)

    async def calls() -> None:
        for _ in range(400):
            await litellm.acompletion("gpt-4o-mini", PROMPT, mock_response="fine")
            await asyncio.sleep(0.005)

    asyncio.run(calls())
    server.wait_for_events(400)
    assert logger.flush()
    assert len(server.ids()) == 400
    assert list(spool.iterdir()) == []
    assert not misbehaviour or len(server.planned) < len(misbehaviour), "the server was well all the time"


def a_server_that_asks_for_patience_gets_it(server: sink.Sink, logger: FarthingLogger) -> None:
    server.planned.append(sink.status(503, Retry_After="2"))
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
    server.wait_for_requests(1)
    time.sleep(0.2)
    # somebody who is in a hurry does not get to ask earlier.
    assert not logger.flush(within_seconds=0.5)
    assert logger.flush(within_seconds=10)
    server.wait_for_events(1)
    first, second = server.requests
    assert second["at"] - first["at"] >= 2.0


def refused_events_are_kept_told_once_and_tried_at_the_next_start(
    server: sink.Sink, start: Callable[[], FarthingLogger], spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.always = sink.status(422, b'{"title": "no", "detail": "the fields are wrong"}')
    logger = start()
    for number in (1, 2):
        litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
        processes.eventually(lambda: len(list(spool.glob("*.refused"))) == number)
    assert len(server.requests) == 2
    [said] = [record.getMessage() for record in caplog.records if record.name == "farthing_litellm"]
    assert "refused 1 events with 422: the fields are wrong" in said
    server.always = None
    start()
    server.wait_for_events(2)
    assert start().flush()
    # Whoever sent it deletes it when it has read the answer.
    processes.eventually(lambda: list(spool.iterdir()) == [])


def one_batch_the_server_stumbles_over_does_not_stop_the_others(server: sink.Sink, logger: FarthingLogger) -> None:
    def stumble_over_the_first(handler: sink.Handler) -> None:
        poisoned = b'"model":"gpt-4o"' in handler.body
        handler.answer(500) if poisoned else sink.acknowledge(handler)

    server.always = stumble_over_the_first
    litellm.completion("gpt-4o", PROMPT, mock_response="fine")
    server.wait_for_requests(1)
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
    server.wait_for_events(1)
    server.always = None
    server.wait_for_events(2)


def calls_do_not_wait_for_a_server_that_hangs(server: sink.Sink, logger: FarthingLogger) -> None:
    server.always = sink.after(20.0)
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
    server.wait_for_requests(1)
    payload = {"status": "success", "model": "gpt-4o-mini"}
    began = time.monotonic()
    for number in range(1000):
        logger.log_success_event({"standard_logging_object": {**payload, "litellm_call_id": str(number)}}, None, None, None)
    assert time.monotonic() - began < 5.0


def a_call_without_a_payload_is_no_trouble_of_the_call(logger: FarthingLogger, caplog: pytest.LogCaptureFixture) -> None:
    logger.log_success_event({}, None, None, None)
    logger.log_failure_event(None, None, None, None)
    assert [record.name for record in caplog.records] == ["farthing_litellm"]


def the_key_is_in_no_log_and_no_text(
    server: sink.Sink, start: Callable[[], FarthingLogger], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.planned.extend([sink.status(503), sink.status(307, Location="http://127.0.0.1:9/"), sink.hang_up, sink.status(401)])
    logger = start()
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
    time.sleep(0.2)
    for _ in range(4):
        logger.flush()
    server.wait_for_requests(4)
    said = " ".join([repr(logger), str(vars(logger)), repr(logger._endpoint)] + [record.getMessage() for record in caplog.records])
    assert "answered 503" in said
    assert sink.KEY not in said
    for url, key in [("https://alice:" + sink.KEY + "@farthing.example.com", sink.KEY), (sink.KEY, sink.KEY)]:
        with pytest.raises(ValueError, match="FARTHING_URL") as raised:
            Endpoint(url, key)
        assert sink.KEY not in str(raised.value)
    with pytest.raises(ValueError, match="FARTHING_KEY") as raised:
        Endpoint(server.url, sink.KEY + "\nHost: elsewhere")
    assert sink.KEY not in str(raised.value)


def one_event_is_a_batch_too(server: sink.Sink, logger: FarthingLogger) -> None:
    litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
    server.wait_for_events(1)
    assert server.requests[0]["body"].startswith(b"[{")
    assert server.requests[0]["headers"]["Content-Type"] == "application/json"


def a_redirect_does_not_carry_the_key_elsewhere(server: sink.Sink, logger: FarthingLogger) -> None:
    with sink.Sink() as elsewhere:
        server.planned.append(sink.status(302, Location=elsewhere.url + "/v1/ingest/litellm"))
        server.planned.append(sink.status(307, Location=elsewhere.url + "/v1/ingest/litellm"))
        litellm.completion("gpt-4o-mini", PROMPT, mock_response="fine")
        server.wait_for_events(1)
        assert len(server.requests) == 3
        assert elsewhere.requests == []


def what_is_not_set_is_said(monkeypatch: pytest.MonkeyPatch, spool: Path) -> None:
    for name in ("FARTHING_URL", "FARTHING_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="FARTHING_URL is not set"):
        FarthingLogger(spool=spool)
    with pytest.raises(ValueError, match="FARTHING_KEY is not set"):
        FarthingLogger(url="http://127.0.0.1:9", spool=spool)
    assert not os.path.exists(spool)
