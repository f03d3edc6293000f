"""`history`: the last bars of a symbol, never a later one, across chunks, on the basis of the present."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, Mode, Slices, actions, bars, closes, rows, run, run_on, script

from ml4t_backtest import PolarsDataFeed, Strategy, StrategyError
from ml4t_backtest.strategy.history import REMEMBERED_SLICES

WORLD = {"A": [10, 11, 12, 13, 14, 15], "B": [20, None, 22, None, 24, 25]}
CHUNKS = [1, 2, 4, "1mo"]


def told(symbol: str, n: int, **options: Any) -> list[list[float]]:
    """Return the closes that `history(symbol, n)` gives at each slice of WORLD."""
    seen: list[list[float]] = []
    plan = {i: lambda s: seen.append(s.history(symbol, n)["close"].to_list()) for i in range(6)}
    run(options.pop("world", WORLD), plan, **options)
    return seen


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("mode", ["batch", "symbol"])
def test_history_gives_the_last_bars_up_to_the_present_slice_however_chunks_fall(chunk: Any, mode: Mode) -> None:
    assert told("A", 3, feed={"chunk": chunk}, mode=mode) == [
        [10],
        [10, 11],
        [10, 11, 12],
        [11, 12, 13],
        [12, 13, 14],
        [13, 14, 15],
    ]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_history_of_a_symbol_that_halts_is_of_its_own_bars(chunk: Any) -> None:
    assert told("B", 2, feed={"chunk": chunk}) == [[20], [20], [20, 22], [20, 22], [22, 24], [24, 25]]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_history_asked_for_late_and_deeper_each_time_reaches_back_to_the_first_slice(chunk: Any) -> None:
    seen: dict[int, list[float]] = {}

    def look(slice_: int, n: int) -> Any:
        return lambda s: seen.setdefault(slice_, s.history("A", n)["close"].to_list())

    run(WORLD, {3: look(3, 2), 4: look(4, 4), 5: look(5, 100)}, feed={"chunk": chunk})
    assert seen == {3: [12, 13], 4: [11, 12, 13, 14], 5: [10, 11, 12, 13, 14, 15]}


def test_history_reads_the_past_of_a_file_as_of_a_frame(tmp_path: Any) -> None:
    plain = PolarsDataFeed(bars(WORLD), bar_label="session")
    pl.concat([chunk.frame for chunk in plain.chunks()]).with_columns(pl.col("symbol").cast(pl.String)).write_parquet(
        tmp_path / "prepared.parquet"
    )
    seen: list[list[float]] = []
    feed = PolarsDataFeed(tmp_path / "prepared.parquet", chunk=2)
    run_on(feed, script({5: lambda s: seen.append(s.history("B", 3)["close"].to_list())}))
    assert seen == [[22, 24, 25]]


def test_history_of_an_unknown_symbol_has_no_bars_and_the_columns_of_any_other() -> None:
    frames: list[pl.DataFrame] = []
    run(WORLD, {5: lambda s: frames.extend([s.history("Z", 3), s.history("A", 3)])})
    assert frames[0].is_empty()
    assert frames[0].columns == frames[1].columns


def test_history_carries_signals_and_indicators_as_they_were_shown() -> None:
    frame = bars({"A": [10, 11, 12]}).with_columns(score=pl.col("close") / 64, atr=pl.col("close") / 16)
    seen: list[pl.DataFrame] = []
    columns = {"signal_columns": ["score"], "indicator_columns": ["atr"], "chunk": 1}
    run(frame, {2: lambda s: seen.append(s.history("A", 2))}, feed=columns)
    assert seen[0].select("timestamp", "score", "atr").rows() == [
        (closes(1), 11 / 64, 11 / 16),
        (closes(2), 12 / 64, 12 / 16),
    ]


SPLIT_WORLD = {"A": [100, (102, 104, 98, 103), 26, 27], "B": [50, 50, 50, 50]}
FOUR_FOR_ONE = actions(("A", DAYS[2], "split", 4.0))


@pytest.mark.parametrize("chunk", CHUNKS)
def test_history_puts_bars_from_before_a_split_on_the_present_basis_and_knows_no_later_split(chunk: Any) -> None:
    seen: dict[int, pl.DataFrame] = {}
    plan = {i: lambda s, i=i: seen.setdefault(i, s.history("A", 3)) for i in range(4)}
    run(SPLIT_WORLD, plan, feed={"chunk": chunk}, corporate_actions=FOUR_FOR_ONE)
    columns = ("open", "high", "low", "close", "volume")
    # The day before, nothing of the split is known.
    assert seen[1].select(columns).rows() == [(100, 100, 100, 100, 1_000), (102, 104, 98, 103, 1_000)]
    # From its day on: 104 / 4 = 26, 1,000 x 4 = 4,000 shares.
    assert seen[2].select(columns).rows() == [
        (25, 25, 25, 25, 4_000),
        (25.5, 26, 24.5, 25.75, 4_000),
        (26, 26, 26, 26, 1_000),
    ]
    assert seen[3]["close"].to_list() == [25.75, 26.0, 27.0]


@pytest.mark.parametrize("adjustment", ["split", "total_return"])
def test_history_leaves_prices_alone_that_contain_the_split_already(adjustment: str) -> None:
    seen: list[list[float]] = []
    plan = {3: lambda s: seen.append(s.history("A", 4)["close"].to_list())}
    run(SPLIT_WORLD, plan, corporate_actions=FOUR_FOR_ONE, adjustment=adjustment)
    assert seen == [[100, 103, 26, 27]]


def test_two_splits_add_up_and_dividends_change_no_price() -> None:
    seen: list[list[float]] = []
    events = actions(("A", DAYS[1], "split", 2.0), ("A", DAYS[2], "split", 0.25), ("A", DAYS[2], "dividend", 1.0))
    plan = {2: lambda s: seen.append(s.history("A", 3)["close"].to_list())}
    run({"A": [64, 32, 128]}, plan, corporate_actions=events)
    # 64 / 2 / 0.25 = 128; 32 / 0.25 = 128.
    assert seen == [[128, 128, 128]]


def test_slices_of_the_warm_up_belong_to_history_and_earlier_ones_do_not() -> None:
    seen: list[list[float]] = []
    # Two calendar days before the 5th is the 3rd: slices 1 and 2 are the warm-up.
    feed = {"start": DAYS[3], "warm_up_days": 2, "chunk": 1}
    run(WORLD, {0: lambda s: seen.append(s.history("A", 10)["close"].to_list())}, feed=feed)
    assert seen == [[11, 12, 13]]


class LooksInWarmUp(Strategy):
    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_warm_up(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        self.seen.append(self.history("A", 2)["close"].to_list())

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


def test_history_can_be_asked_for_in_the_warm_up() -> None:
    strategy = LooksInWarmUp()
    run_on(PolarsDataFeed(bars(WORLD), bar_label="session", start=DAYS[2], warm_up_days=10), strategy)
    assert strategy.seen == [[10], [10, 11]]


def plain_slices(count: int) -> Slices:
    first = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
    moments = [datetime.fromtimestamp(first + 86_400 * i, UTC) for i in range(count)]
    return Slices([(moment, rows({"A": float(i + 1)}), {}) for i, moment in enumerate(moments)])


def test_history_of_any_other_feed_goes_back_as_far_as_it_remembers() -> None:
    seen: list[list[float]] = []
    plan = {599: lambda s: seen.append(s.history("A", REMEMBERED_SLICES)["close"].to_list())}
    run_on(plain_slices(600), script(plan))
    assert seen == [[float(i) for i in range(101, 601)]]


def test_history_of_any_other_feed_refuses_to_go_further() -> None:
    with pytest.raises(StrategyError, match="read once only: history gives 500 bars, 501"):
        run_on(plain_slices(3), script({1: lambda s: s.history("A", 501)}))


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3", None])
def test_history_of_no_number_of_bars_is_refused(n: Any) -> None:
    with pytest.raises(StrategyError, match="whole number of bars from 1"):
        run(WORLD, {0: lambda s: s.history("A", n)})


class LooksAtStart(LooksInWarmUp):
    def on_start(self) -> None:
        self.history("A", 1)


def test_history_before_the_first_slice_is_an_error() -> None:
    with pytest.raises(StrategyError, match="from the first slice on"):
        run_on(PolarsDataFeed(bars(WORLD), bar_label="session"), LooksAtStart())


def test_changing_a_history_changes_nothing() -> None:
    seen: list[list[float]] = []

    def meddle(strategy: Strategy) -> None:
        frame = strategy.history("A", 2)
        frame[0, "close"] = 99.0
        seen.append(strategy.history("A", 2)["close"].to_list())

    run(WORLD, {1: meddle})
    assert seen == [[10, 11]]


def test_a_day_of_the_calendar_is_what_the_warm_up_counts_also_over_the_end_of_summer_time() -> None:
    # New York opens at 13:30 UTC on Friday 2024-11-01 and at 14:30 UTC on Monday the 4th.
    stamps = [datetime(2024, 11, 1, 13, 31, tzinfo=UTC), datetime(2024, 11, 4, 14, 31, tzinfo=UTC)]
    minutes = pl.concat([rows({"A": 10.0}).with_columns(timestamp=pl.lit(stamp)) for stamp in stamps])
    feed = PolarsDataFeed(minutes, frequency="1m", start=date(2024, 11, 4), warm_up_days=3)
    assert len(feed) == 2
