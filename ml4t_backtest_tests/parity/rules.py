"""Which scenarios differ from a peer when no profile is chosen, and by which knobs of its profile."""

from __future__ import annotations

from parity.environments import PEERS, Peer
from parity.scenarios import BACKTESTING, BACKTRADER, SCENARIOS, VECTORBT, ZIPLINE, Scenario

NAMED: dict[str, dict[str, tuple[str, ...]]] = {
    BACKTRADER: {
        "costs_slippage_beyond_the_bar": ("slip_cap",),
        "stop_limit_closes_below_the_limit": ("stop_limit",),
        "trailing_stop_by_amount": ("mark_source",),
        "trailing_stop_buys": ("mark_source",),
        "bracket_target_gapped_then_stop": ("gap_first",),
        "bracket_stop_on_entry_bar": ("entry_bar_check", "child_lag"),
        "bracket_target_on_entry_bar": ("entry_bar_check", "child_lag"),
        "bracket_entry_below_stop": ("entry_bar_check", "child_lag"),
        "bracket_limit_entry": ("entry_bar_check", "child_lag"),
        "bracket_stop_entry_target_same_bar": ("entry_bar_check", "child_lag"),
        "bracket_stop_entry_stop_same_bar": ("entry_bar_check", "child_lag"),
        "bracket_trailing": ("mark_source", "child_lag"),
        "cash_first_too_large": ("cash_check", "failed_order_cost"),
        "cash_one_symbol": ("cash_check", "failed_order_cost"),
        "cash_buy_then_sell": ("cash_check", "failed_order_cost"),
        "cash_sale_restores": ("cash_check", "failed_order_cost"),
        "cash_flip_refused": ("cash_check",),
        "cash_limit_before_market": ("order_sequence",),
    },
    BACKTESTING: {
        "costs_percentage_slippage": ("slip_on",),
        "costs_slippage_beyond_the_bar": ("slip_on",),
        "costs_both_on_a_flip": ("slip_on",),
        "costs_of_scaling": ("slip_on",),
        "stop_limit_gapped_back": ("stop_limit",),
        "stop_limit_closes_below_the_limit": ("stop_limit",),
        "stop_limit_falls_back": ("stop_limit",),
        "bracket_target_gapped_then_stop": ("gap_first",),
        "bracket_limit_entry": ("entry_bar_check",),
        "bracket_stop_entry_stop_same_bar": ("entry_bar_check",),
        "bracket_with_costs": ("slip_on",),
    },
}
# Whole families: another fill price for every order.
EVERYWHERE = {VECTORBT: ("fill_at",), ZIPLINE: ("fill_at", "trigger_on")}
# What zipline's other price leaves equal: orders that never fill, and bars whose prices are all the same.
EQUAL_ALL_THE_SAME = {
    ZIPLINE: {"limit_buy_untouched", "stop_buy_untouched", "cash_buy_then_sell", "cash_sell_then_buy"},
    VECTORBT: set[str](),
}


def pairs() -> list[tuple[Peer, Scenario]]:
    """Return every peer with every scenario it replays."""
    return [(PEERS[name], each) for name in PEERS for each in SCENARIOS if name in each.peers]


def knobs_needed(peer: Peer, scenario: Scenario) -> tuple[str, ...]:
    """Return the knobs without which a scenario differs from a peer; empty where our own rules agree with it."""
    name = scenario.tape.name
    if peer.name in EVERYWHERE:
        return () if name in EQUAL_ALL_THE_SAME[peer.name] else EVERYWHERE[peer.name]
    return NAMED[peer.name].get(name, ())
