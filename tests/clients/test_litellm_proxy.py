"""The LiteLLM proxy with its own callback and with ours: what was called arrives, and is put down to who called."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Callable

import pytest

import farthing

HERE = Path(__file__).parent
SMALL, LARGE = Decimal("0.0000135"), Decimal("0.000225")


@pytest.mark.parametrize("callback", ["['generic_api']", "farthing_litellm.farthing"], ids=["stock", "ours"])
def what_the_proxy_serves_is_put_down_to_who_called(
    server: farthing.Farthing, launch: Callable[..., subprocess.Popen[str]], tmp_path: Path, callback: str
) -> None:
    shutil.copy(HERE / "proxy" / "keys.py", tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text((HERE / "proxy" / "config.yaml").read_text().replace("CALLBACK", callback))
    url = f"http://127.0.0.1:{_free_port()}"
    litellm = Path(sys.executable).parent / "litellm"
    proxy = launch(
        litellm, "--config", config, "--host", "127.0.0.1", "--port", url.split(":")[2],
        LITELLM_MASTER_KEY=f"sk-{secrets.token_hex(32)}",
    )  # fmt: skip
    farthing.wait_until(
        lambda: proxy.poll() is not None or _answers(url + "/health/liveliness"), 120, lambda: "the proxy does not answer"
    )
    assert proxy.poll() is None, (tmp_path / "client-0.log").read_text()[-4000:]
    for number in range(10):
        for key, model in (("sk-ann", "small"), ("sk-ben", "small"), ("sk-eve", "large")):
            _call(url, key, model, stream=number == 0, user="customer-7" if key == "sk-eve" else None)
    with pytest.raises(urllib.error.HTTPError):
        _call(url, "sk-nobody", "small", stream=False, user=None)

    server.wait_for_calls(31)
    proxy.send_signal(signal.SIGTERM)
    proxy.communicate(timeout=60)
    spend = server.spend("team,project,user,key,model")
    nobody = hashlib.sha256(b"sk-nobody").hexdigest()
    # a call that was turned away is on the books too, and costs nothing. litellm names its key by a hash only.
    assert spend.pop((None, None, None, nobody, "gpt-4o-mini")) == (1, Decimal("0"))
    calls = {owner: calls for owner, (calls, _) in spend.items()}
    print(f"{callback}: {sum(calls.values())} of 30 calls arrived")
    assert calls == {
        ("search", "ranking", "ann", "key of ann", "gpt-4o-mini"): 10,
        ("search", None, "ben", "key of ben", "gpt-4o-mini"): 10,
        ("support", None, "customer-7", "key of eve", "gpt-4o"): 10,
    }
    unstreamed = [entry for entry in server.entries() if server.quantities(entry) == {"input": 10, "output": 20}]
    assert {(entry["model"], Decimal(entry["amount"])) for entry in unstreamed} == {("gpt-4o-mini", SMALL), ("gpt-4o", LARGE)}
    assert len(unstreamed) == 27
    stories = [server.event("litellm", entry["event"]["id"]) for entry in server.entries()]
    labels = [story["event"]["labels"] for story in stories]
    assert {(by["tag.nightly"], by["feature"], by.get("end_user")) for by in labels} == {
        ("true", "answers", None),
        ("true", "answers", "customer-7"),
    }
    assert {(by.get("user_id"), story["event"].get("user")) for by, story in zip(labels, stories)} == {
        ("ann", "ann"),
        ("ben", "ben"),
        # whoever the key belongs to, the end user bears it; the other stays on the event.
        ("eve", "customer-7"),
        (None, None),
    }


def _call(url: str, key: str, model: str, stream: bool, user: str | None) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "what does it cost?"}],
        "stream": stream,
        "metadata": {"tags": ["nightly", "feature:answers"]},
        **({"user": user} if user else {}),
    }
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
