"""Portfolio states and daily returns, and the view a strategy has of its account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, closes, run, run_on, script

from ml4t_backtest import BacktestResult, ConfigError, PolarsDataFeed, Strategy


@dataclass(frozen=True)
class FlatFee:
    """Five per fill, whatever its size."""

    def charge(self, quantity: float, price: float) -> float:
        return 5.0


def column(result: BacktestResult, name: str) -> list[Any]:
    return result.portfolio_states[name].to_list()


def test_state_is_taken_after_fills_and_marks_of_its_slice() -> None:
    result = run({"A": [10, (12, 15, 11, 14), 13]}, {0: lambda s: s.buy("A", 20)})
    assert column(result, "timestamp") == [closes(0), closes(1), closes(2)]
    # 1,000 - 20 x 12; 20 x 14 and 20 x 13.
    assert column(result, "cash") == [1_000.0, 760.0, 760.0]
    assert column(result, "positions_value") == [0.0, 280.0, 260.0]
    assert column(result, "equity") == [1_000.0, 1_040.0, 1_020.0]
    assert column(result, "num_positions") == [0, 1, 1]
    assert column(result, "gross_leverage") == [0.0, 280 / 1_040, 260 / 1_020]
    assert column(result, "net_leverage") == [0.0, 280 / 1_040, 260 / 1_020]


def test_returns_are_against_the_row_before_and_the_initial_capital() -> None:
    result = run({"A": [10, (10, 11, 10, 11), 9.5]}, {0: lambda s: s.buy("A", 100)})
    assert column(result, "equity") == [1_000.0, 1_100.0, 950.0]
    assert column(result, "period_return") == pytest.approx([0.0, 0.1, 950 / 1_100 - 1], rel=1e-12)
    assert column(result, "cumulative_return") == pytest.approx([0.0, 0.1, -0.05], rel=1e-12)


def test_symbol_without_a_bar_keeps_its_last_mark() -> None:
    world = {"A": [10, (10, 12, 10, 12), None, None, 8], "B": [1] * 5}
    result = run(world, {0: lambda s: s.buy("A", 10)})
    assert column(result, "positions_value") == [0.0, 120.0, 120.0, 120.0, 80.0]


def test_positions_of_several_symbols_add_up() -> None:
    world = {"A": [10, 11], "B": [20, 22], "C": [30, 33]}
    result = run(world, {0: lambda s: (s.buy("C", 1), s.buy("A", 2), s.buy("B", 3))})
    assert column(result, "positions_value") == [0.0, 33.0 + 22.0 + 66.0]
    assert column(result, "num_positions") == [0, 3]


def intraday(prices: dict[datetime, float]) -> PolarsDataFeed:
    """Return 15-minute bars of A that do not move inside."""
    frame = pl.DataFrame({"timestamp": list(prices), "symbol": "A", "volume": 1.0})
    values = [pl.Series(name, list(prices.values())) for name in ("open", "high", "low", "close")]
    return PolarsDataFeed(frame.with_columns(values), frequency="15m")


def at(day: int, hour: int, minute: int) -> datetime:
    return datetime(2024, 1, day, hour, minute, tzinfo=UTC)


def test_daily_return_is_against_the_last_state_of_the_session_before() -> None:
    prices = {
        at(2, 14, 45): 10.0,
        at(2, 15, 0): 10.0,
        at(2, 15, 15): 11.0,
        at(3, 14, 45): 12.0,
        at(3, 15, 0): 9.0,
        at(4, 14, 45): 9.9,
    }
    result = run_on(intraday(prices), script({0: lambda s: s.buy("A", 100)}))
    assert column(result, "equity") == pytest.approx([1_000, 1_000, 1_100, 1_200, 900, 990])
    # First session against the initial capital, the second against 1,100, the third against 900.
    daily = [0.0, 0.0, 0.1, 1_200 / 1_100 - 1, 900 / 1_100 - 1, 0.1]
    assert column(result, "daily_return") == pytest.approx(daily, rel=1e-12)
    assert column(result, "period_return") == pytest.approx(
        [0, 0, 0.1, 1_200 / 1_100 - 1, -0.25, 0.1], rel=1e-12, abs=1e-15
    )


def test_daily_returns_are_the_last_state_of_each_session() -> None:
    prices = {at(2, 20, 45): 10.0, at(2, 21, 0): 10.0, at(3, 14, 45): 12.0, at(3, 21, 0): 11.0}
    daily = run_on(intraday(prices), script({0: lambda s: s.buy("A", 100)})).daily_returns
    assert daily["session"].to_list() == [date(2024, 1, 2), date(2024, 1, 3)]
    assert daily["timestamp"].to_list() == [at(2, 21, 0), at(3, 21, 0)]
    assert daily["equity"].to_list() == [1_000.0, 1_100.0]
    assert daily["daily_return"].to_list() == pytest.approx([0.0, 0.1], rel=1e-12)


def test_bars_after_midnight_utc_belong_to_the_session_they_trade_in() -> None:
    # Sydney opens at 10:00 local time, 23:00 UTC of the day before.
    stamps = [datetime(2024, 1, 2, 23, 15, tzinfo=UTC), datetime(2024, 1, 3, 0, 15, tzinfo=UTC), at(3, 23, 15)]
    frame = pl.DataFrame({"timestamp": stamps, "symbol": "A", "volume": 1.0}).with_columns(
        pl.Series(name, [10.0, 11.0, 12.0]) for name in ("open", "high", "low", "close")
    )
    feed = PolarsDataFeed(frame, frequency="15m", calendar="XASX")
    daily = run_on(feed, script({})).daily_returns
    assert daily.select("session", "timestamp").rows() == [
        (date(2024, 1, 3), stamps[1]),
        (date(2024, 1, 4), stamps[2]),
    ]


def test_leverage_and_returns_are_null_where_equity_is_not_positive() -> None:
    # 6 - 1 - 5 = 0 cash and a share worth 1; selling it brings 1 and costs 5: -4.
    plan = {0: lambda s: s.buy("A", 1), 1: lambda s: s.sell("A", 1)}
    result = run({"A": [1, 1, 1, 1]}, plan, initial_capital=6.0, commission=FlatFee())
    # The account is ruined, which ends the run.
    assert column(result, "equity") == [6.0, 1.0, -4.0]
    assert column(result, "gross_leverage") == [0.0, 1.0, None]
    assert column(result, "net_leverage") == [0.0, 1.0, None]
    assert column(result, "period_return") == pytest.approx([0.0, 1 / 6 - 1, -5.0], rel=1e-12)
    assert column(result, "cumulative_return") == pytest.approx([0.0, 1 / 6 - 1, -4 / 6 - 1], rel=1e-12)


def test_warm_up_slices_have_no_states() -> None:
    result = run({"A": [10] * 6}, {}, feed={"start": DAYS[3], "warm_up_days": 30})
    assert column(result, "timestamp") == [closes(3), closes(4), closes(5)]


def test_run_without_orders_keeps_its_capital() -> None:
    result = run({"A": [10, 20, 5]}, {})
    assert column(result, "equity") == [1_000.0] * 3
    assert all(frame.is_empty() for frame in (result.trades, result.fills, result.orders, result.cash_flows))


# How often states are published

# Two half-hour slices a day. 2024-01-31 is a Wednesday, 2024-02-05 a Monday.
SPELL = [(1, 30), (1, 31), (2, 1), (2, 2), (2, 5)]
STAMPS = [datetime(2024, month, day, hour, tzinfo=UTC) for month, day in SPELL for hour in (15, 16)]
LEVELS = [10.0, 10.0, 11.0, 12.0, 15.0, 16.0, 20.0, 18.0, 9.0, 12.0]


def spell(frequency: str, **more: Any) -> BacktestResult:
    """Buys 100 for 10 each with all the cash in the second slice: equity is 100 x the level."""
    frame = pl.DataFrame({"timestamp": STAMPS, "symbol": "A", "volume": 1.0, "vix": LEVELS}).with_columns(
        pl.Series(name, LEVELS) for name in ("open", "high", "low", "close")
    )
    context = frame.select("timestamp", "vix")
    feed = PolarsDataFeed(
        frame.drop("vix"),
        context.with_columns(available_at="timestamp"),
        context_columns=["vix"],
        frequency="30m",
        chunk=more.pop("chunk", "1mo"),
    )
    return run_on(feed, script({0: lambda s: s.buy("A", 100)}), state_frequency=frequency, **more)


@pytest.mark.parametrize("chunk", [1, 3, "1mo"])
@pytest.mark.parametrize(
    ("frequency", "kept", "period_returns"),
    [
        ("session", [1, 3, 5, 7, 9], [0.0, 0.2, 16 / 12 - 1, 18 / 16 - 1, 12 / 18 - 1]),
        ("week", [7, 9], [18 / 10 - 1, 12 / 18 - 1]),  # Friday, Monday
        ("month", [3, 9], [0.2, 0.0]),  # 31 January, 5 February
    ],
)
def test_states_are_those_of_the_last_slices_with_returns_from_row_to_row(
    frequency: str, kept: list[int], period_returns: list[float], chunk: Any
) -> None:
    every, some = spell("slice"), spell(frequency, chunk=chunk)
    assert column(every, "equity") == [100.0 * level for level in LEVELS]
    assert column(some, "timestamp") == [STAMPS[index] for index in kept]
    assert some.portfolio_states.drop("period_return").equals(every.portfolio_states.drop("period_return")[kept])
    assert column(some, "period_return") == pytest.approx(period_returns, rel=1e-12, abs=1e-15)
    # 11.00 to 12.00 on 31 January against 10.00 the day before, whichever states are shown.
    assert column(every, "daily_return")[3] == pytest.approx(0.2, rel=1e-12)
    for name in ("daily_returns", "trades", "fills"):
        assert some.tables()[name].equals(every.tables()[name])
    assert {**some.metrics, "exposure": 0} == {**every.metrics, "exposure": 0}


def test_daily_returns_show_the_context_of_each_sessions_last_slice() -> None:
    assert spell("month").daily_returns["vix"].to_list() == [10.0, 12.0, 16.0, 18.0, 12.0]


@pytest.mark.parametrize("frequency", ["session", "week", "month"])
def test_the_last_state_is_the_one_after_positions_were_closed_at_the_end(frequency: str) -> None:
    result = spell(frequency, end_of_data="close", commission=FlatFee(), initial_capital=1_005.0)
    # 1,005 - 1,000 - 5 = 0; sold at 12: 1,200 - 5.
    assert (column(result, "equity")[-1], column(result, "num_positions")[-1]) == (1_195.0, 0)
    assert column(result, "timestamp")[-1] == STAMPS[-1]
    assert result.daily_returns["equity"][-1] == 1_195.0


@pytest.mark.parametrize("frequency", ["session", "week", "month"])
def test_the_slice_that_ruins_the_account_is_always_a_state(frequency: str) -> None:
    plan = {0: lambda s: s.buy("A", 1), 1: lambda s: s.sell("A", 1)}
    result = run({"A": [1] * 12}, plan, initial_capital=6.0, commission=FlatFee(), state_frequency=frequency)
    # 2, 3 and 4 January are Tuesday to Thursday of one week; the run ends on the 4th with 6 - 1 - 5 + 1 - 5 = -4.
    rows = {"session": [6.0, 1.0, -4.0], "week": [-4.0], "month": [-4.0]}
    assert column(result, "equity") == rows[frequency]
    assert column(result, "gross_leverage")[-1] is None
    assert result.daily_returns["equity"].to_list() == [6.0, 1.0, -4.0]


def test_an_unknown_state_frequency_is_refused() -> None:
    with pytest.raises(ConfigError, match="state_frequency must be one of slice, session, week, month, got 'day'"):
        run({"A": [10]}, {}, state_frequency="day")


# The view


def test_strategy_sees_equity_cash_and_positions_at_the_closes_of_its_slice() -> None:
    seen: list[tuple[float, float]] = []
    plan = {
        0: lambda s: (seen.append((s.equity, s.cash)), s.buy("A", 20)),
        1: lambda s: seen.append((s.equity, s.cash)),
    }
    run({"A": [10, (12, 15, 11, 14)]}, plan)
    assert seen == [(1_000.0, 1_000.0), (760.0 + 280.0, 760.0)]


def test_position_shows_quantity_average_price_and_market_value() -> None:
    seen: list[Any] = []
    plan = {
        0: lambda s: (seen.append(s.get_position("A")), s.buy("A", 20)),
        1: lambda s: seen.append(s.get_position("A")),
    }
    run({"A": [10, (12, 15, 11, 14)]}, plan)
    flat, held = seen
    assert not flat
    assert (flat.quantity, flat.market_price) == (0.0, 10.0)
    assert held
    assert (held.quantity, held.average_price, held.market_price) == (20.0, 12.0, 14.0)
    assert (held.market_value, held.unrealized_pnl) == (280.0, 40.0)


def test_position_of_an_unknown_symbol_or_one_without_a_bar_is_empty() -> None:
    seen: list[Any] = []
    world = {"A": [10, 10, 10], "B": [None, None, 5]}
    run(world, {0: lambda s: seen.extend([s.get_position("B"), s.get_position("Z")])})
    assert [(held.symbol, held.quantity, held.market_price) for held in seen] == [("B", 0.0, None), ("Z", 0.0, None)]
    assert not any(seen)


def test_all_positions_are_a_frame_in_symbol_order() -> None:
    seen: list[pl.DataFrame] = []
    plan = {
        0: lambda s: (seen.append(s.get_all_positions()), s.buy("C", 1), s.buy("A", 2)),
        1: lambda s: seen.append(s.get_all_positions()),
    }
    run({"A": [10, (10, 11, 10, 11)], "B": [1, 1], "C": [30, (30, 33, 30, 33)]}, plan)
    assert seen[0].is_empty()
    assert seen[0].columns == seen[1].columns == ["symbol", "quantity", "average_price", "market_price", "market_value"]
    assert seen[1].rows() == [("A", 2.0, 10.0, 11.0, 22.0), ("C", 1.0, 30.0, 33.0, 33.0)]


def test_position_quantities_are_aligned_with_the_symbols_asked_for() -> None:
    seen: list[list[float]] = []
    plan = {
        0: lambda s: (s.buy("C", 1), s.buy("A", 2)),
        1: lambda s: seen.extend(
            [
                s.position_quantities(["C", "Z", "B", "A", "C"]).tolist(),
                s.position_quantities(pl.Series(["A"])).tolist(),
            ]
        ),
    }
    run({name: [10, 10] for name in "ABC"}, plan)
    assert seen == [[1.0, 0.0, 0.0, 2.0, 1.0], [2.0]]


def test_what_was_handed_out_does_not_change_with_the_account() -> None:
    kept: list[Any] = []

    def keep(strategy: Strategy) -> None:
        kept.extend([strategy.get_position("A"), strategy.get_all_positions(), strategy.position_quantities(["A"])])
        strategy.close_position("A")

    run({"A": [10, 10, 10]}, {0: lambda s: s.buy("A", 5), 1: keep})
    assert kept[0].quantity == 5.0
    assert kept[1]["quantity"].to_list() == [5.0]
    assert kept[2].tolist() == [5.0]


def test_changing_what_was_handed_out_does_not_change_the_account() -> None:
    def meddle(strategy: Strategy) -> None:
        strategy.position_quantities(["A"])[:] = 99.0
        strategy.get_all_positions()[0, "quantity"] = 99.0
        with pytest.raises(AttributeError):
            strategy.get_position("A").quantity = 99.0
        with pytest.raises(AttributeError):
            strategy.cash = 1e9

    result = run({"A": [10, 10, 10]}, {0: lambda s: s.buy("A", 5), 1: meddle})
    assert result.trades["entry_quantity"].to_list() == [5.0]
    assert column(result, "cash") == [1_000.0, 950.0, 950.0]
