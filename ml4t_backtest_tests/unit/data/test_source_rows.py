"""A source read in parts of any size gives the rows, and the errors, of the source read at once."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from one_answer import tables
from polars.testing import assert_frame_equal

from ml4t_backtest import CorruptDatasetError
from ml4t_backtest.core.schemas import prices_schema
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import ValueSource, load_prices, load_values
from ml4t_backtest.data.scratch import ROW, Workplace
from ml4t_backtest.data.source_parts import SourceParts
from ml4t_backtest.data.source_rows import LoadedPrices, LoadedRows, read_prices, read_signals

CLOCK = BarClock(frequency="10m")
SIZES = [7, 64, 500, 10_000]
PRICES = tables().prices
FAST = tables().fast
SPEC = {"names": ("fast", "spread"), "max_age": "2d"}


def rows_of(loaded: LoadedRows) -> pl.DataFrame:
    """Return all rows in the order of their source."""
    found = loaded.rows.between("", "\U0010ffff").sort(ROW)
    assert found[ROW].to_list() == list(range(found.height))
    return found.drop(ROW)


def at_most(rows: int) -> Workplace:
    return Workplace(rows_at_once=rows)


@pytest.mark.parametrize("size", SIZES)
def test_bars_read_in_parts_are_the_bars_read_at_once(size: int, tmp_path: Path) -> None:
    shuffled = PRICES.sample(fraction=1.0, shuffle=True, seed=3)
    shuffled.write_parquet(tmp_path / "p.parquet", row_group_size=100)
    loaded = read_prices(tmp_path / "p.parquet", CLOCK, at_most(size))
    expected = load_prices(tmp_path / "p.parquet", CLOCK)
    assert_frame_equal(rows_of(loaded), expected, check_exact=True)
    assert loaded.table_hash == read_prices(shuffled, CLOCK, at_most(10_000)).table_hash
    by_slice = expected.group_by("timestamp").agg(pl.col("decision_instant").max(), rows=pl.len()).sort("timestamp")
    assert_frame_equal(loaded.slices, by_slice)


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow"])
def test_signals_of_every_format_are_read_in_parts(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"s.{ending}"
    if ending == "csv":
        FAST.write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    else:
        {"parquet": FAST.write_parquet, "arrow": FAST.write_ipc}[ending](file)
    spec = ValueSource(file, **SPEC)
    loaded = read_signals(spec, CLOCK, at_most(100))
    assert_frame_equal(rows_of(loaded), load_values(spec, CLOCK, by_symbol=True), check_exact=True)


@pytest.mark.parametrize("size", SIZES)
def test_every_broken_row_is_named_by_its_row_whatever_the_parts(size: int, tmp_path: Path, violations_of: Any) -> None:
    row = pl.int_range(pl.len())
    broken = PRICES.head(200).with_columns(
        close=pl.when(row == 150).then(float("nan")).otherwise("close"),
        volume=pl.when(row.is_in([3, 77, 199])).then(-1.0).otherwise("volume"),
        timestamp=pl.when(row == 120).then(None).otherwise("timestamp"),
    )
    broken.write_parquet(tmp_path / "p.parquet")
    found = violations_of(read_prices, tmp_path / "p.parquet", CLOCK, at_most(size))
    told = {violation.code: (violation.row, violation.count, violation.file) for violation in found}
    file = str(tmp_path / "p.parquet")
    assert told == {"E-TS-NULL": (120, 1, file), "E-PX-NAN": (150, 1, file), "E-PX-NEGVOL": (3, 3, file)}
    (negative,) = (violation for violation in found if violation.code == "E-PX-NEGVOL")
    assert [sample.split()[1] for sample in negative.samples] == ["3", "77", "199"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", ["time", "symbol", "none"])
def test_a_key_that_repeats_in_another_part_is_found(size: int, order: str, violations_of: Any) -> None:
    by = {"time": ("timestamp", "symbol"), "symbol": ("symbol", "timestamp")}
    bars = PRICES.head(300)
    bars = bars.sort(*by[order]) if order in by else bars.sample(fraction=1.0, shuffle=True, seed=9)
    twice = pl.concat([bars, bars[10:11], bars[40:41]])  # rows 300 and 301 repeat rows 10 and 40
    (violation,) = violations_of(read_prices, twice, CLOCK, at_most(size))
    assert (violation.code, violation.row, violation.count) == ("E-KEY-DUP", 300, 2)
    assert {sample.split()[1] for sample in violation.samples} == {"300", "10", "301", "40"}


@pytest.mark.parametrize("size", SIZES)
def test_a_revision_in_another_part_is_no_repeated_key(size: int) -> None:
    revised = FAST[5:6].with_columns(pl.col("available_at") + timedelta(hours=1), fast=0.25)
    loaded = read_signals(ValueSource(pl.concat([FAST, revised]), **SPEC), CLOCK, at_most(size))
    assert rows_of(loaded).height == FAST.height + 1


@pytest.mark.parametrize("size", SIZES)
def test_signals_that_come_too_often_are_found_across_parts(size: int, violations_of: Any) -> None:
    hourly = pl.DataFrame(
        {
            "timestamp": [datetime(2024, 1, 29, 15), datetime(2024, 1, 29, 15), datetime(2024, 1, 29, 15, 30)],
            "symbol": ["A", "B", "A"],
            "p": [0.1, 0.2, 0.3],
        }
    )
    spec = ValueSource(hourly, ("p",), available_at="market_close", frequency="1h")
    (violation,) = violations_of(read_signals, spec, CLOCK, at_most(size))
    assert (violation.code, violation.row, violation.count) == ("E-SG-FREQ", 2, 1)


@pytest.mark.parametrize("size", SIZES)
def test_a_repeated_key_beside_a_null_symbol_is_found_too(size: int, violations_of: Any) -> None:
    """Rows 2 and 4 are one key, and between them stands a row without a symbol."""
    symbol = pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise(pl.lit("A")).alias("symbol")
    stamps = PRICES["timestamp"].unique().sort().gather([0, 1, 2, 2, 2, 3])
    bars = PRICES.head(6).with_columns(stamps, symbol)
    found = violations_of(read_prices, bars, CLOCK, at_most(size))
    assert {(violation.code, violation.row) for violation in found} == {("E-KEY-NULL", 3), ("E-KEY-DUP", 4)}


@pytest.mark.parametrize("size", SIZES)
def test_a_source_of_which_no_part_can_be_loaded_is_refused_in_this_packages_words(
    size: int, violations_of: Any
) -> None:
    nowhen = FAST.head(70).with_columns(timestamp=pl.lit(None, dtype=FAST.schema["timestamp"]))
    spec = ValueSource(nowhen, **SPEC, frequency="10m")
    (violation,) = violations_of(read_signals, spec, CLOCK, at_most(size))
    assert (violation.code, violation.row, violation.count) == ("E-TS-NULL", 0, 70)


@pytest.mark.parametrize("size", SIZES)
def test_a_wrong_type_is_told_once_for_all_parts(size: int, violations_of: Any) -> None:
    texts = PRICES.head(70).with_columns(pl.col("close").cast(pl.String))
    (violation,) = violations_of(read_prices, texts, CLOCK, at_most(size))
    assert (violation.code, violation.column, violation.row, violation.count) == ("E-SC-DTYPE", "close", 0, 70)
    assert violation.value == repr(texts["close"][0])


def test_the_edges_of_a_part_know_the_sessions_around_them() -> None:
    """A session label at the end of a part has its next open in the following part, or after a long holiday."""
    days = [date(2024, 1, 2) + timedelta(days=day) for day in (0, 1, 2, 6, 300)]
    bars = PRICES.head(5).with_columns(timestamp=pl.Series(days), symbol=pl.lit("A"))
    clock = BarClock(label="session", decide_at="next_open")
    whole = load_prices(bars, clock)
    assert_frame_equal(rows_of(read_prices(bars, clock, at_most(1))), whole, check_exact=True)


def test_a_source_without_rows_is_refused(violations_of: Any) -> None:
    (violation,) = violations_of(read_prices, PRICES.clear(), CLOCK, at_most(10))
    assert violation.code == "E-DS-EMPTY"


@pytest.mark.parametrize("number_of_rows", [3, 9, 20])
def test_a_file_that_is_replaced_while_it_is_read_is_noticed(number_of_rows: int, tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    PRICES.head(9).write_parquet(file)
    parts = SourceParts(file, ["close"], prices_schema(), file=None, rows_at_once=4).read()
    next(parts)
    PRICES.tail(number_of_rows).write_parquet(tmp_path / "other")
    os.replace(tmp_path / "other", file)
    with pytest.raises(CorruptDatasetError, match=r"changed while it was read|cannot be read"):
        list(parts)


def test_a_lazy_frame_that_gives_another_order_each_time_is_read_once() -> None:
    orders = iter([1, 2, 3, 4])

    def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sample(fraction=1.0, shuffle=True, seed=next(orders))

    lazy = PRICES.lazy().map_batches(shuffled, schema=PRICES.schema)
    loaded = read_prices(lazy, CLOCK, at_most(100))
    assert_frame_equal(
        rows_of(loaded).sort("timestamp", "symbol"), load_prices(PRICES, CLOCK).sort("timestamp", "symbol")
    )


def test_bars_that_are_checked_already_are_taken_as_they_are() -> None:
    bars = load_prices(PRICES, CLOCK)
    assert_frame_equal(rows_of(LoadedPrices.of(bars)), bars)
    assert LoadedPrices.of(bars).slices["rows"].sum() == bars.height
