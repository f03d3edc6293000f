"""Figures of a run: what a trade is, and what is not worth a figure."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from worlds import Step, bars, run

from ml4t_backtest import BacktestResult
from ml4t_backtest.reporting.metrics import annual_return, longest_drawdown, sharpe_ratio


def in_parts() -> BacktestResult:
    """Position 1: 10 bought at 10; 4 sold at 15, 6 at 8. Position 2: 5 bought at 8, 2 sold at 9, 3 still held at 9."""
    plan: dict[int, Step] = {
        0: lambda s: s.buy("A", 10),
        1: lambda s: s.sell("A", 4),
        2: lambda s: s.sell("A", 6),
        3: lambda s: s.buy("A", 5),
        4: lambda s: s.sell("A", 2),
    }
    return run({"A": [10, 10, 15, 8, 8, 9]}, plan)


def test_a_trade_is_a_round_trip_and_its_parts_are_exits() -> None:
    metrics = in_parts().metrics
    # Rows: 4 x 5 = 20, 6 x -2 = -12, 2 x 1 = 2, and 3 x 1 = 3 still open.
    assert in_parts().trades["pnl_net"].to_list() == [20.0, -12.0, 2.0, 3.0]
    assert (metrics["num_trades"], metrics["num_exits"], metrics["num_open_trades"]) == (1, 3, 1)
    # The round trip earned 20 - 12; that one of its exits lost does not make it half a winner.
    assert (metrics["expectancy"], metrics["hit_rate"], metrics["profit_factor"]) == (8.0, 1.0, None)
    # Entered in slice 1, gone in slice 3.
    assert metrics["average_holding_bars"] == 2.0
    assert metrics["pnl_net"] == 13.0


def test_round_trips_that_lose_count_against_those_that_gain() -> None:
    plan: dict[int, Step] = {
        step: (lambda s: s.buy("A", 10)) if step % 2 == 0 else (lambda s: s.close_position("A")) for step in range(4)
    }
    metrics = run({"A": [10, 10, 13, 13, 12]}, plan).metrics
    # 10 x 3 and 10 x -1
    assert (metrics["num_trades"], metrics["num_exits"], metrics["hit_rate"]) == (2, 2, 0.5)
    assert (metrics["expectancy"], metrics["profit_factor"]) == (10.0, 3.0)


@pytest.mark.parametrize(("sessions", "expected"), [(0, None), (1, None), (20, None), (21, 1.02**12 - 1), (252, 0.02)])
def test_less_than_a_month_is_not_annualised(sessions: int, expected: float | None) -> None:
    # 252 / 21 = 12
    assert annual_return(1.02, sessions) == (None if expected is None else pytest.approx(expected, rel=1e-12))


def test_a_ruined_account_has_no_annual_return() -> None:
    assert annual_return(0.0, 252) is None
    assert annual_return(-0.5, 252) is None


def test_a_run_of_few_sessions_says_what_it_earned_but_not_per_year() -> None:
    metrics = run({"A": [10, (10, 11, 9, 9), 11]}, {0: lambda s: s.buy("A", 100)}).metrics
    assert metrics["total_return"] == pytest.approx(0.1)
    assert (metrics["annual_return"], metrics["calmar_ratio"]) == (None, None)


def test_a_fall_is_as_long_as_from_its_high_to_the_level_regained() -> None:
    # The high of 120 at 1 is regained at 4: 3 sessions; the one of 125 at 4 not within 2.
    assert longest_drawdown([100, 120, 90, 110, 125, 120, 121]) == 3
    # Never regained: to the end.
    assert longest_drawdown([100, 99, 98, 97]) == 3
    assert longest_drawdown([100, 100, 101, 101]) == 0


def test_what_is_traded_and_kept_gives_turnover_and_the_cost_it_could_bear() -> None:
    plan: dict[int, Step] = {0: lambda s: s.buy("A", 100), 1: lambda s: s.close_position("A")}
    # Every weekday from 2023-07-05 to 2023-08-31 is a session.
    days = [day for day in (date(2023, 7, 5) + timedelta(n) for n in range(58)) if day.weekday() < 5]
    metrics = run(bars({"A": [10.0] * 2 + [11.0] * 40}, days), plan, initial_capital=10_000.0).metrics
    # Bought for 1,000, sold for 1,100: 2,100 traded, 100 kept.
    assert metrics["turnover"] == 2_100.0
    assert metrics["break_even_cost"] == pytest.approx(100 / 2_100, rel=1e-12)
    # 42 sessions: 10,000 at the end of two, 10,100 of forty.
    mean = (2 * 10_000 + 40 * 10_100) / 42
    assert metrics["annual_turnover"] == pytest.approx(2_100 / mean * 252 / 42, rel=1e-12)


def test_time_in_the_market_counts_moments_with_a_position() -> None:
    plan: dict[int, Step] = {0: lambda s: s.buy("A", 10), 2: lambda s: s.close_position("A")}
    # Held after slices 1 and 2 of 5.
    assert run({"A": [10, 10, 10, 10, 10]}, plan).metrics["time_in_market"] == 2 / 5


def test_payoff_and_system_quality_of_a_gain_of_thirty_and_a_loss_of_ten() -> None:
    plan: dict[int, Step] = {
        step: (lambda s: s.buy("A", 10)) if step % 2 == 0 else (lambda s: s.close_position("A")) for step in range(4)
    }
    metrics = run({"A": [10, 10, 13, 13, 12]}, plan).metrics
    assert metrics["payoff_ratio"] == 3.0
    # sqrt(2) x mean 10 / sample deviation sqrt(800)
    assert metrics["system_quality_number"] == pytest.approx(0.5, rel=1e-12)


def test_returns_that_are_all_the_same_have_no_spread_to_divide_by() -> None:
    # In floating point the mean of three times 0.1 is 0.10000000000000002.
    assert sharpe_ratio([0.1, 0.1, 0.1]) is None
