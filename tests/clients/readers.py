"""Programs that read Parquet, each asked for the same sums."""

from __future__ import annotations

from pathlib import Path

import books
import duckdb
import polars
import pyarrow.dataset

Sums = dict[tuple[object, ...], tuple[str, int]]


def with_pyarrow(files: Path) -> Sums:
    table = pyarrow.dataset.dataset(sorted(files.glob("*.parquet"))).to_table()
    grouped = table.group_by(["user", "model"]).aggregate([("amount", "sum"), ("calls", "sum")]).to_pylist()
    return {(row["user"], row["model"]): (books.plain(row["amount_sum"]), row["calls_sum"]) for row in grouped}


def with_duckdb(files: Path) -> Sums:
    asked = f"SELECT \"user\", model, sum(amount), sum(calls) FROM '{files}/*.parquet' GROUP BY ALL"
    return {(user, model): (books.plain(amount), int(calls)) for user, model, amount, calls in duckdb.sql(asked).fetchall()}


def with_polars(files: Path) -> Sums:
    rows = polars.scan_parquet(files / "*.parquet").group_by("user", "model").agg(polars.sum("amount", "calls")).collect()
    return {(user, model): (books.plain(amount), calls) for user, model, amount, calls in rows.rows()}
