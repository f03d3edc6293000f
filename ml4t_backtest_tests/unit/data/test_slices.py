"""Any feed as chunks: order and keys of a user's own feed are checked, and row order does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import BacktestError, DataFeed, DataValidationError, PolarsDataFeed
from ml4t_backtest.core.chunk import Chunk, slice_offsets
from ml4t_backtest.core.instants import to_instant
from ml4t_backtest.core.market import Market
from ml4t_backtest.data.slices import chunks_of

MONDAY, TUESDAY, WEDNESDAY = (datetime(2024, 1, day, 21, tzinfo=UTC) for day in (8, 9, 10))


def rows(*symbols: str, **columns: Any) -> pl.DataFrame:
    count = len(symbols)
    plain = {"symbol": list(symbols), "open": [10.0] * count, "high": [11.0] * count, "low": [9.0] * count}
    return pl.DataFrame({**plain, "close": [10.0] * count, "volume": [1.0] * count, **columns})


class OwnFeed:
    """A user's feed: the slices it was given."""

    def __init__(self, *slices: tuple[Any, ...]) -> None:
        self.slices = slices

    def __iter__(self) -> Iterator[Any]:
        return iter(self.slices)


def chunked(*slices: tuple[Any, ...], market: Market | None = None) -> list[Chunk]:
    return list(chunks_of(OwnFeed(*slices), market or Market([])))


def closes_by_symbol(chunk: Chunk, market: Market) -> dict[str, float]:
    """Look every symbol up the way the broker does: by its id."""
    market.enter(chunk, 0)
    market.move_to(0)
    rows = {symbol: market.row_of(id_) for symbol, id_ in market.ids.items()}
    return {symbol: chunk.frame["close"][row] for symbol, row in rows.items() if row is not None}


# --- a user's feed --------------------------------------------------------------------------------------------------


def test_anything_that_yields_slices_is_a_feed() -> None:
    assert isinstance(OwnFeed(), DataFeed)


def test_each_slice_becomes_a_chunk_with_its_context() -> None:
    first, second = chunked((MONDAY, rows("A", "B"), {"vix": 13.0}), (TUESDAY, rows("A"), {}))
    assert (first.num_slices, first.timestamps.tolist(), first.offsets.tolist()) == (1, [to_instant(MONDAY)], [0, 2])
    assert first.context_at(0) == {"vix": 13.0}
    assert second.context_at(0) == {}
    assert second.batch(0)["symbol"].cast(pl.String).to_list() == ["A"]


def test_a_bar_opens_when_the_slice_before_was_complete_unless_the_feed_says() -> None:
    opened = pl.Series([WEDNESDAY - timedelta(hours=6.5)])
    _, second, third = chunked(
        (MONDAY, rows("A"), {}), (TUESDAY, rows("A"), {}), (WEDNESDAY, rows("A", open_instant=opened), {})
    )
    assert second.opened.tolist() == [to_instant(MONDAY)]
    assert third.opened.tolist() == [to_instant(WEDNESDAY - timedelta(hours=6.5))]
    assert second.decided.tolist() == [to_instant(TUESDAY)]


def test_the_order_of_rows_in_a_slice_does_not_matter() -> None:
    closes = {"C": 10.3, "A": 10.1, "B": 10.2}
    seen = []
    for order in permutations(closes):
        market = Market([])
        (chunk,) = chunked((MONDAY, rows(*order, close=[closes[symbol] for symbol in order]), {}), market=market)
        seen.append(chunk.batch(0).select(pl.col("symbol").cast(pl.String), "close").rows())
        assert closes_by_symbol(chunk, market) == closes
    assert seen == [[("A", 10.1), ("B", 10.2), ("C", 10.3)]] * 6


def test_a_symbol_that_comes_later_is_found_by_its_own_row() -> None:
    market = Market([])
    _, second = chunked(
        (MONDAY, rows("B", "C"), {}), (TUESDAY, rows("C", "A", "B", close=[10.3, 10.1, 10.2]), {}), market=market
    )
    assert closes_by_symbol(second, market) == {"A": 10.1, "B": 10.2, "C": 10.3}
    assert second.batch(0)["symbol"].cast(pl.String).to_list() == ["A", "B", "C"]


def test_a_symbol_without_a_bar_is_not_found() -> None:
    market = Market([])
    _, second = chunked((MONDAY, rows("A", "B"), {}), (TUESDAY, rows("B"), {}), market=market)
    assert closes_by_symbol(second, market) == {"B": 10.0}


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["B", "A"])])
def test_symbols_may_be_categories_in_any_order(dtype: Any) -> None:
    (chunk,) = chunked((MONDAY, rows("B", "A").with_columns(pl.col("symbol").cast(dtype)), {}))
    assert chunk.batch(0)["symbol"].cast(pl.String).to_list() == ["A", "B"]


