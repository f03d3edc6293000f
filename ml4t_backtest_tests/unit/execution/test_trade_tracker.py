"""Trades: one row per exit fill at average cost, with what the position lived through."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from worlds import DAYS, actions, closes, run

from ml4t_backtest import BacktestResult, PercentageCommission, PercentageSlippage

COSTS = {"slippage": PercentageSlippage(0.01), "commission": PercentageCommission(0.02)}


def trade(result: BacktestResult, number: int = 0) -> dict[str, Any]:
    return result.trades.row(number, named=True)


def excursions(row: dict[str, Any]) -> tuple[float, float]:
    return row["max_favorable_pct"], row["max_adverse_pct"]


def test_round_trip_is_one_closed_row() -> None:
    result = run({"A": [10, 10, 12, 12]}, {0: lambda s: s.buy("A", 5), 1: lambda s: s.sell("A", 5)})
    row = trade(result)
    assert result.trades.height == 1
    assert (row["status"], row["side"], row["exit_reason"]) == ("closed", "long", "signal")
    assert (row["decision_timestamp"], row["entry_timestamp"]) == (closes(0), closes(1))
    assert (row["exit_decision_timestamp"], row["exit_timestamp"]) == (closes(1), closes(2))
    assert (row["entry_price"], row["exit_price"], row["entry_quantity"]) == (10.0, 12.0, 5.0)
    assert (row["pnl_gross"], row["pnl_net"], row["pnl_percent"]) == (10.0, 10.0, 0.2)
    assert (row["holding_period_bars"], row["holding_period_days"]) == (1, 1.0)


def test_entry_costs_go_to_the_exits_pro_rata() -> None:
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 3), 2: lambda s: s.sell("A", 7)}
    result = run({"A": [10, 10, 20, 30]}, plan, **COSTS)
    # Entry: 10 x 10.10, commission 2 % of 101 = 2.02, slippage 1.00.
    assert result.trades["status"].to_list() == ["partial", "closed"]
    assert result.trades["position_id"].to_list() == [1, 1]
    assert result.trades["entry_commission"].to_list() == pytest.approx([0.606, 1.414], rel=1e-12)
    assert result.trades["entry_slippage"].to_list() == pytest.approx([0.3, 0.7], rel=1e-12)
    # Exits: 3 x 19.80 = 59.40 and 7 x 29.70 = 207.90; commission 2 % of them, slippage 3 x 0.20 and 7 x 0.30.
    assert result.trades["exit_commission"].to_list() == pytest.approx([1.188, 4.158], rel=1e-12)
    assert result.trades["exit_slippage"].to_list() == pytest.approx([0.6, 2.1], rel=1e-12)
    # Gross at raw prices: 3 x (20 - 10) and 7 x (30 - 10).
    assert result.trades["pnl_gross"].to_list() == pytest.approx([30.0, 140.0], rel=1e-12)
    assert result.trades["total_cost"].to_list() == pytest.approx([2.694, 8.372], rel=1e-12)
    assert result.trades["pnl_net"].to_list() == pytest.approx([27.306, 131.628], rel=1e-12)
    # Of an entry notional of 30.30 and 70.70.
    assert result.trades["pnl_percent"].to_list() == pytest.approx([27.306 / 30.3, 131.628 / 70.7], rel=1e-12)


def test_scale_in_averages_the_price_and_keeps_the_first_entry() -> None:
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.buy("A", 30), 2: lambda s: s.close_position("A")}
    row = trade(run({"A": [10, 10, 14, 20]}, plan))
    # (10 x 10 + 30 x 14) / 40 = 13
    assert (row["entry_price"], row["entry_quantity"], row["pnl_gross"]) == (13.0, 40.0, 280.0)
    assert (row["decision_timestamp"], row["entry_timestamp"]) == (closes(0), closes(1))
    assert (row["holding_period_bars"], row["holding_period_days"]) == (2, 2.0)


def test_exit_between_two_entries_leaves_average_cost_not_first_in_first_out() -> None:
    plan = {
        0: lambda s: s.buy("A", 10),
        1: lambda s: s.buy("A", 10),
        2: lambda s: s.sell("A", 10),
        3: lambda s: s.buy("A", 10),
        4: lambda s: s.sell("A", 20),
    }
    result = run({"A": [10, 10, 20, 20, 25, 30]}, plan)
    # 20 shares at 15 on average; 10 leave; 10 at 15 and 10 at 25 are 20 at 20.
    assert result.trades["entry_price"].to_list() == [15.0, 20.0]
    assert result.trades["pnl_gross"].to_list() == [50.0, 200.0]


def test_position_that_was_flat_starts_a_new_one() -> None:
    plan = {
        step: (lambda s: s.buy("A", 5)) if step % 2 == 0 else (lambda s: s.close_position("A")) for step in range(4)
    }
    result = run({"A": [10, 10, 11, 12, 13]}, plan)
    assert result.trades["position_id"].to_list() == [1, 2]
    assert result.trades["entry_price"].to_list() == [10.0, 12.0]
    assert result.trades["decision_timestamp"].to_list() == [closes(0), closes(2)]
    assert result.fills["position_id"].to_list() == [1, 1, 2, 2]


def test_rows_come_in_the_order_of_their_exits() -> None:
    plan = {0: lambda s: (s.buy("B", 1), s.buy("A", 1)), 1: lambda s: s.sell("B", 1), 2: lambda s: s.sell("A", 1)}
    result = run({"A": [10] * 4, "B": [10] * 4}, plan)
    assert result.trades["symbol"].to_list() == ["B", "A"]
    assert result.trades["trade_id"].to_list() == [1, 2]


def test_open_position_is_a_row_without_an_exit_valued_at_the_last_mark() -> None:
    result = run({"A": [10, 10, (11, 12, 11, 11.5)]}, {0: lambda s: s.buy("A", 4)}, **COSTS)
    row = trade(result)
    assert row["status"] == "open"
    for name in ("exit_timestamp", "exit_price", "exit_quantity", "exit_reason", "exit_decision_timestamp"):
        assert row[name] is None
    assert (row["exit_commission"], row["exit_slippage"]) == (0.0, 0.0)
    # 4 x (11.50 - 10); costs 2 % of 40.40 and 4 x 0.10.
    assert row["pnl_gross"] == pytest.approx(6.0, rel=1e-12)
    assert row["pnl_net"] == pytest.approx(6.0 - 0.808 - 0.4, rel=1e-12)
    assert (row["holding_period_bars"], row["holding_period_days"]) == (1, 1.0)


def test_open_rows_follow_the_exits_in_symbol_order() -> None:
    plan = {0: lambda s: (s.buy("C", 2), s.buy("B", 2), s.buy("A", 2)), 1: lambda s: s.sell("B", 1)}
    result = run({name: [10] * 3 for name in "ABC"}, plan)
    expected = [("B", "partial", 1.0), ("A", "open", 2.0), ("B", "open", 1.0), ("C", "open", 2.0)]
    assert result.trades.select("symbol", "status", "entry_quantity").rows() == expected


def test_holding_period_counts_bars_of_the_symbol_only() -> None:
    world = {"A": [10, 10, None, None, 10, 10], "B": [10] * 6}
    row = trade(run(world, {0: lambda s: s.buy("A", 1), 4: lambda s: s.sell("A", 1)}))
    # Entered on the 3rd; bars of A after it: 8th and 9th January. Calendar days: 3rd to 9th.
    assert (row["entry_timestamp"], row["exit_timestamp"]) == (closes(1), closes(5))
    assert (row["holding_period_bars"], row["holding_period_days"]) == (2, 6.0)
    assert (DAYS[1].day, DAYS[5].day) == (3, 9)


# Excursions


def test_entry_bar_counts_whole_because_the_open_filled() -> None:
    row = trade(run({"A": [10, (10, 13, 8, 10), 10]}, {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 10)}))
    assert excursions(row) == (pytest.approx(0.3), pytest.approx(-0.2))
    assert (row["max_favorable_excursion"], row["max_adverse_excursion"]) == (pytest.approx(30), pytest.approx(-20))


def test_exit_bar_counts_with_its_open_only() -> None:
    world = {"A": [10, 10, (11, 20, 1, 15)]}
    row = trade(run(world, {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 10)}))
    assert excursions(row) == (pytest.approx(0.1), 0.0)


def test_the_open_of_the_exit_bar_counts_where_a_stop_order_sells_inside_it() -> None:
    # Bought at 10; the bar of the exit opens at 12 and falls through the stop at 9.5: 15 and 8 are not its own.
    world = {"A": [10, 10, 10, (12, 15, 8, 9)]}
    row = trade(run(world, {0: lambda s: s.buy("A", 1), 1: lambda s: s.sell("A", 1, stop=9.5)}))
    assert (row["exit_price"], row["exit_reason"]) == (9.5, "signal")
    assert excursions(row) == (pytest.approx(0.2), pytest.approx(-0.05))


def test_bars_between_count_whole() -> None:
    world = {"A": [10, 10, (10, 14, 9, 10), (10, 11, 7, 10), 10]}
    row = trade(run(world, {0: lambda s: s.buy("A", 1), 3: lambda s: s.sell("A", 1)}))
    assert excursions(row) == (pytest.approx(0.4), pytest.approx(-0.3))


def test_bars_before_the_entry_do_not_count() -> None:
    world = {"A": [(10, 99, 1, 10), 10, 10]}
    row = trade(run(world, {0: lambda s: s.buy("A", 1), 1: lambda s: s.sell("A", 1)}))
    assert excursions(row) == (0.0, 0.0)


def test_bars_after_the_exit_do_not_count_for_the_next_position() -> None:
    world = {"A": [10, 10, (10, 99, 1, 10), 10, 10]}
    plan = {0: lambda s: s.buy("A", 1), 1: lambda s: s.sell("A", 1), 2: lambda s: s.buy("A", 1)}
    result = run(world, plan)
    assert excursions(trade(result, 0)) == (0.0, 0.0)
    assert excursions(trade(result, 1)) == (0.0, 0.0)


def test_exit_bar_of_a_partial_exit_counts_whole_for_the_rest() -> None:
    world = {"A": [10, 10, (10, 15, 6, 10), 10]}
    plan = {0: lambda s: s.buy("A", 2), 1: lambda s: s.sell("A", 1), 2: lambda s: s.sell("A", 1)}
    result = run(world, plan)
    assert excursions(trade(result, 0)) == (0.0, 0.0)
    assert excursions(trade(result, 1)) == (pytest.approx(0.5), pytest.approx(-0.4))


def test_gap_at_the_exit_widens_the_excursion() -> None:
    row = trade(run({"A": [10, 10, 6]}, {0: lambda s: s.buy("A", 1), 1: lambda s: s.sell("A", 1)}))
    assert excursions(row) == (0.0, pytest.approx(-0.4))


def test_excursions_are_of_raw_prices_whatever_the_costs() -> None:
    world = {"A": [10, (10, 12, 9, 10), 11]}
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 10)}
    assert excursions(trade(run(world, plan, **COSTS))) == (pytest.approx(0.2), pytest.approx(-0.1))


def test_excursions_of_a_scale_in_are_of_the_average_entry_and_reach_back_to_the_first() -> None:
    # 10 at 10 and 10 at 20: average 15. Extremes since the first fill: 8 and 21.
    world = {"A": [10, (10, 12, 8, 10), (20, 21, 19, 20), 18]}
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.buy("A", 10), 2: lambda s: s.close_position("A")}
    row = trade(run(world, plan))
    assert excursions(row) == (pytest.approx(21 / 15 - 1), pytest.approx(8 / 15 - 1))
    # 20 x 15 x (21 / 15 - 1) = 20 x 6
    assert row["max_favorable_excursion"] == pytest.approx(120.0)
    assert row["max_adverse_excursion"] == pytest.approx(-140.0)


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_excursions_reach_across_chunks(chunk: int) -> None:
    world = {"A": [10, (10, 12, 10, 10), (10, 10, 7, 10), 10, (10, 13, 9, 10), 10]}
    plan = {0: lambda s: s.buy("A", 1), 4: lambda s: s.sell("A", 1)}
    row = trade(run(world, plan, feed={"chunk": chunk}))
    assert excursions(row) == (pytest.approx(0.3), pytest.approx(-0.3))
    assert row["holding_period_bars"] == 4


# Corporate actions


def split(day: int, ratio: float) -> dict[str, pl.DataFrame]:
    return {"corporate_actions": actions(("A", DAYS[day], "split", ratio))}


def test_split_puts_a_trade_on_the_basis_of_its_exit() -> None:
    world = {"A": [30, (30, 36, 27, 33), 10, 12]}
    row = trade(run(world, {0: lambda s: s.buy("A", 4), 2: lambda s: s.sell("A", 12)}, **split(2, 3.0)))
    assert (row["entry_price"], row["entry_quantity"], row["exit_quantity"]) == (10.0, 12.0, 12.0)
    # 12 x (12 - 10); highs and lows before the split were 12 and 9 of today's shares.
    assert row["pnl_gross"] == 24.0
    assert excursions(row) == (pytest.approx(0.2), pytest.approx(-0.1))


def test_rows_that_left_before_a_split_keep_their_basis() -> None:
    plan = {0: lambda s: s.buy("A", 4), 1: lambda s: s.sell("A", 1), 2: lambda s: s.sell("A", 6)}
    result = run({"A": [20, 20, 20, 10]}, plan, **split(3, 2.0))
    assert result.trades.select("entry_price", "entry_quantity").rows() == [(20.0, 1.0), (10.0, 3.0 * 2)]


def test_split_without_fractions_makes_no_row_and_no_cash_flow() -> None:
    result = run({"A": [20, 20, 10]}, {0: lambda s: s.buy("A", 4)}, **split(2, 2.0))
    assert result.cash_flows.is_empty()
    assert result.trades.select("status", "entry_quantity", "entry_price").rows() == [("open", 8.0, 10.0)]
    assert result.portfolio_states["equity"].to_list() == [1_000.0] * 3


def test_half_a_share_left_over_by_a_3_for_2_split_is_paid_in_cash() -> None:
    # 7 x 1.5 = 10.5: 10 shares and half a share at the last close of 18, which is 12 on the new basis.
    world = {"A": [15, 15, (18, 18, 18, 18), 12.5]}
    result = run(world, {0: lambda s: s.buy("A", 7)}, **split(3, 1.5), **COSTS)
    flow = result.cash_flows.row(0, named=True)
    assert (flow["kind"], flow["amount"], flow["timestamp"], flow["position_id"]) == ("cash_in_lieu", 6.0, closes(3), 1)
    lieu, rest = result.trades.iter_rows(named=True)
    assert (lieu["status"], lieu["exit_reason"], lieu["exit_decision_timestamp"]) == (
        "partial",
        "corporate_action",
        None,
    )
    assert (lieu["entry_quantity"], lieu["exit_quantity"], lieu["exit_price"]) == (0.5, 0.5, 12.0)
    assert lieu["entry_price"] == pytest.approx(15 * 1.01 / 1.5, rel=1e-12)
    # Half of 10.5 new shares: 1 / 21 of the entry's 2.121 and 1.05; leaving costs nothing.
    assert lieu["entry_commission"] == pytest.approx(15 * 1.01 * 7 * 0.02 / 21, rel=1e-12)
    assert lieu["entry_slippage"] == pytest.approx(1.05 / 21, rel=1e-12)
    assert (lieu["exit_commission"], lieu["exit_slippage"]) == (0.0, 0.0)
    assert lieu["pnl_gross"] == pytest.approx(0.5 * (12 - 10), rel=1e-12)
    assert (rest["status"], rest["entry_quantity"]) == ("open", 10.0)


def test_reverse_split_that_leaves_no_whole_share_closes_the_position() -> None:
    # 5 x 0.1 = half a share at 2 / 0.1 = 20.
    result = run({"A": [2, 2, 20, 20]}, {0: lambda s: s.buy("A", 5)}, **split(2, 0.1))
    assert result.trades.select("status", "exit_quantity", "exit_price").rows() == [("closed", 0.5, 20.0)]
    assert result.cash_flows["amount"].to_list() == [10.0]
    assert result.portfolio_states["num_positions"].to_list() == [0, 1, 0, 0]
    assert result.portfolio_states["cash"].to_list() == [1_000.0, 990.0, 1_000.0, 1_000.0]


def test_position_after_one_closed_by_a_split_is_a_new_one() -> None:
    plan = {0: lambda s: s.buy("A", 5), 2: lambda s: s.buy("A", 1)}
    result = run({"A": [2, 2, 20, 20]}, plan, **split(2, 0.1))
    assert result.fills["position_id"].to_list() == [1, 2]
    assert result.trades["position_id"].to_list() == [1, 2]


def test_fractional_account_keeps_the_fraction() -> None:
    result = run({"A": [15, 15, 10]}, {0: lambda s: s.buy("A", 7)}, fractional=True, **split(2, 1.5))
    assert result.cash_flows.is_empty()
    assert result.trades.select("status", "entry_quantity").rows() == [("open", 10.5)]


def test_cash_in_lieu_on_a_day_without_a_bar_has_lived_through_the_bars_before_it() -> None:
    world = {"A": [15, 15, 15, None, 10, 10], "B": [1] * 6}
    lieu = trade(run(world, {0: lambda s: s.buy("A", 7)}, **split(3, 1.5)))
    # Entered in slice 1, one bar after it, none in slice 3.
    assert (lieu["exit_reason"], lieu["exit_timestamp"]) == ("corporate_action", closes(3))
    assert lieu["holding_period_bars"] == 1


def dividend(*rows: tuple[int, float]) -> dict[str, pl.DataFrame]:
    return {"corporate_actions": actions(*(("A", DAYS[day], "dividend", value) for day, value in rows))}


def test_dividend_is_shared_by_the_exits_after_it_pro_rata() -> None:
    plan = {0: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 4), 3: lambda s: s.sell("A", 6)}
    result = run({"A": [10] * 5}, plan, **dividend((2, 0.5)))
    assert result.trades["dividends"].to_list() == pytest.approx([2.0, 3.0])
    assert result.trades["pnl_net"].to_list() == pytest.approx([2.0, 3.0])


def test_shares_that_left_before_a_dividend_get_nothing_of_it() -> None:
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 4), 3: lambda s: s.sell("A", 6)}
    result = run({"A": [10] * 5}, plan, **dividend((3, 0.5)))
    assert result.trades["dividends"].to_list() == [0.0, 3.0]


def test_shares_sold_at_the_open_of_the_ex_date_get_the_dividend() -> None:
    plan = {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 10)}
    result = run({"A": [10] * 3}, plan, **dividend((2, 0.5)))
    assert result.trades["dividends"].to_list() == [5.0]


def test_shares_bought_at_the_open_of_the_ex_date_do_not_get_the_dividend() -> None:
    result = run({"A": [10] * 3}, {0: lambda s: s.buy("A", 10)}, **dividend((1, 0.5)))
    assert result.trades["dividends"].to_list() == [0.0]
    assert result.cash_flows.is_empty()


def test_scale_in_shares_the_pool_of_the_position() -> None:
    plan = {0: lambda s: s.buy("A", 10), 2: lambda s: s.buy("A", 10), 3: lambda s: s.sell("A", 5)}
    result = run({"A": [10] * 5}, plan, **dividend((2, 0.8)))
    # 8 received by the first ten; 5 of 20 shares leave with a quarter, the rest is with the open row.
    assert result.trades["dividends"].to_list() == pytest.approx([2.0, 6.0])
