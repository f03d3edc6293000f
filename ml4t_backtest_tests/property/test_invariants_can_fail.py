"""Every invariant notices the defect it is there for: a result with one thing changed breaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

# Each of these files brings its invariants along.
from property import (  # noqa: F401
    test_invariants_of_fills,
    test_invariants_of_money,
    test_invariants_of_orders,
    test_invariants_of_trades,
)
from property.invariant import INVARIANTS
from property.lives import Life, lives
from property.scenes import scene

Defect = Callable[[Life], Life]


def _changed(table: str, **columns: Any) -> Defect:
    """Return what writes other values into columns of a table: expressions, cast to the column's type."""

    def defect(life: Life) -> Life:
        rows = life.result.tables()[table]
        kinds = rows.schema
        written = rows.with_columns(
            (value if isinstance(value, pl.Expr) else pl.lit(value)).cast(kinds[name]).alias(name)
            for name, value in columns.items()
        )
        return replace(life, result=replace(life.result, **{table: written}))

    return defect


def _rows(table: str, kept: Callable[[pl.DataFrame], pl.DataFrame]) -> Defect:
    """Return what keeps some rows of a table, or puts them in another order."""

    def defect(life: Life) -> Life:
        return replace(life, result=replace(life.result, **{table: kept(life.result.tables()[table])}))

    return defect


def _worlds(**changes: Any) -> Defect:
    """Return what tells the invariants of another world than the one that was lived in."""
    return lambda life: replace(life, scene=replace(life.scene, world=replace(life.world, **changes)))


def _off(table: str, *names: str) -> Defect:
    """Return what adds 1 to columns."""
    return _changed(table, **{name: pl.col(name) + 1 for name in names})


def _lines(**changes: Any) -> Defect:
    """Return what claims that every line of the tape said something else."""

    def defect(life: Life) -> Life:
        placed = {
            order_id: each._replace(line=replace(each.line, **{n: f(each.line) for n, f in changes.items()}))
            for order_id, each in life.placed.items()
        }
        return replace(life, placed=placed)

    return defect


def _nothing_placed(life: Life) -> Life:
    """All orders are said to be the engine's own."""
    return replace(life, placed={})


def _cancelled_at_once(life: Life) -> Life:
    """The tape is said to cancel its first order in the slice after it."""
    tape = dict(life.scene.tape)
    if not life.placed:
        return life
    first = life.placed[min(life.placed)]
    cancels = [line for lines in tape.values() for line in lines if line.action == "cancel"]
    cancel = replace(cancels[0] if cancels else first.line, action="cancel", nth=0)
    return replace(
        life,
        scene=replace(life.scene, tape={**tape, first.now: (*tape[first.now], cancel)}),
        placed={
            order_id: each._replace(now=each.now - 1) if order_id == min(life.placed) else each
            for order_id, each in life.placed.items()
        },
    )


OPENING_FIRST = _rows("fills", lambda rows: rows.sort("timestamp", "phase", "side", "fill_id"))
REVERSED = {table: _rows(table, lambda rows: rows.reverse()) for table in ("fills", "portfolio_states", "trades")}
ONE_LESS = {table: _rows(table, lambda rows: rows.head(-1)) for table in ("fills", "orders", "trades")}
YEAR = timedelta(days=365)

