"""Bars that leave open in which order prices were reached: which trades are marked, and what they could have earned.

World, long: 10 shares bought at 100 with a stop at 95 and a target at 105; the next bar goes from 90 to 110. Slippage
is 1 % of the price, but a limit order never fills beyond its limit; commission is 1 per order and 0.1 % of the
notional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import Price, Step, run

from ml4t_backtest import BacktestResult, NoCommission, NoSlippage, PercentageSlippage
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.commission import PerShareCommission
from ml4t_backtest.execution.slippage import FixedSlippage, VolumeShareSlippage
from ml4t_backtest.reporting.summary import summary_rows
from ml4t_backtest.reporting.tearsheet import render_report

FLAT: Price = 100
BOTH: Price = (100, 110, 90, 100)


@dataclass(frozen=True)
class OneAndPerMille:
    """1 per order and 0.1 % of the notional."""

    def charge(self, quantity: float, notional: float) -> float:
        return 1.0 + 0.001 * notional


COSTS: dict[str, Any] = {"slippage": PercentageSlippage(0.01), "commission": OneAndPerMille()}
LONG: Step = lambda s: s.buy("A", 10, stop_loss=95, take_profit=105)  # noqa: E731
SHORT: Step = lambda s: s.sell("A", 10, stop_loss=105, take_profit=95)  # noqa: E731


def bracket(entry: Step, *bars: Price, path: str = "pessimistic", **more: Any) -> BacktestResult:
    options = {"intrabar_path": path, "initial_capital": 10_000.0, "account": MarginAccount(), **more}
    return run({"A": [FLAT, FLAT, *bars]}, {0: entry}, **options)


def ends(result: BacktestResult, number: int = 0) -> tuple[float | None, float | None]:
    row = result.trades.row(number, named=True)
    return row["pnl_net_pessimistic"], row["pnl_net_optimistic"]


@pytest.mark.parametrize("path", ["pessimistic", "optimistic", "ohlc", "olhc"])
def test_a_long_trade_tells_what_stop_and_target_would_have_earned(path: str) -> None:
    result = bracket(LONG, BOTH, path=path, **COSTS)
    # Entry: 10 at 101, slippage 10, commission 1 + 1.01. Stop: sold at 95 x 0.99 = 94.05, slippage 9.50, commission
    # 1 + 0.9405; 10 x (95 - 100) = -50. Target: sold at its limit of 105, no slippage, commission 1 + 1.05; +50.
    stop = -50 - (10 + 2.01) - (9.5 + 1.9405)
    target = 50 - (10 + 2.01) - 2.05
    assert ends(result) == (pytest.approx(stop, rel=1e-12), pytest.approx(target, rel=1e-12))
    assert result.trades["ambiguous_bar"].to_list() == [True]
    # The path above the open leads a long position to its target, the one below to its stop.
    assert result.trades["pnl_net"][0] == ends(result)[path in ("optimistic", "ohlc")]


@pytest.mark.parametrize("path", ["pessimistic", "optimistic", "ohlc", "olhc"])
def test_a_short_trade_tells_what_stop_and_target_would_have_earned(path: str) -> None:
    result = bracket(SHORT, BOTH, path=path, **COSTS)
    # Entry: 10 sold at 99, slippage 10, commission 1 + 0.99. Stop: bought at 105 x 1.01 = 106.05, slippage 10.50,
    # commission 1 + 1.0605; 10 x (100 - 105) = -50. Target: bought at its limit of 95, commission 1 + 0.95; +50.
    stop = -50 - (10 + 1.99) - (10.5 + 2.0605)
    target = 50 - (10 + 1.99) - 1.95
    assert ends(result) == (pytest.approx(stop, rel=1e-12), pytest.approx(target, rel=1e-12))
    # The path above the open leads a short position to its stop.
    assert result.trades["pnl_net"][0] == ends(result)[path in ("optimistic", "olhc")]


MODELS: list[dict[str, Any]] = [
    {"slippage": NoSlippage(), "commission": NoCommission()},
    COSTS,
    {"slippage": FixedSlippage(0.3), "commission": PerShareCommission(0.05, 2.0)},
    {"slippage": VolumeShareSlippage(0.2), "commission": OneAndPerMille()},
]


@settings(max_examples=60, deadline=None)
@given(
    is_long=st.booleans(),
    open_=st.floats(96.0, 104.0),
    below=st.floats(0.5, 20.0),
    above=st.floats(0.5, 20.0),
    on_entry_bar=st.booleans(),
    fractional=st.booleans(),
    costs=st.sampled_from(MODELS),
)
def test_reruns_under_either_path_earn_exactly_the_two_ends(
    is_long: bool,
    open_: float,
    below: float,
    above: float,
    on_entry_bar: bool,
    fractional: bool,
    costs: dict[str, Any],
) -> None:
    bar = (open_, open_ + above, open_ - below, open_)
    bars = [bar] if on_entry_bar else [FLAT, bar]
    quantity = 7.5 if fractional else 7.0
    entry: Step = lambda s: (s.buy if is_long else s.sell)(  # noqa: E731
        "A", quantity, stop_loss_percent=0.04, take_profit_percent=0.04
    )
    more = {**costs, "fractional": fractional, "account": MarginAccount(), "initial_capital": 10_000.0}
    runs = {
        path: run({"A": [FLAT, *bars]}, {0: entry}, intrabar_path=path, **more)
        for path in ("pessimistic", "optimistic", "ohlc", "olhc")
    }
    rerun = tuple(runs[path].trades["pnl_net"][0] for path in ("pessimistic", "optimistic"))
    assert all(ends(result) == rerun for result in runs.values())
    metrics = runs["ohlc"].metrics
    assert (metrics["pnl_net_pessimistic"], metrics["pnl_net_optimistic"]) == rerun
    assert rerun[0] <= rerun[1]
    assert runs["ohlc"].trades["ambiguous_bar"][0] or rerun[0] == rerun[1]


@pytest.mark.parametrize("bar", [(115, 118, 90, 116), (100, 104, 94, 100), (100, 105, 96, 100), (100, 104, 96, 100)])
def test_without_a_doubt_both_ends_are_the_result(bar: Price) -> None:
    result = bracket(LONG, bar, **COSTS)
    assert not result.trades["ambiguous_bar"].any()
    assert ends(result) == (result.trades["pnl_net"][0],) * 2
    assert result.metrics["num_ambiguous_trades"] == 0


def test_of_two_entries_only_the_exit_whose_stop_and_target_lie_in_the_bar_has_a_range() -> None:
    entry: Step = lambda s: (LONG(s), s.buy("A", 10, stop_loss=95))  # noqa: E731
    result = bracket(entry, BOTH)
    # 10 shares leave at 95 or 105, the other 10 at 95 either way.
    assert result.trades["pnl_net"].to_list() == [-50.0, -50.0]
    assert sorted([ends(result, 0), ends(result, 1)]) == [(-50.0, -50.0), (-50.0, 50.0)]


def test_both_brackets_in_one_bar_have_ranges_of_their_own() -> None:
    entry: Step = lambda s: (LONG(s), s.buy("A", 20, stop_loss=92, take_profit=108))  # noqa: E731
    result = bracket(entry, BOTH)
    assert [ends(result, 0), ends(result, 1)] == [(-50.0, 50.0), (-160.0, 160.0)]
    assert (result.metrics["pnl_net_pessimistic"], result.metrics["pnl_net_optimistic"]) == (-210.0, 210.0)


def test_shares_that_leave_later_keep_the_mark_but_have_one_result() -> None:
    entry: Step = lambda s: (LONG(s), s.buy("A", 10))  # noqa: E731
    result = bracket(entry, BOTH, 100)
    # The second ten have no bracket; they are still held, worth what they cost.
    assert result.trades.select("status", "ambiguous_bar").rows() == [("partial", True), ("open", True)]
    assert [ends(result, 0), ends(result, 1)] == [(-50.0, 50.0), (0.0, 0.0)]


def test_a_level_behind_an_entry_inside_the_bar_leaves_no_range() -> None:
    # Bought at 98 on the way down; the high of 106 above the target may lie before that.
    entry: Step = lambda s: s.buy("A", 10, limit=98, stop_loss=95, take_profit=105)  # noqa: E731
    result = run({"A": [FLAT, (100, 106, 97, 104), 104]}, {0: entry})
    assert result.trades["ambiguous_bar"].to_list() == [True]
    assert ends(result) == (None, None)
    # The totals take the result as it is.
    metrics = result.metrics
    assert (metrics["num_ambiguous_trades"], metrics["num_ambiguous_without_range"]) == (1, 1)
    assert metrics["pnl_net_pessimistic"] == metrics["pnl_net_optimistic"] == metrics["pnl_net"] == 60.0


def test_stop_and_target_both_reached_after_an_entry_inside_the_bar_have_a_range() -> None:
    # Bought at 98 on the way down to 94, below the stop; the close is above the target: both were reached.
    entry: Step = lambda s: s.buy("A", 10, limit=98, stop_loss=95, take_profit=105)  # noqa: E731
    for path, earned in (("pessimistic", -30.0), ("optimistic", 70.0)):
        result = run({"A": [FLAT, (100, 106, 94, 106)]}, {0: entry}, intrabar_path=path)
        assert result.trades["pnl_net"].to_list() == [earned]
        assert ends(result) == (-30.0, 70.0)


def test_an_exit_that_the_bar_has_no_volume_for_leaves_no_range() -> None:
    # Two entries of 4, and 6 shares of volume in the bar: 4 of the first leave, 2 of the second. The last 2 go on
    # working, and nobody knows where they would have been otherwise.
    entry: Step = lambda s: s.buy("A", 4, stop_loss=95, take_profit=105)  # noqa: E731
    result = run({"A": [FLAT, FLAT, FLAT, BOTH]}, {0: entry, 1: entry}, max_volume_share=0.006)
    assert result.trades["entry_quantity"].to_list() == [4.0, 2.0, 2.0]
    assert [ends(result, row) for row in range(3)] == [(-20.0, 20.0), (None, None), (None, None)]
    assert result.metrics["num_ambiguous_without_range"] == 2


def test_terminal_and_report_show_the_range_where_there_is_one() -> None:
    doubtful = bracket(LONG, BOTH)
    shown = dict(summary_rows(doubtful))
    assert (shown["Ambiguous trades"], shown["Ambiguous without a range"]) == ("1", "0")
    assert (shown["Net P&L"], shown["Net P&L, stops first"], shown["Net P&L, targets first"]) == (
        "-50.00",
        "-50.00",
        "50.00",
    )
    assert "Net P&amp;L, targets first</dt><dd>50.00" in render_report(doubtful, title="x")
    plain = dict(summary_rows(bracket(LONG, FLAT)))
    assert plain["Ambiguous trades"] == "0"
    assert "Net P&L, stops first" not in plain
