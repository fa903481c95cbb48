"""A book whose amounts go to the last digit, and the command line that takes it out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import urllib.request
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Iterable

import farthing

# more digits than any sum here has, so that nothing in these tests rounds.
EXACT = Context(prec=120)

PEOPLE = [
    ("ann", "search"),
    ("ann@example.org", "search"),
    ("Bo", "R&D"),
    ("key-30", "labs"),
    ("9 lives", "labs"),
    ("=SUM(A1)", "Zoë"),
    (None, "labs"),
    (None, None),
]


def post(server: farthing.Farthing, events: Iterable[dict[str, Any]]) -> None:
    request = urllib.request.Request(
        server.url + "/v1/events",
        data=json.dumps(list(events)).encode(),
        headers={"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.load(answer)
    assert said["posted"] == said["received"], said


def charged(number: int, amount: str, user: str | None, team: str | None, day: int = 1) -> dict[str, Any]:
    """An event that is booked at what its provider says it charged, which may be any amount."""
    return {
        "id": f"charged-{number}",
        "source": "gw",
        "occurred_at": f"2026-10-{day:02}T23:59:59.999999Z",
        "provider": "openrouter",
        "model": "anthropic/claude-sonnet-4.5",
        "user": user,
        "team": team,
        "usage": {"input": 1 + number, "cache_read": 2 * number, "output": 1},
        "reported": {"by": "provider", "amount": amount, "currency": "USD"},
    }


def fill(server: farthing.Farthing, whole: int, count: int = 300) -> None:
    """Amounts of 24 decimals and less than so much, of several people on several days, beside some at list prices."""
    chance = random.Random(7)
    events = []
    for number in range(count):
        user, team = chance.choice(PEOPLE)
        amount = f"{chance.randrange(whole)}.{chance.randrange(10**24):024}"
        events.append(charged(number, amount, user, team, chance.randint(1, 28)))
    for number in range(count):
        user, team = chance.choice(PEOPLE)
        events.append(
            {
                "id": f"listed-{number}",
                "source": "gw",
                "occurred_at": "2026-10-03T00:00:00Z",
                "provider": "openai",
                "model": chance.choice(["gpt-4o-mini", "gpt-4o"]),
                "user": user,
                "team": team,
                "usage": {"input": chance.randrange(10**6), "output": chance.randrange(10**5)},
            }
        )
    post(server, events)


DEARER = """provider: openai
overrides:
  - {kind: contract, model: gpt-4o, input_per_1m: "2.4999999", cache_read_per_1m: "1.25", output_per_1m: "9.999999999"}
  - {kind: contract, model: gpt-4o-mini, input_per_1m: "0.16000000007", cache_read_per_1m: "0.075", output_per_1m: "0.6"}
"""


def correct(server: farthing.Farthing) -> None:
    """Publishes other prices for what is booked at list prices, and has it charged again: each call is taken back first."""
    for path, body, kind in [
        ("/v1/catalog/versions?accept=true&note=other+prices", DEARER, "application/yaml"),
        ("/v1/rerate?dry_run=false&reason=other+prices", "", "application/json"),
    ]:
        request = urllib.request.Request(
            server.url + path,
            data=body.encode(),
            headers={"Authorization": f"Bearer {server.key}", "Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status in (200, 201)


def export(server: farthing.Farthing, to: Path, *flags: str) -> Path:
    database = f"sqlite://{server.directory}/f.db"
    command = [os.environ["FARTHING"], "export", "entries", "--database", database, "-o", str(to), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return to


def plain(number: object) -> str:
    """A decimal as text without an exponent and without zeros at its end, so that equal numbers are equal texts."""
    text = format(EXACT.create_decimal(str(number)), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def add(numbers: Iterable[object]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, EXACT.create_decimal(str(number)))
    return total


def balances(server: farthing.Farthing) -> dict[str, str]:
    """What every account comes to, added up from the entries that the service shows."""
    moved: dict[str, list[str]] = {}
    for entry in server.entries():
        moved.setdefault(entry["debit"], []).append(entry["amount"])
        moved.setdefault(entry["credit"], []).append("-" + entry["amount"])
    return {account: plain(add(amounts)) for account, amounts in moved.items()}
