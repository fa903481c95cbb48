"""Beancount, ledger and hledger as they are installed: what they say of a journal, with their accounts as ours."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import books
from beancount import loader
from beancount.core import realization

ENDINGS = {"beancount": "beancount", "ledger": "ledger", "hledger": "journal"}
CHECKS = {
    "beancount": [str(Path(sys.executable).parent / "bean-check")],
    "ledger": ["ledger", "--strict", "--pedantic", "balance", "-f"],
    "hledger": ["hledger", "check", "--strict", "-f"],
}


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)


def accepts(program: str, journal: Path) -> subprocess.CompletedProcess[str]:
    return run(*CHECKS[program], journal)


def from_ledger(account: str) -> str:
    """Our account, of one of ledger's or hledger's: without the root, a slash between the parts."""
    kind, *parts = account.split(":")[1:]
    return f"{kind}:{'/'.join(parts)}"


def from_beancount(account: str) -> str:
    """Our account, of one of beancount's, which allows letters, digits and dashes."""

    def part(text: str) -> str:
        if text == "0":
            return "-"
        text = text[1:] if text[0] == "0" else text[0].lower() + text[1:]
        raw = re.sub(rb"-([0-9A-F]{2})", lambda code: bytes([int(code[1], 16)]), text.encode())
        # as the book writes a part; a lone dash would mean that there is none.
        return "%2D" if raw == b"-" else urllib.parse.quote(raw, safe="_.~@-")

    kind, *parts = account.split(":")[1:]
    return f"{kind.lower()}:{'/'.join(part(text) for text in parts)}"


def theirs(program: str, journal: Path) -> dict[str, str]:
    if program == "ledger":
        line = "%(account)\t%(quantity(scrub(display_total)))\n"
        told = run("ledger", "-f", journal, "balance", "--flat", "--empty", "--no-total", "--format", line)
        rows = [text.split("\t") for text in told.stdout.splitlines()]
        return {from_ledger(account): books.plain(amount) for account, amount in rows}
    if program == "hledger":
        told = run("hledger", "-f", journal, "balance", "--flat", "--empty", "--no-total", "-O", "csv")
        rows = list(csv.reader(io.StringIO(told.stdout)))[1:]
        return {from_ledger(account): books.plain(amount.removeprefix("USD ")) for account, amount in rows}
    entries, errors, _ = loader.load_file(str(journal))
    assert not errors
    found = {}
    for real in realization.iter_children(realization.realize(entries)):
        if real.txn_postings and (amount := real.balance.get_currency_units("USD")):
            found[from_beancount(real.account)] = books.plain(amount.number)
    return found
