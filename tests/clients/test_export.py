"""Parquet, read by the programs that it is for: decimals are decimals, instants are UTC, and sums are what a report says."""

from __future__ import annotations

import datetime
import decimal
import io
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Callable

import books
import farthing
import polars
import pyarrow
import pyarrow.parquet
import pytest
import readers

@pytest.mark.parametrize("reader", [readers.with_pyarrow, readers.with_duckdb, readers.with_polars])
def a_reader_of_parquet_comes_to_what_a_report_says(
    server: farthing.Farthing, tmp_path: Path, reader: Callable[[Path], readers.Sums]
) -> None:
    books.fill(server, whole=100_000)
    files = books.export(server, tmp_path / "entries", "--format", "parquet", "--rows-per-part", "250")
    report = server.get("/v1/reports/spend", group_by="user,model")["rows"]
    assert reader(files) == {(row["user"], row["model"]): (books.plain(row["amount"]), row["calls"]) for row in report}


@pytest.mark.parametrize("reader", [readers.with_pyarrow, readers.with_duckdb, readers.with_polars])
def what_was_taken_back_is_negative_to_a_reader_of_parquet(
    server: farthing.Farthing, tmp_path: Path, reader: Callable[..., readers.Sums]
) -> None:
    books.fill(server, whole=100_000)
    books.correct(server)
    files = books.export(server, tmp_path / "entries", "--format", "parquet", "--rows-per-part", "250")
    taken: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for entry in server.entries():
        if entry["kind"] == "reversal":
            taken.setdefault((entry.get("user"), entry["model"]), []).append(entry)
    assert {model for _, model in taken} == {"gpt-4o", "gpt-4o-mini"} and sum(map(len, taken.values())) == 300
    # an entry shows what it moves, and a reversal moves it back: what is taken from its owner has a minus in front.
    expected = {
        key: (books.plain(books.add("-" + entry["amount"] for entry in entries)), -sum(entry["calls"] for entry in entries))
        for key, entries in taken.items()
    }
    assert reader(files, negative=True) == expected
    report = server.get("/v1/reports/spend", group_by="user,model")["rows"]
    assert reader(files) == {(row["user"], row["model"]): (books.plain(row["amount"]), row["calls"]) for row in report}


def the_types_are_what_a_warehouse_expects(server: farthing.Farthing, tmp_path: Path) -> None:
    books.fill(server, whole=10)
    files = books.export(server, tmp_path / "entries", "--format", "parquet")
    file = pyarrow.parquet.ParquetFile(next(files.glob("*.parquet")))
    types = {field.name: str(field.type) for field in file.schema_arrow}
    assert types["amount"] == types["rated_amount"] == types["list_amount"] == "decimal128(38, 24)"
    assert types["occurred_at"] == types["recorded_at"] == "timestamp[us, tz=UTC]"
    assert types["user"] == types["model"] == types["kind"] == "string"
    assert types["input"] == types["calls"] == "int64" and types["estimated"] == "bool"
    group = file.metadata.row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert all(column.compression == "ZSTD" for column in columns.values())
    # a wrong minimum makes a reader skip rows.
    assert not any(column.statistics and column.statistics.has_min_max for column in columns.values())
    assert "RLE_DICTIONARY" in columns["model"].encodings
    one = pyarrow.scalar(decimal.Decimal(1)).cast(pyarrow.decimal128(38, 24))
    # what a filter lets through is neither lost by statistics nor unknown to the kernels of strings.
    found = pyarrow.parquet.read_table(files, filters=[("team", "==", "labs"), ("amount", ">", one)]).to_pylist()
    rows = [row for row in file.read().to_pylist() if row["team"] == "labs" and row["amount"] > 1]
    assert found == rows and rows
    last = max(row["occurred_at"] for row in file.read().to_pylist())
    assert last == datetime.datetime(2026, 10, last.day, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc)


def the_service_streams_the_same_rows(server: farthing.Farthing, tmp_path: Path) -> None:
    books.fill(server, whole=10)
    files = books.export(server, tmp_path / "entries", "--format", "parquet")
    request = urllib.request.Request(
        f"{server.url}/v1/exports/entries?format=parquet", headers={"Authorization": f"Bearer {server.key}"}
    )
    with urllib.request.urlopen(request) as answer:
        streamed = pyarrow.parquet.read_table(io.BytesIO(answer.read()))
    assert streamed.equals(pyarrow.parquet.read_table(next(files.glob("*.parquet"))))


def every_format_has_the_same_rows(server: farthing.Farthing, tmp_path: Path) -> None:
    books.fill(server, whole=10)

    def rows(name: str, read: Callable[[Path], Any]) -> list[dict[str, Any]]:
        table = read(books.export(server, tmp_path / name, "--format", name.rpartition(".")[2]))
        kept = table.select("sequence", "user", "model", "amount", "currency", "calls", "kind", "input").sort("sequence")
        return list(kept.to_dicts())

    text = {"schema_overrides": {"amount": polars.String}}
    exact = polars.col("amount").cast(polars.Decimal(38, 24))
    from_parquet = rows("a.parquet", polars.read_parquet)
    from_csv = rows("a.csv", lambda path: polars.read_csv(path, **text).with_columns(exact))
    from_ndjson = rows("a.ndjson", lambda path: polars.read_ndjson(path, **text).with_columns(exact))
    assert from_parquet == from_ndjson
    # what a spreadsheet would run is a text there.
    assert from_csv == [
        {**row, "user": "'" + row["user"] if (row["user"] or "").startswith("=") else row["user"]} for row in from_parquet
    ]
    assert "'=SUM(A1)" in {row["user"] for row in from_csv}


def verify_reads_parquet(server: farthing.Farthing, tmp_path: Path) -> None:
    books.fill(server, whole=10)
    files = books.export(server, tmp_path / "entries", "--format", "parquet", "--rows-per-part", "100")
    verify = [os.environ["FARTHING"], "export", "verify", str(files)]
    assert "are what was exported" in subprocess.run(verify, capture_output=True, text=True, check=True).stdout
    manifest = files / "_manifest.json"
    manifest.write_text(manifest.read_text().replace('"calls": 100', '"calls": 99', 1))
    refused = subprocess.run(verify, capture_output=True, text=True)
    assert refused.returncode == 2, refused
