"""Formats of files, frames of other libraries, and an object store: the same rows, whatever they came in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_s3 import local_s3
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestError, DataPreparer
from ml4t_backtest.data.files.file_formats import READERS, FileRequest
from ml4t_backtest.data.sources import collect, scan

TUESDAY, WEDNESDAY = date(2024, 1, 2), date(2024, 1, 3)
KEYS = ["timestamp", "symbol"]


def rows_of(source: Any, **how: Any) -> pl.DataFrame:
    return collect(scan(source, **how))


@pytest.fixture
def bars(make_bars: Any) -> pl.DataFrame:
    """Two symbols with names that look like numbers, on two sessions."""
    return make_bars([TUESDAY, TUESDAY, WEDNESDAY, WEDNESDAY], ["0700", "0005"] * 2, close=[10.1, 10.2, 10.3, 10.4])


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "arrow", "feather", "ipc", "parquet"])
@pytest.mark.parametrize("shape", ["file", "folder", "glob"])
def test_every_format_gives_the_same_rows_from_a_file_a_folder_and_a_glob(
    ending: str, shape: str, bars: pl.DataFrame, tmp_path: Path
) -> None:
    for name, part in (("a", bars.head(1)), ("b", bars.tail(3))):
        path = tmp_path / f"{name}.{ending}"
        {"csv": part.write_csv, "parquet": part.write_parquet}.get(ending, part.write_ipc)(path)
    source = {"file": tmp_path / f"b.{ending}", "folder": tmp_path, "glob": tmp_path / f"*.{ending}"}[shape]
    expected = bars.tail(3) if shape == "file" else bars
    assert_frame_equal(rows_of(source).cast({"volume": pl.Float64}), expected)


def test_a_folder_of_parquet_may_hold_other_files_too(bars: pl.DataFrame, tmp_path: Path) -> None:
    bars.write_parquet(tmp_path / "p.parquet")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    assert_frame_equal(rows_of(tmp_path), bars)


def test_a_folder_of_two_formats_is_refused_with_the_glob_to_write(
    bars: pl.DataFrame, tmp_path: Path, violations_of: Any
) -> None:
    bars.write_csv(tmp_path / "p.csv")
    bars.write_ipc(tmp_path / "p.arrow")
    (violation,) = violations_of(scan, tmp_path)
    assert violation.code == "E-FL-KIND"
    assert "*.csv" in violation.hint


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-01-02", TUESDAY),
        ("2024-01-02 16:00:00", datetime(2024, 1, 2, 16)),
        ("2024-01-02T16:00:00.5", datetime(2024, 1, 2, 16, 0, 0, 500_000)),
        ("2024-01-02T16:00:00Z", datetime(2024, 1, 2, 16, tzinfo=UTC)),
        ("2024-01-02 16:00:00-05:00", datetime(2024, 1, 2, 21, tzinfo=UTC)),
    ],
)
def test_moments_in_csv_are_iso_8601(written: str, expected: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"when,ticker,p\n{written},NA,0.5\n")
    found = rows_of(path, columns={"timestamp": "when", "symbol": "ticker"})
    assert found.select("timestamp", "symbol", "p").rows() == [(expected, "NA", 0.5)]


@pytest.mark.parametrize("written", ["01/02/2024", "2 Jan 2024", "20240102", "2024-13-01", "x"])
def test_a_date_in_csv_that_reads_differently_elsewhere_is_refused(written: str, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"timestamp,symbol,p\n{written},A,0.5\n")
    with pytest.raises(BacktestError):
        rows_of(path)


def test_a_date_in_another_form_is_told_with_the_form_it_must_have(tmp_path: Path) -> None:
    path = tmp_path / "VIX_History.csv"
    path.write_text("DATE,CLOSE\n01/02/2024,13.2\n")
    with pytest.raises(BacktestError, match=r"column 'DATE' begins with '01/02/2024'.* ISO 8601, 2024-01-31"):
        rows_of(path, columns={"timestamp": "DATE"})


def test_a_csv_that_mixes_days_and_moments_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("timestamp,symbol,p\n2024-01-02,A,0.5\n2024-01-03 16:00:00,A,0.5\n")
    with pytest.raises(BacktestError):
        rows_of(path)


def test_a_number_column_of_a_csv_may_have_the_name_of_a_moment_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("timestamp,symbol,end\n2024-01-02,A,0.5\n")
    assert rows_of(path, dataset="signals")["end"].to_list() == [0.5]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"PAR1", b"timestamp,symbol\n2024-01-02,A,1,2\n"])
@pytest.mark.parametrize("ending", ["csv", "arrow"])
def test_a_damaged_file_is_refused_in_this_packages_words(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{ending}"
    path.write_bytes(content)
    with pytest.raises(BacktestError):
        DataPreparer().add_prices(path, bar_label="session")


def test_a_format_is_one_function_to_add(bars: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan_json_lines(request: FileRequest) -> pl.LazyFrame:
        return pl.scan_ndjson(request.path, schema=bars.schema)

    monkeypatch.setitem(READERS, ".ndjson", scan_json_lines)
    bars.write_ndjson(tmp_path / "p.ndjson")
    assert_frame_equal(rows_of(tmp_path / "p.ndjson"), bars)


# --- frames ---------------------------------------------------------------------------------------------------------


def test_a_pandas_frame_is_prepared_like_one_of_polars(bars: pl.DataFrame) -> None:
    expected = DataPreparer().add_prices(bars, bar_label="session").prepare().asset_data
    plain = bars.to_pandas()
    for frame in (plain, plain.set_index("timestamp"), plain.set_index(KEYS), plain.sample(frac=1.0, random_state=1)):
        found = DataPreparer().add_prices(frame, bar_label="session").prepare().asset_data
        assert_frame_equal(found, expected, check_exact=True)


def test_the_zone_of_a_pandas_frame_is_kept(make_bars: Any) -> None:
    stamps = [datetime(2024, 1, 2, 21, tzinfo=UTC)]
    frame = make_bars(stamps).to_pandas()
    frame["timestamp"] = frame["timestamp"].dt.tz_convert("America/New_York")
    assert DataPreparer().add_prices(frame).prepare().asset_data["timestamp"].to_list() == stamps


def test_an_arrow_table_is_read_like_a_frame(bars: pl.DataFrame) -> None:
    assert_frame_equal(rows_of(bars.to_arrow()), bars)


def test_a_pandas_frame_of_python_objects_is_refused_in_this_packages_words() -> None:
    import pandas as pd

    with pytest.raises(BacktestError):
        rows_of(pd.DataFrame({"a": [object(), {1, 2}]}))


# --- an object store ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A local S3 with one bucket; the end point and credentials are in the environment, as they are for a real one."""
    with local_s3("prices") as client:
        yield client


