"""Programs that read Parquet, each asked for the same sums: of all rows, and of those alone whose amount is negative."""

from __future__ import annotations

import decimal
from pathlib import Path

import books
import duckdb
import polars
import pyarrow
import pyarrow.dataset

Sums = dict[tuple[object, ...], tuple[str, int]]


def with_pyarrow(files: Path, negative: bool = False) -> Sums:
    table = pyarrow.dataset.dataset(sorted(files.glob("*.parquet"))).to_table(filter=_below_zero if negative else None)
    grouped = table.group_by(["user", "model"]).aggregate([("amount", "sum"), ("calls", "sum")]).to_pylist()
    return {(row["user"], row["model"]): (books.plain(row["amount_sum"]), row["calls_sum"]) for row in grouped}


def with_duckdb(files: Path, negative: bool = False) -> Sums:
    which = "WHERE amount < 0" if negative else ""
    asked = f"SELECT \"user\", model, sum(amount), sum(calls) FROM '{files}/*.parquet' {which} GROUP BY ALL"
    return {(user, model): (books.plain(amount), int(calls)) for user, model, amount, calls in duckdb.sql(asked).fetchall()}


def with_polars(files: Path, negative: bool = False) -> Sums:
    scanned = polars.scan_parquet(files / "*.parquet")
    scanned = scanned.filter(polars.col("amount") < 0) if negative else scanned
    rows = scanned.group_by("user", "model").agg(polars.sum("amount", "calls")).collect()
    return {(user, model): (books.plain(amount), calls) for user, model, amount, calls in rows.rows()}


_below_zero = pyarrow.dataset.field("amount") < pyarrow.scalar(decimal.Decimal(0)).cast(pyarrow.decimal128(38, 24))
