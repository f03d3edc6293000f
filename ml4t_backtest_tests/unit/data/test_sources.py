"""Where rows come from: files, folders, hive trees, globs, frames; and what is refused, in this package's words."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestError, CorruptDatasetError, DataValidationError
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import load_prices
from ml4t_backtest.data.sources import collect, describe, require_columns, scan, schema_of


def rows_of(source: Any, **how: Any) -> pl.DataFrame:
    return collect(scan(source, **how))


def write(frame: pl.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path


# --- kinds of source ------------------------------------------------------------------------------------------------


def test_a_file_is_read_from_a_path_or_its_text(bars_file: Path, make_bars: Any) -> None:
    assert_frame_equal(rows_of(bars_file), make_bars())
    assert_frame_equal(rows_of(str(bars_file)), make_bars())


def test_a_frame_and_a_lazy_frame_are_taken_as_they_are(make_bars: Any) -> None:
    assert_frame_equal(rows_of(make_bars()), make_bars())
    assert_frame_equal(rows_of(make_bars().lazy()), make_bars())


def test_a_folder_is_read_with_all_its_files_and_subfolders(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars([date(2024, 1, 2)]), tmp_path / "a.parquet")
    write(make_bars([date(2024, 1, 3)]), tmp_path / "sub" / "b.parquet")
    (tmp_path / "notes.txt").write_text("no data")
    assert sorted(rows_of(tmp_path)["timestamp"]) == [date(2024, 1, 2), date(2024, 1, 3)]


def test_a_glob_is_read_with_what_it_matches_only(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars([date(2024, 1, 2)]), tmp_path / "prices-1.parquet")
    write(make_bars([date(2024, 1, 3)]), tmp_path / "prices-10.parquet")
    write(make_bars([date(2024, 1, 4)]), tmp_path / "other.parquet")
    assert sorted(rows_of(str(tmp_path / "prices-*.parquet"))["timestamp"]) == [date(2024, 1, 2), date(2024, 1, 3)]


def test_files_may_order_their_columns_differently(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars([date(2024, 1, 2)]), tmp_path / "a.parquet")
    write(make_bars([date(2024, 1, 3)]).select(reversed(make_bars().columns)), tmp_path / "b.parquet")
    assert rows_of(tmp_path)["close"].to_list() == [10.0, 10.0]


def test_a_file_without_rows_among_others_is_no_trouble(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars([date(2024, 1, 2)]), tmp_path / "a.parquet")
    write(make_bars([date(2024, 1, 3)]).clear(), tmp_path / "b.parquet")
    assert rows_of(tmp_path).height == 1


@pytest.mark.parametrize(
    "symbol", ["0700", "0005", "TRUE", "1E5", "NA", "null", "2024-01-02", "\u041c\u0422\u0421\u0421"]
)
def test_hive_keys_stay_text(symbol: str, tmp_path: Path, make_bars: Any) -> None:
    write(make_bars().drop("symbol"), tmp_path / f"symbol={symbol}" / "part.parquet")
    assert rows_of(tmp_path)["symbol"].to_list() == [symbol] * 3


def test_hive_trees_may_be_nested(tmp_path: Path, make_bars: Any) -> None:
    for year, day in ((2023, date(2023, 1, 3)), (2024, date(2024, 1, 2))):
        write(make_bars([day]).drop("symbol"), tmp_path / f"year={year}" / "symbol=0700" / "part.parquet")
    read = rows_of(tmp_path).sort("timestamp")
    assert read.select("symbol", "year").rows() == [("0700", "2023"), ("0700", "2024")]


def test_a_hive_key_without_value_is_a_null_symbol(tmp_path: Path, make_bars: Any, violations_of: Any) -> None:
    write(make_bars().drop("symbol"), tmp_path / "symbol=__HIVE_DEFAULT_PARTITION__" / "part.parquet")
    assert rows_of(tmp_path)["symbol"].to_list() == [None] * 3


@pytest.mark.parametrize(
    "name", ["p[1].parquet", "data [old]/prices.parquet", "what?.parquet", "a*b.parquet", "ä ö.parquet"]
)
def test_a_file_that_exists_is_read_whatever_letters_its_name_has(name: str, tmp_path: Path, make_bars: Any) -> None:
    path = write(make_bars(), tmp_path / name)
    assert_frame_equal(rows_of(path), make_bars())


def test_a_folder_that_exists_is_read_whatever_letters_its_name_has(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars(), tmp_path / "data [old]" / "prices.parquet")
    assert_frame_equal(rows_of(tmp_path / "data [old]"), make_bars())


def test_a_path_may_start_at_the_users_home(tmp_path: Path, make_bars: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(make_bars(), tmp_path / "prices.parquet")
    assert rows_of("~/prices.parquet").height == 3


@pytest.mark.parametrize("compression", ["zstd", "snappy", "lz4", "gzip", "uncompressed"])
def test_every_compression_is_read(compression: Any, tmp_path: Path, make_bars: Any) -> None:
    make_bars().write_parquet(tmp_path / "p.parquet", compression=compression, row_group_size=1)
    assert_frame_equal(rows_of(tmp_path / "p.parquet"), make_bars())


def test_a_source_is_described_by_its_path_and_a_frame_by_nothing(bars_file: Path, make_bars: Any) -> None:
    assert describe(bars_file) == str(bars_file)
    assert describe(make_bars()) is None
    assert describe(make_bars().lazy()) is None


# --- column names ---------------------------------------------------------------------------------------------------


def test_mapped_columns_get_this_packages_names(make_bars: Any) -> None:
    theirs = make_bars().rename({"symbol": "ticker", "timestamp": "Date"})
    ours = rows_of(theirs, columns={"symbol": "ticker", "timestamp": "Date", "close": "close"})
    assert ours.select(make_bars().columns).equals(make_bars())


def test_the_mapped_column_is_used_where_its_new_name_is_there_already(make_bars: Any) -> None:
    both = make_bars(adj_close=[9.5, 9.6, 9.7])
    loaded = load_prices(both, BarClock(label="session"), columns={"close": "adj_close"})
    assert loaded["close"].to_list() == [9.5, 9.6, 9.7]


def test_columns_can_be_swapped_by_mapping(make_bars: Any) -> None:
    swapped = make_bars().rename({"high": "low", "low": "high"})
    loaded = load_prices(swapped, BarClock(label="session"), columns={"high": "low", "low": "high"})
    assert loaded.select("high", "low").row(0) == (11.0, 9.0)


def test_a_mapped_column_that_is_absent_is_named_with_those_that_are_there(make_bars: Any, violations_of: Any) -> None:
    found = violations_of(scan, make_bars(), columns={"symbol": "tickr", "close": "last"}, dataset="prices")
    assert [(violation.code, violation.column) for violation in found] == [
        ("E-SC-MISSING", "tickr"),
        ("E-SC-MISSING", "last"),
    ]
    assert "volume" in found[0].hint


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("symbol", "ticker"),
        ("symbol", "asset"),
        ("symbol", "instrument"),
        ("timestamp", "date"),
        ("timestamp", "datetime"),
        ("close", "Close"),
        ("volume", "volumes"),
    ],
)
def test_an_absent_column_is_named_with_the_mapping_that_probably_helps(
    ours: str, theirs: str, make_bars: Any, violations_of: Any
) -> None:
    lazy = scan(make_bars().rename({ours: theirs}))
    (violation,) = violations_of(require_columns, lazy, make_bars().columns, dataset="prices", file="p.parquet")
    assert (violation.code, violation.column, violation.file) == ("E-SC-MISSING", ours, "p.parquet")
    assert f"{{{ours}: {theirs}}}" in violation.hint


def test_all_absent_columns_are_reported_at_once(make_bars: Any, violations_of: Any) -> None:
    lazy = scan(make_bars().drop("open", "volume"))
    found = violations_of(require_columns, lazy, make_bars().columns, dataset="prices")
    assert [violation.column for violation in found] == ["open", "volume"]


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, violations_of: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (violation,) = violations_of(scan, "nowhere.parquet", dataset="prices")
    assert (violation.code, violation.dataset) == ("E-FL-MISSING", "prices")
    assert violation.file == str(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("name", ["", "*.parquet", "sub/**/*.parquet"])
def test_a_folder_or_glob_without_parquet_is_refused(name: str, tmp_path: Path, violations_of: Any) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "readme.txt").write_text("nothing here")
    (violation,) = violations_of(scan, f"{tmp_path}/{name}")
    assert violation.code == "E-DS-EMPTY"
    assert str(tmp_path) in violation.file


def test_a_zero_byte_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "z.parquet").touch()
    with pytest.raises(CorruptDatasetError, match=r"z\.parquet.*empty"):
        rows_of(tmp_path / "z.parquet")


def test_a_csv_renamed_to_parquet_is_recognised(tmp_path: Path, make_bars: Any) -> None:
    make_bars().write_csv(tmp_path / "p.parquet")
    with pytest.raises(CorruptDatasetError, match=r"p\.parquet.*CSV"):
        rows_of(tmp_path / "p.parquet")


@pytest.mark.parametrize("damage", ["no footer", "footer only", "random", "pages zeroed", "text"])
def test_a_damaged_file_is_corrupt_in_this_packages_words(damage: str, bars_file: Path) -> None:
    whole = bars_file.read_bytes()
    bars_file.write_bytes(
        {
            "no footer": whole[:-30],
            "footer only": whole[-200:],
            "random": bytes(range(256)) * 4,
            "pages zeroed": whole[:40] + bytes(160) + whole[200:],
            "text": b"hello",
        }[damage]
    )
    with pytest.raises(CorruptDatasetError, match=r"prices\.parquet"):
        collect(scan(bars_file), file=str(bars_file))


def test_a_pipe_or_a_device_is_refused_without_waiting(tmp_path: Path, violations_of: Any) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    for path in (tmp_path / "pipe.parquet", "/dev/zero"):
        (violation,) = violations_of(scan, path)
        assert violation.code == "E-FL-KIND"


@pytest.mark.parametrize(
    "source", ["x" * 5000, "a/" * 3000, "a\0b", "", "nope://bucket/key", "~nobody-of-that-name/p.parquet", "/dev/null"]
)
def test_an_odd_path_is_refused_in_this_packages_words(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BacktestError):
        rows_of(source)


@pytest.mark.parametrize("source", [5, None, b"p.parquet", [1], {"a": [1]}, object(), pl.Series([1])])
def test_a_source_of_another_type_is_refused_in_this_packages_words(source: Any) -> None:
    with pytest.raises(BacktestError):
        rows_of(source)


def test_a_lazy_frame_that_cannot_be_read_is_corrupt_in_this_packages_words(tmp_path: Path) -> None:
    with pytest.raises(CorruptDatasetError):
        rows_of(pl.scan_parquet(tmp_path / "gone.parquet"))


def test_files_of_one_folder_that_differ_are_refused_in_this_packages_words(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars(), tmp_path / "a.parquet")
    later = make_bars([day + timedelta(days=7) for day in make_bars()["timestamp"]])
    for odd in (later.with_columns(pl.col("close").cast(pl.String)), later.drop("close")):
        write(odd, tmp_path / "b.parquet")
        with pytest.raises(BacktestError):
            load_prices(tmp_path, BarClock(label="session"))


def test_symbols_may_be_text_in_one_file_and_categories_in_the_next(tmp_path: Path, make_bars: Any) -> None:
    write(make_bars([date(2024, 1, 2)]), tmp_path / "a.parquet")
    write(make_bars([date(2024, 1, 3)]).with_columns(pl.col("symbol").cast(pl.Categorical)), tmp_path / "b.parquet")
    assert load_prices(tmp_path, BarClock(label="session"))["symbol"].to_list() == ["A", "A"]


def test_the_schema_is_read_without_reading_rows(bars_file: Path) -> None:
    assert schema_of(scan(bars_file)).names()[:2] == ["timestamp", "symbol"]


def test_refusals_are_value_errors_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="E-FL-MISSING"):
        scan(tmp_path / "gone.parquet")
    assert issubclass(DataValidationError, BacktestError)


@pytest.mark.parametrize("name", ["", "*", "^a.*$", "plain"])
def test_a_column_keeps_its_name_when_its_flag_is_taken_off(name: str) -> None:
    flagged = pl.DataFrame({name: [1, 2, 3], "other": [3, 1, 2]})
    flagged = pl.DataFrame({each.name: each.set_sorted() for each in flagged.get_columns()})
    found = collect(flagged.lazy())
    assert found.columns == [name, "other"]
    assert not any(any(flags.values()) for flags in found.flags.values())
    assert found.rows() == flagged.rows()
