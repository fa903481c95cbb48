"""LiteLLM's SDK with its own callback and with ours, against a server that is there, dies and comes back."""

from __future__ import annotations

import re
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Callable

import pytest

import farthing
import tap

# what litellm's mocked answer says it used is always 10 and 20 tokens.
COST_OF_A_CALL = Decimal("0.0000135")
# how long 400 calls take that are 5 ms apart, with as much again for making them.
AS_ASKED = 4.0
CALL_ID = re.compile(r'"litellm_call_id": ?"([^"]+)"')


@pytest.mark.parametrize("callback", ["array", "ndjson"])
def the_stock_callback_arrives_as_far_as_it_sends(server: farthing.Farthing, run: Callable[..., str], callback: str) -> None:
    # what litellm is answered for is booked, all of it and once. What it loses, it loses before it sends: whatever is called
    # while it posts. It posts at every 5 s, so calls that are 5 ms apart are made by then; on a busy machine they are further
    # apart, and a post falls among them. That says nothing of the server, so the best of three runs counts.
    arrived: list[int] = []
    as_asked: list[int] = []
    while len(arrived) < 3 and max(arrived, default=0) < 390:
        before = _ids(server)
        with tap.Tap(server.url) as between:
            said = run("litellm_sdk.py", callback, 400, GENERIC_LOGGER_ENDPOINT=f"{between.url}/v1/ingest/litellm")
        written, took = _written(said), float(said.split("took ")[1].split()[0])
        assert len(written) == 400
        sent = {name for body in between.acknowledged for name in CALL_ID.findall(body.decode())}
        booked = _ids(server) - before
        assert booked == sent
        assert booked <= written
        arrived.append(len(booked))
        as_asked.extend(arrived[-1:] if took <= AS_ASKED else [])
        print(f"generic_api, {callback}: {len(booked)} of 400 calls arrived, made in {took:.1f} s, in {len(between.acknowledged)} posts")
    assert server.spend("model") == {("gpt-4o-mini",): (sum(arrived), sum(arrived) * COST_OF_A_CALL)}
    assert set(server.spend("user")) == {("user-0",), ("user-1",), ("user-2",), ("user-3",)}
    assert not any(server.beside()[name] for name in ("conflicts", "held", "rejected"))
    if max(arrived) < 390:
        assert not as_asked, f"of 400 calls {as_asked} arrived, where they were made 5 ms apart"
        print("this machine was too busy to make calls 5 ms apart: what 390 of 400 is asked of was not seen")
        assert max(arrived) >= 200, f"of 400 calls {arrived} arrived"


def our_callback_delivers_400_of_400(server: farthing.Farthing, run: Callable[..., str], tmp_path: Path) -> None:
    written = _written(run("litellm_sdk.py", "ours", 400))
    assert len(written) == 400
    # a script that ends has sent what it had: nothing is waited for.
    assert server.spend("user") == {(f"user-{number}",): (100, 100 * COST_OF_A_CALL) for number in range(4)}
    assert _ids(server) == written
    assert list((tmp_path / "spool").iterdir()) == []


def our_callback_delivers_400_of_400_through_a_kill_of_the_server(
    server: farthing.Farthing, python: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    client = python("litellm_sdk.py", "ours", 400)
    server.wait_for_calls(50)
    server.kill()
    time.sleep(1.5)
    server.start()
    before = server.calls()
    said, _ = client.communicate(timeout=120)
    written = _written(said)
    print(f"{before} of 400 calls were booked before the kill")
    assert len(written) == 400
    assert 50 <= before < 400
    assert _ids(server) == written
    assert server.spend("model") == {("gpt-4o-mini",): (400, 400 * COST_OF_A_CALL)}
    assert list((tmp_path / "spool").iterdir()) == []


def our_callback_delivers_what_was_written_before_a_kill_of_the_client(
    server: farthing.Farthing, python: Callable[..., subprocess.Popen[str]], run: Callable[..., str], tmp_path: Path
) -> None:
    client = python("litellm_sdk.py", "ours", 100_000)
    assert client.stdout is not None
    written: set[str] = set()
    for line in client.stdout:
        written |= _written(line)
        if len(written) == 300:
            client.kill()
            break
    written |= _written(client.stdout.read())
    client.wait()
    left = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "spool").iterdir())
    print(f"{len(written)} calls were written before the kill, {left} of them waited in the spool")
    # the next process picks up what the dead one left.
    written |= _written(run("litellm_sdk.py", "ours", 10))
    farthing.wait_until(lambda: written <= _ids(server), 30, lambda: f"{len(written - _ids(server))} calls are missing")
    assert list((tmp_path / "spool").iterdir()) == []


def what_our_callback_leaves_out_is_not_missed(server: farthing.Farthing, run: Callable[..., str]) -> None:
    [name] = _written(run("litellm_sdk.py", "ours", 1))
    story = server.event("litellm", name)
    assert story["event"]["usage"] == {"input": 10, "output": 20}
    assert story["event"]["reported"]["amount"] == "0.0000135"
    [entry] = story["entries"]
    assert (entry["amount"], entry["model"], entry["provider"]) == ("0.0000135", "gpt-4o-mini", "openai")
    assert (entry["user"], entry["team"], entry["project"]) == ("user-0", "search", "ranking")
    assert story["event"]["labels"]["tag.nightly"] == "true"


def _written(said: str) -> set[str]:
    # what a killed process said last may have no end, and then says nothing.
    return {line.split()[1] for line in said.splitlines(keepends=True) if line.startswith("written ") and line.endswith("\n")}


def _ids(server: farthing.Farthing) -> set[str]:
    entries = server.entries()
    ids = {entry["event"]["id"] for entry in entries}
    assert len(ids) == len(entries), "a call was charged twice"
    return ids
