"""Books that the program fills, their FOCUS exports, the validator, and what a sound row is."""

from __future__ import annotations

import csv
import decimal
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Iterable

Row = dict[str, str]

# what a seller of tokens supports, by the validator's names; then all that is left but commitments and reserved capacity.
CRITERIA = [
    "ACCOUNT_NAMING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
]
MORE_CRITERIA = CRITERIA + [
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED",
    "VIRTUAL_CURRENCY_SUPPORTED",
    "REGION_SUPPORTED",
    "AVAILABILITY_ZONE_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
]
# two of its rules say the opposite of each other about invoices, so that one of them fails whatever is in the file.
CONTRADICTION = {"InvoiceId-C-004-C", "InvoiceId-C-005-C"}


class Book:
    """A database that the program fills, and its exports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / "f.db"

    def farthing(self, *arguments: object) -> str:
        command = [os.environ["FARTHING"], "--database", f"sqlite://{self.database}", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def publish(self, yaml: str) -> None:
        path = self.directory / "catalog.yaml"
        path.write_text(yaml)
        self.farthing("catalog", "publish", path, "--accept")

    def ingest(self, events: Iterable[dict[str, object]]) -> None:
        path = self.directory / "events.ndjson"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        self.farthing("ingest", path)

    def close_before(self, year: int, month: int) -> None:
        """Moves the first open month of the book, as the closing of the months before it does."""
        with sqlite3.connect(self.database) as connection:
            connection.execute("UPDATE books SET first_open_period = ?", (year * 12 + month - 1,))
        connection.close()

    def export(self, *arguments: object) -> Path:
        file = self.directory / "focus.csv"
        self.farthing("export", "focus", "-o", file, *arguments)
        return file

    def total(self) -> dict[str, Decimal]:
        rows = json.loads(self.farthing("report", "spend", "--by", "model", "--show", "amount,list", "--format", "json"))
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            totals["BilledCost"] += Decimal(row["amount"])
            totals["ListCost"] += Decimal(row["list"])
        return totals


def validate(file: Path, criteria: list[str], work: Path) -> tuple[dict[str, int], set[str]]:
    """What the validator counts, and the rules that it says were broken. Its exit code says nothing."""
    venv = Path(os.environ["FOCUS_VALIDATOR"])
    # it reads a file of its own by a path from where it runs.
    [currencies] = venv.glob("lib/python*/site-packages/focus_validator/rules/currency_codes.csv")
    rules = work / "focus_validator" / "rules"
    rules.mkdir(parents=True, exist_ok=True)
    shutil.copy(currencies, rules)
    alone = ["unshare", "-n"] if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0 else []
    command = [
        *alone,
        str(venv / "bin" / "focus-validator"),
        "--data-file",
        str(file),
        "--validate-version",
        "1.2",
        "--block-download",
        "--applicability-criteria",
        ",".join(criteria),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work)
    said = done.stdout + done.stderr
    [line] = re.findall(r"^Total: .*$", said, re.MULTILINE) or [said[-4000:]]
    counts = {name: int(count) for name, count in re.findall(r"(Total|Pass|Fail|Skipped): (\d+)", line)}
    assert len(counts) == 4, line
    return counts, set(re.findall(r"^\W*([A-Za-z]+-[A-Z]-\d+-[A-Z]): FAIL", said, re.MULTILINE))


def rows_of(file: Path) -> tuple[list[str], list[Row]]:
    with file.open(newline="", encoding="utf-8") as text:
        reader = csv.DictReader(text, strict=True)
        rows = list(reader)
    assert rows and reader.fieldnames is not None
    return list(reader.fieldnames), rows


ALLOWED = {
    "BillingAccountType": {"Organization"},
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},
    "SubAccountType": {"", "Team"},
}


def is_sound(row: Row, types: dict[str, str]) -> None:
    for name, allowed in ALLOWED.items():
        assert row[name] in allowed, (name, row[name])
    for name, kind in types.items():
        written_as(kind, row[name])
    periods_fit(row)
    prices_fit(row)
    nulls_go_together(row)


def written_as(kind: str, text: str) -> None:
    if text == "":
        return
    if kind == "Decimal":
        assert re.fullmatch(r"-?(0|[1-9]\d*)\.\d+", text), text
    elif kind == "Date/Time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), text
    elif kind == "JSON":
        pairs = json.loads(text, object_pairs_hook=list)
        assert pairs and isinstance(pairs, list), text
        assert len({key for key, _ in pairs}) == len(pairs), text
        assert all(value is None or isinstance(value, (str, int, float, bool)) for _, value in pairs), text
    else:
        assert kind == "String" and text.strip() and text not in ("N/A", "null", "None"), text


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def periods_fit(row: Row) -> None:
    billed, billed_until = instant(row["BillingPeriodStart"]), instant(row["BillingPeriodEnd"])
    start, end = instant(row["ChargePeriodStart"]), instant(row["ChargePeriodEnd"])
    assert billed.day == 1 and billed_until == (billed + timedelta(days=32)).replace(day=1)
    assert end - start == timedelta(days=1)
    if row["ChargeClass"] == "Correction":
        assert end <= billed, "a correction is of an earlier month than the one that bills it"
    else:
        assert billed <= start < end <= billed_until


def prices_fit(row: Row) -> None:
    with decimal.localcontext() as context:
        context.prec = 100
        for price, cost in [("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")]:
            if row[price]:
                assert Decimal(row[price]) >= 0
                assert Decimal(row[price]) * Decimal(row["PricingQuantity"]) == Decimal(row[cost]), row
            else:
                assert row["ChargeCategory"] == "Adjustment"
        assert row["BilledCost"] == row["EffectiveCost"]
        if row["x_Nature"] in ("metered", "counted", "lump"):
            assert row["BilledCost"] == row["ContractedCost"]
        if row["PricingUnit"] == "1000000 Tokens":
            assert Decimal(row["PricingQuantity"]) * 1_000_000 == Decimal(row["ConsumedQuantity"])
            assert row["ConsumedUnit"] == "Tokens"
        if row["x_EntryKind"] == "reversal" and row["ConsumedQuantity"]:
            assert Decimal(row["ConsumedQuantity"]) <= 0 or row["x_Nature"] == "lump"


def nulls_go_together(row: Row) -> None:
    for one, other in [
        ("PricingQuantity", "PricingUnit"),
        ("ConsumedQuantity", "ConsumedUnit"),
        ("SubAccountId", "SubAccountName"),
        ("SubAccountId", "SubAccountType"),
        ("RegionId", "RegionName"),
        ("SkuId", "SkuMeter"),
        ("SkuId", "SkuPriceId"),
        ("SkuPriceId", "SkuPriceDetails"),
    ]:
        assert bool(row[one]) == bool(row[other]), (one, other)
    used = row["ChargeCategory"] == "Usage"
    for name in ("SkuId", "ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "PricingCategory", "ConsumedQuantity"):
        assert bool(row[name]) == used, (name, row[name])
