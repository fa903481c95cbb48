"""Plain-text accounting programs, unmodified: their own checks accept our journals, and their totals are ours, as text."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import books
import farthing
import journals
import pytest

@pytest.mark.parametrize("grain", ["day", "entry"])
@pytest.mark.parametrize("program", ["beancount", "ledger", "hledger"])
def their_totals_are_ours_to_the_last_digit(
    server: farthing.Farthing, tmp_path: Path, program: str, grain: str
) -> None:
    # no balance gets beyond 9999.999..., which with 24 decimals is the 28 digits that beancount computes in.
    books.fill(server, whole=15)
    journal = tmp_path / f"book.{journals.ENDINGS[program]}"
    books.export(server, journal, "--format", program, "--grain", grain)
    said = journals.accepts(program, journal)
    assert said.returncode == 0, said.stdout + said.stderr
    ours = books.balances(server)
    assert max(len(total.lstrip("-").replace(".", "")) for total in ours.values()) >= 26
    assert journals.theirs(program, journal) == ours


@pytest.mark.parametrize("program", ["beancount", "ledger", "hledger"])
def a_journal_that_is_off_by_the_last_digit_is_refused(server: farthing.Farthing, tmp_path: Path, program: str) -> None:
    books.post(server, [books.charged(1, "9998.000000000000000000000001", "ann", "search")])
    books.post(server, [books.charged(2, "0.999999999999999999999997", "ann", "search")])
    journal = books.export(server, tmp_path / f"book.{journals.ENDINGS[program]}", "--format", program)
    assert journals.accepts(program, journal).returncode == 0
    text = journal.read_text()
    assert text.count("9998.999999999999999999999998") == 4
    # one of the two balances; the first two are the postings.
    place = [found.end() for found in re.finditer(r"9998\.9+8", text)][2]
    journal.write_text(text[: place - 1] + "9" + text[place:])
    refused = journals.accepts(program, journal)
    assert refused.returncode == 1 and "alance" in refused.stderr, refused


def beyond_28_digits_beancount_rounds_and_is_allowed_to_by_a_stated_tolerance(
    server: farthing.Farthing, tmp_path: Path
) -> None:
    books.fill(server, whole=2_000_000)
    journal = books.export(server, tmp_path / "book.beancount", "--format", "beancount", "--grain", "entry")
    assert journals.accepts("beancount", journal).returncode == 0
    ours, found = books.balances(server), journals.theirs("beancount", journal)
    assert found.keys() == ours.keys() and found != ours
    tolerances = re.findall(r"balance (\S+)  \S+ ~ (\S+) USD", journal.read_text())
    assert tolerances and all(Decimal(tolerance) < Decimal("0.000000000000001") for _, tolerance in tolerances)
    for account, tolerance in tolerances:
        off = books.EXACT.subtract(Decimal(ours[journals.from_beancount(account)]), Decimal(found[journals.from_beancount(account)]))
        assert abs(off) <= Decimal(tolerance)
    assert "beancount computes in 28 digits" in journal.read_text()
    # ledger and hledger hold the same book to its last digit.
    for program in ["ledger", "hledger"]:
        exact = books.export(server, tmp_path / f"book.{journals.ENDINGS[program]}", "--format", program, "--grain", "entry")
        assert journals.accepts(program, exact).returncode == 0
        assert journals.theirs(program, exact) == ours


def an_empty_book_is_a_journal_too(server: farthing.Farthing, tmp_path: Path) -> None:
    for program, ending in journals.ENDINGS.items():
        journal = books.export(server, tmp_path / f"book.{ending}", "--format", program)
        assert journals.accepts(program, journal).returncode == 0