@pytest.mark.parametrize("later", [MONDAY, MONDAY - timedelta(microseconds=1), datetime(2023, 1, 1, tzinfo=UTC)])
def test_slices_out_of_time_order_are_refused_with_both_moments(later: datetime) -> None:
    with pytest.raises(DataValidationError, match="2024-01-08 21:00:00") as caught:
        chunked((MONDAY, rows("A"), {}), (later, rows("A"), {}))
    assert caught.value.violations[0].code == "E-TS-ORDER"


def test_a_symbol_twice_in_one_slice_is_refused() -> None:
    with pytest.raises(DataValidationError, match="2024-01-08 21:00:00") as caught:
        chunked((MONDAY, rows("A", "B", "A"), {}))
    assert caught.value.violations[0].code == "E-KEY-DUP"


def test_slices_before_the_disorder_are_delivered_first() -> None:
    chunks = chunks_of(OwnFeed((TUESDAY, rows("A"), {}), (MONDAY, rows("A"), {})), Market([]))
    assert next(chunks).timestamps.tolist() == [to_instant(TUESDAY)]
    with pytest.raises(DataValidationError):
        next(chunks)


def test_both_instants_of_a_fall_back_hour_are_two_slices() -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("America/New_York")
    first, second = datetime(2024, 11, 3, 1, 30, tzinfo=zone), datetime(2024, 11, 3, 1, 30, tzinfo=zone, fold=1)
    chunks = chunked((first, rows("A"), {}), (second, rows("A"), {}))
    assert chunks[1].timestamps[0] - chunks[0].timestamps[0] == 3_600_000_000
    with pytest.raises(DataValidationError):
        chunked((second, rows("A"), {}), (first, rows("A"), {}))


@pytest.mark.parametrize(
    "piece",
    [
        (datetime(2024, 1, 8, 21), rows("A"), {}),  # no zone: which instant is it?
        (date(2024, 1, 8), rows("A"), {}),
        ("2024-01-08", rows("A"), {}),
        (MONDAY, rows("A").drop("symbol"), {}),
        (MONDAY, rows("A").drop("close"), {}),
        (MONDAY, rows("A").with_columns(close=pl.lit("x")), {}),
        (MONDAY, rows("A").with_columns(symbol=pl.lit(None, dtype=pl.String)), {}),
        (MONDAY, {"symbol": ["A"]}, {}),
        (MONDAY, rows("A")),
    ],
)
def test_a_slice_that_is_none_is_refused_in_this_packages_words(piece: tuple[Any, ...]) -> None:
    with pytest.raises(BacktestError):
        chunked(piece)


# --- this package's feed --------------------------------------------------------------------------------------------


def test_this_packages_feed_is_handed_through_chunk_by_chunk(make_bars: Any) -> None:
    feed = PolarsDataFeed(make_bars(), chunk=2)
    chunks = list(chunks_of(feed, Market(list(feed.symbols))))
    assert [chunk.num_slices for chunk in chunks] == [2, 1]


# --- chunks ---------------------------------------------------------------------------------------------------------


def test_a_slice_is_the_rows_of_one_timestamp() -> None:
    stamps = pl.Series([MONDAY, MONDAY, TUESDAY, WEDNESDAY, WEDNESDAY, WEDNESDAY], dtype=pl.Datetime("us", "UTC"))
    timestamps, offsets = slice_offsets(stamps)
    assert timestamps.tolist() == [to_instant(moment) for moment in (MONDAY, TUESDAY, WEDNESDAY)]
    assert offsets.tolist() == [0, 2, 3, 6]
    assert offsets.dtype == timestamps.dtype == np.int64


def test_no_rows_are_no_slices() -> None:
    timestamps, offsets = slice_offsets(pl.Series([], dtype=pl.Datetime("us", "UTC")))
    assert (timestamps.tolist(), offsets.tolist()) == ([], [0])


def test_a_batch_is_a_view_of_its_chunks_rows(make_bars: Any) -> None:
    (chunk,) = PolarsDataFeed(make_bars()).chunks()
    assert_frame_equal(pl.concat([chunk.batch(index) for index in range(3)]), chunk.frame)


def test_changing_a_context_changes_no_later_one() -> None:
    (chunk,) = chunked((MONDAY, rows("A"), {"vix": 13.0}))
    chunk.context_at(0)["vix"] = 99.0
    assert chunk.context_at(0) == {"vix": 13.0}
