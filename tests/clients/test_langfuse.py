"""The Langfuse SDK, which is given Farthing's address and a Farthing key where it asks for Langfuse's."""

from __future__ import annotations

import urllib.parse
from decimal import Decimal
from pathlib import Path
from typing import Callable

import farthing


def a_generation_is_charged_to_its_user(server: farthing.Farthing, run: Callable[..., str], tmp_path: Path) -> None:
    # Langfuse knows models and no providers: whom they are bought from is said once, in OpenTelemetry's own way.
    run("langfuse_generation.py", **_settings(server), OTEL_RESOURCE_ATTRIBUTES="farthing.provider=openai")
    server.wait_for_calls(1)
    amount = Decimal("0.00015") * 1 + Decimal("0.0006") * 200 / 1000 + Decimal("0.000075") * 8
    assert server.spend("model,user") == {("gpt-4o-mini", "alice"): (1, amount)}
    [entry] = server.entries()
    assert server.quantities(entry) == {"input": 1000, "output": 200, "cache_read": 8000}
    assert not any(server.beside()[name] for name in ("conflicts", "held", "rejected"))
    # what was asked and answered is no business of the books.
    assert not any(b"CANARY" in path.read_bytes() for path in tmp_path.glob("f.db*"))


def a_bare_model_of_nobody_knows_whom_is_its_makers_and_says_so(server: farthing.Farthing, run: Callable[..., str]) -> None:
    run("langfuse_generation.py", **_settings(server))
    server.wait_for_calls(1)
    [entry] = server.entries()
    assert (entry["provider"], server.quantities(entry)) == ("openai", {"input": 1000, "output": 200, "cache_read": 8000})
    story = server.get(f"/v1/events/{entry['event']['source']}/{urllib.parse.quote(entry['event']['id'], safe='')}")
    assert story["event"]["labels"]["provider_assumed"] == "true"


def _settings(server: farthing.Farthing) -> dict[str, str]:
    return {
        "LANGFUSE_HOST": server.url,
        "LANGFUSE_BASE_URL": server.url,
        "LANGFUSE_PUBLIC_KEY": "anything",
        "LANGFUSE_SECRET_KEY": server.key,
    }
