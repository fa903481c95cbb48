"""The OpenTelemetry SDK with its own exporters: model calls are counted, and what repeats them is not."""

from __future__ import annotations

from decimal import Decimal
from typing import Callable

import pytest

import farthing


@pytest.mark.parametrize(
    "encoding, compression", [("protobuf", "none"), ("protobuf", "gzip"), ("json", "none"), ("json", "gzip")]
)
def each_model_call_is_counted_once(server: farthing.Farthing, run: Callable[..., str], encoding: str, compression: str) -> None:
    run(
        "otel_spans.py", encoding, compression,
        OTEL_EXPORTER_OTLP_ENDPOINT=server.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{server.key}",
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
    )  # fmt: skip
    server.wait_for_calls(3)
    assert server.spend("model,user") == {
        # 1,500 of the second call's 2,000 input tokens were read from a cache, and are not charged as fresh ones too.
        ("gpt-4o-mini", "alice"): (2, Decimal("0.00015") * 1500 / 1000 + Decimal("0.0006") * 500 / 1000 + Decimal("0.0001125")),
        ("text-embedding-3-small", "alice"): (1, Decimal("0.000008")),
    }
    quantities = sorted((server.quantities(entry) for entry in server.entries()), key=lambda by_meter: by_meter["input"])
    assert quantities == [
        {"input": 400},
        {"cache_read": 1500, "input": 500, "output": 300},
        {"input": 1000, "output": 200},
    ]
    assert not any(server.beside()[name] for name in ("conflicts", "held", "rejected"))
