"""Prepared bars are checked by parts of the file, and nothing falls between two parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import CorruptDatasetError, PolarsDataFeed
from ml4t_backtest.core.schemas import asset_data_schema
from ml4t_backtest.data.checked_bars import check_bars
from ml4t_backtest.data.prepared import PreparedData

SCHEMA = asset_data_schema((), ())


def rows_of(prepared: PreparedData) -> pl.DataFrame:
    return prepared.asset_data.select(list(SCHEMA.columns))


@pytest.mark.parametrize("at_once", [1, 2, 4, 5, 1_000])
def test_what_is_known_of_the_bars_does_not_depend_on_the_parts(at_once: int, prepared: PreparedData) -> None:
    shuffled = rows_of(prepared)[[5, 0, 3, 2, 4, 1]]
    bars = check_bars(shuffled.lazy(), SCHEMA, file=None, at_once=at_once)
    closes = [datetime(2024, 1, day, 21, tzinfo=UTC) for day in (2, 3, 4)]
    assert bars.slices.rows() == [(close, close, 2) for close in closes]
    assert bars.symbols.rows() == [("A", closes[0], closes[2]), ("B", closes[0], closes[2])]


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 7, 1_000])
def test_a_key_that_repeats_is_found_in_whatever_part_it_lies(
    at_once: int, prepared: PreparedData, violations_of: Any
) -> None:
    rows = rows_of(prepared)
    twice = pl.concat([rows, rows[4:5], rows[1:2]])  # rows 6 and 7 repeat rows 4 and 1
    (violation,) = violations_of(check_bars, twice.lazy(), SCHEMA, file="p.parquet", at_once=at_once)
    assert (violation.code, violation.row, violation.count, violation.file) == ("E-KEY-DUP", 6, 2, "p.parquet")
    assert violation.key == "A 2024-01-04T21:00:00+00:00"
    assert "row 4" in str(violation)


@pytest.mark.parametrize("at_once", [1, 2, 3, 1_000])
@pytest.mark.parametrize("null", ["timestamp", "decision_instant"])
def test_a_null_instant_hides_no_key_that_repeats(
    null: str, at_once: int, prepared: PreparedData, violations_of: Any
) -> None:
    rows = rows_of(prepared)
    twice = pl.concat([rows, rows[1:2]]).with_columns(pl.when(pl.int_range(pl.len()) != 4).then(null))
    found = violations_of(check_bars, twice.lazy(), SCHEMA, file=None, at_once=at_once)
    assert [(violation.code, violation.row) for violation in found] == [("E-TS-NULL", 4), ("E-KEY-DUP", 6)]


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_bars_by_symbol_have_the_same_slices_and_no_key_twice(
    at_once: int, prepared: PreparedData, violations_of: Any
) -> None:
    by_symbol = rows_of(prepared).sort("symbol", "timestamp")
    bars = check_bars(by_symbol.lazy(), SCHEMA, file=None, at_once=at_once)
    closes = [datetime(2024, 1, day, 21, tzinfo=UTC) for day in (2, 3, 4)]
    assert bars.slices.rows() == [(close, close, 2) for close in closes]
    twice = pl.concat([by_symbol, by_symbol[1:2]])
    (violation,) = violations_of(check_bars, twice.lazy(), SCHEMA, file=None, at_once=at_once)
    assert (violation.code, violation.row, violation.count) == ("E-KEY-DUP", 6, 1)


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_the_offenders_of_all_parts_are_counted_together(
    at_once: int, prepared: PreparedData, violations_of: Any
) -> None:
    broken = rows_of(prepared).with_columns(volume=pl.when(pl.int_range(pl.len()) > 1).then(-1.0).otherwise("volume"))
    (violation,) = violations_of(check_bars, broken.lazy(), SCHEMA, file=None, at_once=at_once)
    assert (violation.code, violation.row, violation.count, len(violation.samples)) == ("E-PX-NEGVOL", 2, 4, 4)


def test_a_lazy_frame_that_claims_an_order_it_does_not_have_loses_no_row_in_silence(prepared: PreparedData) -> None:
    lying = rows_of(prepared)[[4, 5, 0, 1, 2, 3]].with_columns(pl.col("timestamp").set_sorted()).lazy()
    with pytest.raises(CorruptDatasetError, match="sorted"):
        list(PolarsDataFeed(lying, chunk=1))


def test_a_file_that_changes_after_it_was_checked_is_noticed(prepared: PreparedData, tmp_path: Any) -> None:
    rows_of(prepared).write_parquet(tmp_path / "bars.parquet")
    feed = PolarsDataFeed(tmp_path / "bars.parquet")
    rows_of(prepared)[:5].write_parquet(tmp_path / "bars.parquet")
    with pytest.raises(CorruptDatasetError, match=r"bars\.parquet"):
        list(feed)


def test_context_that_is_shown_with_other_bars_must_be_known_by_then(prepared: PreparedData) -> None:
    earlier = prepared.context_data.with_columns(pl.col("vix_available_at") - timedelta(days=1))
    feed = PolarsDataFeed(prepared.asset_data, earlier, context_columns=["vix"])
    assert [context["vix"] for _, _, context in feed] == [13.0, 14.0, 14.0]
