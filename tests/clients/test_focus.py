"""The FOCUS export as others read it: the validator of its makers, and what that validator does not look at."""

from __future__ import annotations

import decimal
import json
import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import charges
import pytest

LISTS = """
provider: acme
models:
  - model: haiku
    cards:
      - input_per_1m: "1"
        output_per_1m: "5"
        cache_read_per_1m: "0.1"
        web_search_each: "0.01"
        web_fetch_each: "0.002"
        tool_call_each: "0.0005"
        image_each: "0.04"
        when: [{prompt_tokens_over: 200000, input_per_1m: "2", output_per_1m: "7.5"}]
"""
CONTRACT = """
provider: acme
overrides:
  - {kind: contract, input_per_1m: "0.9", note: signed in march}
  - {kind: chargeback, team: labs, input_per_1m: "1.2", output_per_1m: "4"}
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> charges.Book:
    book = charges.Book(tmp_path_factory.mktemp("demo"))
    book.farthing("demo")
    return book


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> charges.Book:
    """A book with tools, a contract, a chargeback, names that are hard to write, and corrections of a closed month."""
    book = charges.Book(tmp_path_factory.mktemp("corrected"))
    book.publish(LISTS)

    def event(number: int, day: str, **more: object) -> dict[str, object]:
        usage = {"input": 1000 * number, "output": 10 * number, "web_search": 2, "web_fetch": 1, "tool_call": 3, "image": 1}
        team = ["search", "labs", None][number % 3]
        named = {"team": team} if team else {}
        base = {"id": f"{day}-{number}", "source": "gw", "occurred_at": f"{day}T10:00:00Z", "provider": "acme", "model": "haiku"}
        return {**base, "usage": usage, "user": '=cmd|"x",1', "region": "eu-1", **named, **more}

    book.ingest(event(number, "2026-03-31") for number in range(1, 7))
    # a provider that says what it charged and a model that no list has; a key of one's own; a call that was refused.
    reported = {"by": "provider", "amount": "0.0123", "currency": "USD"}
    own_key = {**reported, "byok": True, "upstream_amount": "0.5"}
    book.ingest(
        [
            event(7, "2026-03-30", provider="openrouter", model="acme/unlisted", reported=reported),
            event(8, "2026-03-30", provider="openrouter", model="acme/unlisted", served_by="Azure", reported=own_key),
            event(9, "2026-03-30", outcome="refused"),
        ]
    )
    book.publish(CONTRACT)
    book.farthing("rerate")
    book.close_before(2026, 4)
    book.ingest([event(10, "2026-03-31"), event(11, "2026-04-02")])
    book.publish(CONTRACT.replace("0.9", "0.8"))
    book.farthing("rerate")
    return book


BOOKS = ["demo", "corrected"]


@pytest.fixture(params=BOOKS)
def book(request: pytest.FixtureRequest) -> charges.Book:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, charges.Book)
    return found


@pytest.mark.parametrize("criteria, passed", [(charges.CRITERIA, 241), (charges.MORE_CRITERIA, 302)], ids=["expected", "all"])
def the_validator_finds_only_its_own_contradiction(book: charges.Book, criteria: list[str], passed: int, tmp_path: Path) -> None:
    counts, failed = charges.validate(book.export(), criteria, tmp_path)
    assert failed <= charges.CONTRADICTION and len(failed) == 1, failed
    assert counts == {"Total": 578, "Pass": passed, "Fail": 1, "Skipped": 578 - passed - 1}


def the_validator_finds_nothing_else_in_the_columns_of_a_later_version(corrected: charges.Book, tmp_path: Path) -> None:
    """It knows no later one; what 1.3 kept of 1.2 is as it was there."""
    counts, failed = charges.validate(corrected.export("--focus-version", "1.3"), charges.MORE_CRITERIA, tmp_path)
    assert (counts["Pass"], counts["Fail"], failed <= charges.CONTRADICTION) == (302, 1, True), failed


def costs_add_up_to_the_book(book: charges.Book) -> None:
    _, rows = charges.rows_of(book.export())
    with decimal.localcontext() as context:
        context.prec = 100
        for column, total in book.total().items():
            assert sum((Decimal(row[column]) for row in rows), Decimal()) == total, column


@pytest.mark.parametrize("version, columns", [("1.2", 57), ("1.3", 65), ("1.4", 65)])
def every_row_is_sound(book: charges.Book, version: str, columns: int) -> None:
    names, rows = charges.rows_of(book.export("--focus-version", version))
    ours = [name for name in names if name.startswith("x_")]
    assert names[columns:] == ours and len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in names[:columns])
    metadata = json.loads((book.directory / "focus-metadata.json").read_text())
    [schema] = metadata["Schema"]
    assert schema["FocusVersion"] == version
    types = {column["ColumnName"]: column["DataType"] for column in schema["ColumnDefinition"]}
    assert list(types) == names
    for row in rows:
        assert None not in row and None not in row.values()
        charges.is_sound(row, types)
    assert {row["x_EntryKind"] for row in rows} == {"charge", "reversal"}
    prices = defaultdict(set)
    for row in rows:
        if row["SkuPriceId"]:
            prices[row["SkuPriceId"]].add((row["SkuId"], row["ListUnitPrice"], row["PricingUnit"], row["SkuPriceDetails"]))
    assert all(len(meant) == 1 for meant in prices.values()), "a price has one parent and one meaning"


def corrections_are_the_rows_of_the_closed_month_that_were_booked_afterwards(corrected: charges.Book) -> None:
    _, rows = charges.rows_of(corrected.export())
    corrections = [row for row in rows if row["ChargeClass"]]
    assert {row["ChargePeriodStart"] for row in corrections} == {"2026-03-31T00:00:00Z"}
    assert {row["BillingPeriodStart"] for row in corrections} == {"2026-04-01T00:00:00Z"}
    assert {row["x_EntryKind"] for row in corrections} == {"charge", "reversal"}
    march = [row for row in rows if row["BillingPeriodStart"] == "2026-03-01T00:00:00Z"]
    # what was corrected while march was open are ordinary rows.
    assert any(row["x_EntryKind"] == "reversal" for row in march)
    only_april = charges.rows_of(corrected.export("--billing-period", "2026-04"))[1]
    assert [row for row in only_april if row["ChargeClass"]] == corrections


def tools_and_margins_have_rows_of_their_own(corrected: charges.Book) -> None:
    _, rows = charges.rows_of(corrected.export())
    units = {row["SkuMeter"]: row["PricingUnit"] for row in rows if row["x_Nature"] == "metered"}
    assert units == {
        "Input Tokens": "1000000 Tokens",
        "Output Tokens": "1000000 Tokens",
        "Web Searches": "Searches",
        "Web Fetches": "Fetches",
        "Tool Calls": "Tool Calls",
        "Images": "Images",
    }
    margins = [row for row in rows if row["x_Nature"] == "margin"]
    assert margins and {row["SubAccountId"] for row in margins} == {"labs"}
    assert {(row["ChargeCategory"], row["ListCost"], row["ContractedCost"]) for row in margins} == {("Adjustment", "0.0", "0.0")}
    assert {row["InvoiceIssuerName"] for row in margins} == {"main"}
    lumps = {(row["InvoiceIssuerName"], row["BilledCost"]) for row in rows if row["x_Model"] == "acme/unlisted" and row["x_Nature"] == "lump"}
    assert lumps == {("openrouter", "0.0123"), ("Azure", "0.5")}, "a fee of the router, and what the key's own upstream is owed"
