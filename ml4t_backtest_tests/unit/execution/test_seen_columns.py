"""decision_, entry_ and exit_ columns: what the deciding slice and the fill bars showed."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from worlds import DAYS, Step, actions, bars, run

from ml4t_backtest import BacktestResult, ConfigError

VIX = pl.DataFrame({"timestamp": DAYS[:6], "vix": [20.0, 21.0, 22.0, None, 24.0, 25.0]})


def world(prices: dict[str, list[Any]]) -> pl.DataFrame:
    """Return bars with a signal `score` (slice / 8, +10 for B) and an indicator `atr` (100 x slice, +10 for B)."""
    frame = bars(prices)
    slice_number = pl.col("timestamp").replace_strict({day: float(i) for i, day in enumerate(DAYS)})
    of_b = pl.when(pl.col("symbol") == "B").then(10.0).otherwise(0.0)
    return frame.with_columns(score=slice_number / 8 + of_b, atr=slice_number * 100 + of_b)


def seen_run(
    prices: dict[str, list[Any]], plan: dict[int, Step], *, chunk: str | int = "1mo", **engine: Any
) -> BacktestResult:
    feed = {
        "signal_columns": ["score"],
        "indicator_columns": ["atr"],
        "context_data": VIX,
        "context_columns": ["vix"],
        "context_available_at": "market_close",
        "chunk": chunk,
    }
    return run(world(prices), plan, feed=feed, **engine)


def seen(result: BacktestResult, number: int = 0) -> dict[str, Any]:
    moments, names = ("decision", "entry", "exit"), ("score", "atr", "vix")
    row = result.trades.row(number, named=True)
    return {moment: tuple(row[f"{moment}_{name}"] for name in names) for moment in moments}


def test_trade_shows_what_was_to_be_seen_at_decision_entry_and_exit() -> None:
    result = seen_run({"A": [10] * 6}, {0: lambda s: s.buy("A", 1), 3: lambda s: s.sell("A", 1)})
    # Decided on slice 0, filled in slice 1; sold in slice 4. The exit's own decision is not a column.
    assert seen(result) == {"decision": (0.0, 0.0, 20.0), "entry": (0.125, 100.0, 21.0), "exit": (0.5, 400.0, 24.0)}


def test_columns_follow_the_published_ones_in_a_fixed_order() -> None:
    result = seen_run({"A": [10] * 6}, {})
    assert result.trades.is_empty()
    expected = [f"{moment}_{name}" for moment in ("decision", "entry", "exit") for name in ("score", "atr")]
    expected += [f"{moment}_vix" for moment in ("decision", "entry", "exit")]
    assert result.trades.columns[-9:] == expected
    assert set(result.trades.schema.dtypes()[-9:]) == {pl.Float64}


@pytest.mark.parametrize("chunk", [1, 2, "1mo"])
def test_a_decision_in_a_later_chunk_shows_the_row_of_its_own_slice(chunk: str | int) -> None:
    plan: dict[int, Step] = {3: lambda s: s.submit_batch(["A", "B"], [0.0, 1.0])}
    result = seen_run({"A": [10] * 6, "B": [10] * 6}, plan, chunk=chunk)
    assert seen(result)["decision"] == (10.375, 310.0, None)
    assert seen(result)["entry"] == (10.5, 410.0, 24.0)


@pytest.mark.parametrize("chunk", [1, 2, 3, "1mo"])
def test_decision_in_an_earlier_chunk_than_the_fill_is_remembered(chunk: str | int) -> None:
    # A has no bar in slices 1 and 2: decided in slice 0, filled in slice 3, sold in slice 5.
    prices = {"A": [10, None, None, 10, 10, 10], "B": [10] * 6}
    result = seen_run(prices, {0: lambda s: s.buy("A", 1), 4: lambda s: s.sell("A", 1)}, chunk=chunk)
    assert seen(result) == {"decision": (0.0, 0.0, 20.0), "entry": (0.375, 300.0, None), "exit": (0.625, 500.0, 25.0)}


def test_each_symbol_shows_its_own_values() -> None:
    plan = {0: lambda s: (s.buy("B", 1), s.buy("A", 1)), 1: lambda s: (s.close_position("A"), s.close_position("B"))}
    result = seen_run({"A": [10] * 4, "B": [10] * 4}, plan)
    shown = {row["symbol"]: row["entry_score"] for row in result.trades.iter_rows(named=True)}
    assert shown == {"A": 0.125, "B": 10.125}


def test_symbol_without_a_bar_in_the_deciding_slice_showed_nothing_there() -> None:
    prices = {"A": [10, None, 10, 10], "B": [10] * 4}
    result = seen_run(prices, {1: lambda s: s.buy("A", 1)})
    assert seen(result)["decision"] == (None, None, 21.0)
    assert seen(result)["entry"] == (0.25, 200.0, 22.0)


def test_open_row_shows_no_exit() -> None:
    result = seen_run({"A": [10] * 4}, {0: lambda s: s.buy("A", 1)})
    assert seen(result)["exit"] == (None, None, None)


def test_scale_in_shows_the_first_decision_and_entry() -> None:
    plan = {0: lambda s: s.buy("A", 1), 1: lambda s: s.buy("A", 1), 3: lambda s: s.close_position("A")}
    result = seen_run({"A": [10] * 6}, plan)
    assert (seen(result)["decision"][0], seen(result)["entry"][0], seen(result)["exit"][0]) == (0.0, 0.125, 0.5)


def test_partial_exits_show_their_own_exit() -> None:
    plan = {0: lambda s: s.buy("A", 3), 1: lambda s: s.sell("A", 1), 3: lambda s: s.sell("A", 1)}
    result = seen_run({"A": [10] * 6}, plan)
    assert result.trades["exit_score"].to_list() == [0.25, 0.5, None]
    assert result.trades["entry_score"].to_list() == [0.125] * 3


def test_signal_that_was_not_known_is_null() -> None:
    frame = world({"A": [10] * 4}).with_columns(score=pl.when(pl.col("score") > 0.0).then(pl.col("score")))
    result = run(frame, {0: lambda s: s.buy("A", 1)}, feed={"signal_columns": ["score"], "indicator_columns": ["atr"]})
    row = result.trades.row(0, named=True)
    assert (row["decision_score"], row["entry_score"]) == (None, 0.125)


def test_decision_shows_what_was_known_at_the_decision_not_what_came_later() -> None:
    # A prediction about slice 0 that becomes known at the open of slice 2.
    signals = pl.DataFrame({"timestamp": DAYS[:1], "symbol": ["A"], "score": [0.9]}).with_columns(
        available_at=pl.lit("2024-01-04 14:30:00").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="UTC")
    )
    plan = {1: lambda s: s.buy("A", 1), 2: lambda s: s.sell("A", 1)}
    feed = {"signals_data": signals, "signal_columns": ["score"]}
    row = run({"A": [10] * 5}, plan, feed=feed).trades.row(0, named=True)
    assert (row["decision_score"], row["entry_score"], row["exit_score"]) == (None, 0.9, 0.9)


@pytest.mark.parametrize("stranger", [False, True])
def test_cash_in_lieu_shows_the_context_of_its_slice_whatever_else_happens_in_it(stranger: bool) -> None:
    plan: dict[int, Step] = {0: lambda s: s.buy("A", 7)}
    if stranger:
        plan[2] = lambda s: s.buy("B", 1)
    split = actions(("A", DAYS[2], "split", 1.5))
    result = seen_run({"A": [15, 15, 10, 10], "B": [10] * 4}, plan, corporate_actions=split)
    row = result.trades.row(0, named=True)
    assert row["exit_reason"] == "corporate_action"
    assert row["exit_vix"] == 22.0


def test_states_show_the_context_of_their_slices() -> None:
    result = seen_run({"A": [10] * 6}, {})
    assert result.portfolio_states["vix"].to_list() == [20.0, 21.0, 22.0, None, 24.0, 25.0]


@pytest.mark.parametrize(
    ("name", "copy"),
    [("price", "entry_price"), ("reason", "exit_reason"), ("timestamp_", None), ("decision_timestamp", "exit_dec")],
)
def test_a_signal_whose_copy_would_take_the_name_of_a_trade_column_is_refused(name: str, copy: str | None) -> None:
    frame = bars({"A": [10, 10]}).with_columns(pl.lit(1.0).alias(name))
    if copy is None:
        assert f"entry_{name}" in run(frame, {}, feed={"signal_columns": [name]}).trades.columns
        return
    with pytest.raises(ConfigError, match=f"column '{name}' would be {copy}.* in trades"):
        run(frame, {}, feed={"signal_columns": [name]})


def test_a_context_column_with_the_name_of_a_state_is_refused() -> None:
    context = {"context_data": VIX.rename({"vix": "equity"}), "context_columns": ["equity"]}
    with pytest.raises(ConfigError, match="context column 'equity' is something else in portfolio_states"):
        run(bars({"A": [10, 10]}), {}, feed={**context, "context_available_at": "market_close"})