def put(client: Any, local: Path, key: str) -> str:
    client.put_object(Bucket="prices", Key=key, Body=local.read_bytes())
    return f"s3://prices/{key}"


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow"])
def test_files_on_an_object_store_are_read_like_local_ones(
    ending: str, bucket: Any, bars: pl.DataFrame, tmp_path: Path
) -> None:
    local = tmp_path / f"p.{ending}"
    {"csv": bars.write_csv, "parquet": bars.write_parquet}.get(ending, bars.write_ipc)(local)
    address = put(bucket, local, f"one/p.{ending}")
    expected = DataPreparer().add_prices(local, bar_label="session").prepare().asset_data
    found = DataPreparer().add_prices(address, bar_label="session").prepare().asset_data
    assert_frame_equal(found, expected, check_exact=True)


def test_symbols_of_a_remote_hive_tree_stay_text(bucket: Any, make_bars: Any, tmp_path: Path) -> None:
    for symbol in ("0700", "0005"):
        make_bars().drop("symbol").write_parquet(tmp_path / "part.parquet")
        put(bucket, tmp_path / "part.parquet", f"tree/symbol={symbol}/part.parquet")
    assert rows_of("s3://prices/tree/")["symbol"].unique().sort().to_list() == ["0005", "0700"]


def test_a_remote_file_that_does_not_exist_is_refused_in_this_packages_words(bucket: Any) -> None:
    for ending in ("parquet", "csv", "arrow"):
        with pytest.raises(BacktestError, match=rf"none\.{ending}"):
            rows_of(f"s3://prices/none.{ending}")
