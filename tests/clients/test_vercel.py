"""The Vercel AI SDK with its OpenTelemetry integration and OTLP as JSON: model calls are charged, the spans around them not."""

from __future__ import annotations

import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Callable

import farthing

HERE = Path(__file__).parent


def calls_of_the_model_are_charged_and_the_agent_is_not(
    server: farthing.Farthing, launch: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    client = launch(
        "node", HERE / "senders" / "vercel.mjs",
        NODE_PACKAGES=os.environ["NODE_PACKAGES"],
        OTEL_EXPORTER_OTLP_ENDPOINT=server.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer {server.key}",
    )  # fmt: skip
    client.communicate(timeout=60)
    assert client.returncode == 0, (tmp_path / "client-0.log").read_text()
    server.wait_for_calls(3)
    quantities = sorted((server.quantities(entry) for entry in server.entries()), key=lambda by_meter: by_meter["input"])
    assert quantities == [
        {"input": 500, "output": 50},
        # thirty of them are reasoning, which this model does not charge apart.
        {"input": 700, "output": 100},
        {"cache_read": 3000, "input": 1000, "output": 200},
    ]
    amount = Decimal("0.00015") * 2200 / 1000 + Decimal("0.000075") * 3 + Decimal("0.0006") * 350 / 1000
    assert server.spend("model") == {("gpt-4o-mini",): (3, amount)}
    assert not any(server.beside()[name] for name in ("conflicts", "held", "rejected"))
    assert not any(b"CANARY" in path.read_bytes() for path in tmp_path.glob("f.db*"))