DEFECTS: dict[str, Defect] = {
    # Money
    "test_cash_is_capital_less_what_was_bought_and_charged_plus_flows": _off("portfolio_states", "cash"),
    "test_equity_is_cash_plus_what_is_held_at_its_last_closes": _off("portfolio_states", "equity"),
    "test_leverage_is_of_equity_and_null_without_any": _off("portfolio_states", "gross_leverage"),
    "test_results_of_trades_and_interest_add_up_to_the_gain": _off("trades", "pnl_net"),
    "test_gross_result_costs_dividends_and_fees_make_the_net_result": _off("trades", "total_cost"),
    "test_gross_result_is_the_way_from_raw_entry_to_raw_exit": _off("trades", "pnl_gross"),
    "test_costs_of_trades_are_the_costs_of_the_fills": _off("trades", "entry_commission"),
    "test_slippage_is_the_distance_from_the_raw_price_and_never_a_gift": _off("fills", "slippage"),
    "test_slippage_follows_its_formula_up_to_the_limit": _changed("fills", price=pl.col("price") * 1.5),
    "test_commission_follows_its_formula_over_all_fills_of_an_order": _off("fills", "commission"),
    "test_a_cash_account_is_below_zero_only_by_costs_of_reducing_orders": _changed(
        "fills", price=pl.col("price") * 3.0
    ),
    "test_money_freed_inside_a_bar_buys_nothing_in_that_slice": _changed("fills", price=pl.col("price") * 3.0),
    "test_a_margin_account_opens_only_what_initial_margin_allows": _changed("fills", quantity=pl.col("quantity") * 9.0),
    "test_dividends_go_to_whoever_held_before_the_open": _off("cash_flows", "amount"),
    "test_borrow_fees_are_of_the_shorts_at_the_close_before": _off("cash_flows", "amount"),
    "test_interest_is_of_cash_overnight_and_never_of_debt": _off("cash_flows", "amount"),
    "test_trades_carry_every_dividend_and_fee_once": _off("trades", "dividends"),
    "test_cash_in_lieu_pays_exactly_the_fraction_that_a_split_leaves": _off("cash_flows", "amount"),
    # Fills
    "test_nothing_fills_without_a_bar_or_outside_of_it": _changed("fills", raw_price=pl.col("raw_price") * 2.0),
    "test_fills_at_the_open_or_close_have_its_price_and_its_instant": _off("fills", "raw_price"),
    "test_a_limit_order_never_fills_worse_than_its_limit": _changed(
        "fills", price=pl.when(pl.col("side") == "buy").then(pl.col("price") * 9.0).otherwise(pl.col("price") / 9.0)
    ),
    "test_a_limit_order_fills_at_the_open_or_at_its_limit": _changed("fills", raw_price=pl.col("raw_price") * 1.01),
    "test_a_stop_never_fills_better_than_the_worse_of_open_and_stop": _changed(
        "fills", raw_price=pl.col("raw_price") * 0.9
    ),
    "test_a_stop_order_does_not_fill_before_its_stop_was_touched": _lines(
        stop=lambda line: None if line.stop is None else line.stop * (8 if line.action == "buy" else 1) / 4
    ),
    "test_a_trailing_stop_keeps_its_distance_from_the_best_price_before_the_bar": _changed(
        "fills",
        raw_price=pl.when(pl.col("side") == "buy").then(pl.col("raw_price") * 0.5).otherwise(pl.col("raw_price") * 2.0),
    ),
    "test_a_market_order_fills_at_an_open_and_waits_for_nothing_but_volume": _changed("fills", phase="close"),
    "test_a_market_order_that_could_fill_does_not_expire_or_stay": _changed("orders", status="expired"),
    "test_a_market_on_close_order_fills_at_the_next_close_or_not_at_all": _changed("fills", phase="open"),
    "test_volume_taken_from_a_bar_keeps_to_the_cap": _off("fills", "quantity"),
    "test_impact_has_no_price_in_a_bar_without_volume": lambda life: replace(
        life, scene=replace(life.scene, extras={"slippage": None})
    ),
    "test_time_in_force_ends_when_it_says": _lines(tif=lambda line: "day"),
    "test_nothing_fills_before_it_was_decided_or_in_the_deciding_slice": _changed(
        "fills", decision_timestamp=pl.col("timestamp")
    ),
    "test_time_never_runs_backwards": REVERSED["portfolio_states"],
    "test_phases_of_a_slice_come_in_their_order": REVERSED["fills"],
    # Orders
    "test_orders_that_only_reduce_never_open": _nothing_placed,
    "test_a_cash_account_is_never_short": _changed("fills", quantity=pl.col("quantity") + pl.col("fill_id")),
    "test_whole_share_accounts_trade_and_hold_whole_shares": _changed("fills", quantity=pl.col("quantity") + 0.5),
    "test_positions_are_opened_in_whole_lots": _off("fills", "quantity"),
    "test_reducing_orders_go_first_at_the_open": OPENING_FIRST,
    "test_an_order_fills_what_its_record_says_and_no_more_than_asked": _off("orders", "filled_quantity"),
    "test_every_order_ends_and_one_that_did_not_fill_says_why": _changed("orders", status="working"),
    "test_every_line_of_the_tape_is_accounted_for": ONE_LESS["orders"],
    "test_nothing_fills_after_its_order_has_ended": _changed("orders", last_timestamp=pl.col("last_timestamp") - YEAR),
    "test_a_cancelled_order_does_not_fill_after_the_cancelling_slice": _cancelled_at_once,
    "test_a_bracket_never_fills_more_than_its_entry_opened": _changed(
        "fills", quantity=pl.col("quantity") * pl.col("fill_id")
    ),
    "test_a_position_is_never_left_with_protection_of_one_that_is_gone": _changed(
        "fills", decision_timestamp=pl.col("decision_timestamp") - pl.col("fill_id") * YEAR
    ),
    "test_a_short_is_refused_by_name_in_a_cash_account": _changed("orders", reason="short_not_allowed"),
    "test_limits_on_positions_hold_whenever_something_opens": _changed("fills", symbol=pl.col("fill_id")),
    "test_after_the_greatest_drawdown_nothing_is_opened_any_more": _changed("portfolio_states", equity=1.0),
    # Trades and states
    "test_everything_is_finite_or_a_documented_null": _changed("trades", pnl_net=float("inf")),
    "test_an_exit_is_null_when_and_only_when_the_trade_is_open": _changed("trades", exit_price=None),
    "test_positions_counted_from_fills_and_splits_are_those_of_the_states": _off("portfolio_states", "num_positions"),
    "test_open_trades_are_the_positions_at_the_end": ONE_LESS["trades"],
    "test_exits_of_trades_are_the_reducing_parts_of_fills": _off("trades", "exit_price"),
    "test_entries_of_trades_are_the_opening_parts_of_fills": _off("trades", "entry_price"),
    "test_a_position_lives_from_flat_to_flat_under_one_number": _off("fills", "position_id"),
    "test_side_and_times_of_a_trade_are_those_of_its_first_entry": _changed("trades", side="short"),
    "test_holding_periods_count_the_symbols_own_bars_and_calendar_days": _off("trades", "holding_period_bars"),
    "test_adverse_and_favourable_excursion_enclose_the_return": _off("trades", "max_adverse_pct"),
    "test_excursions_take_in_every_bar_between_and_nothing_that_never_was": _off("trades", "max_favorable_pct"),
    "test_a_time_exit_is_exact": _off("trades", "holding_period_bars"),
    "test_targets_and_stops_of_an_only_entry_exit_at_their_levels": _changed(
        "trades",
        take_profit_level=pl.col("take_profit_level") * pl.when(pl.col("side") == "long").then(2.0).otherwise(0.5),
    ),
    "test_an_exit_is_decided_by_a_signal_or_it_has_no_decision": _changed("trades", exit_decision_timestamp=None),
    "test_no_position_outlives_its_symbol": _worlds(delisting_after=1),
    "test_settlements_pay_the_declared_price_or_the_last_close": _off("fills", "raw_price"),
    "test_returns_follow_from_equity": _off("portfolio_states", "period_return"),
    "test_every_slice_has_a_state_until_the_account_is_ruined": _changed("portfolio_states", equity=-1.0),
    "test_a_trade_is_ambiguous_only_where_something_protected_it": _changed("trades", ambiguous_bar=True),
}


@pytest.fixture(scope="module")
def some_lives() -> Sequence[Life]:
    """Return lives in which everything that a defect needs has happened."""
    return lives(range(150))


@pytest.mark.parametrize("name", INVARIANTS)
def test_an_invariant_notices_its_defect(name: str, some_lives: Sequence[Life]) -> None:
    law, defect = INVARIANTS[name], DEFECTS[name]
    assert not any(any(law(life)) for life in some_lives)
    noticed = [complaint for life in some_lives for complaint in law(defect(life))]
    assert noticed, f"{name} lets its defect pass"
    assert {complaint.split()[0].rstrip(":") for complaint in noticed} <= TABLES


TABLES = {"trades", "fills", "orders", "cash_flows", "states", "daily_returns", "portfolio_states"}


def test_every_defect_belongs_to_an_invariant() -> None:
    assert sorted(DEFECTS) == sorted(INVARIANTS)


def test_a_scene_is_the_same_every_time() -> None:
    assert [str(scene(number)) for number in range(50)] == [str(scene(number)) for number in range(50)]
