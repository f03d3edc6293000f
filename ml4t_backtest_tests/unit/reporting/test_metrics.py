"""Figures of a run: what a trade is, and what is not worth a figure."""

from __future__ import annotations

import pytest
from worlds import Step, run

from ml4t_backtest import BacktestResult
from ml4t_backtest.reporting.metrics import annual_return


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
