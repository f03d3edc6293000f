"""Small tapes, declared: what happens, in which bars, with which orders, and which peers can be asked.

A bar is `open high low close`; bars are separated by commas. Every order is decided on slice 1 or later, because
backtesting.py shows its strategies no earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parity.tape import PRICES, Tape, TapeOrder

BACKTRADER, BACKTESTING, VECTORBT, ZIPLINE = "backtrader", "backtesting", "vectorbt", "zipline"
ALL = (BACKTRADER, BACKTESTING, VECTORBT, ZIPLINE)
# Who knows which kind of order: vectorbt has market orders and brackets in per cent, zipline has no brackets, and
# backtrader's brackets are prices, but for a trailing stop's distance.
PRICED = (BACKTRADER, BACKTESTING, ZIPLINE)
BRACKETS = (BACKTRADER, BACKTESTING)
TRAILING_BRACKETS = (BACKTRADER, VECTORBT)

SESSIONS = (
    *("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10"),
    *("2024-01-11", "2024-01-12", "2024-01-16", "2024-01-17", "2024-01-18"),
)


@dataclass(frozen=True)
class Scenario:
    """A tape, what it shows, and the peers that can replay it."""

    shows: str
    tape: Tape
    peers: tuple[str, ...]


def order(slice_: int, quantity: float = 0.0, *, symbol: str = "A", **terms: Any) -> TapeOrder:
    """Return an order decided on a slice."""
    return TapeOrder(slice_, symbol, quantity, **terms)


def scenario(
    name: str,
    shows: str,
    bars: str | dict[str, str],
    orders: Sequence[TapeOrder],
    peers: tuple[str, ...],
    **options: Any,
) -> Scenario:
    """Return a scenario over the first sessions of 2024."""
    by_symbol = {"A": bars} if isinstance(bars, str) else bars
    prices = {symbol: prices_of(text) for symbol, text in by_symbol.items()}
    length = len(next(iter(prices.values()))["open"])
    tape = Tape(name, list(SESSIONS[:length]), prices, list(orders), **options)
    return Scenario(shows, tape, peers)


def prices_of(text: str) -> dict[str, list[float]]:
    """Return the columns of bars written as text."""
    rows = [[float(price) for price in bar.split()] for bar in text.split(",")]
    return {name: [row[place] for row in rows] for place, name in enumerate(PRICES)}


PERCENTAGE = {"model": "percentage", "rate": 0.001}
SLIP = {"model": "percentage", "rate": 0.0005}

# Gaps at every open, so that no two candidates for a fill price are the same.
WALK = (
    "100 101 99 100.5, 101 102.5 100 102, 103 104 101.5 102.5, 102 103.5 100.5 101,"
    "100 102 98.5 99, 98 99.5 96.5 97, 97.5 100 97 99.5, 100 101.5 99 101"
)
# Long from slice 2 (open 103) at the latest; then quiet until the bar under test.
QUIET = "100 101 99 100.5, 101 102.5 100 102, 103 104 102 103.5, 103 104.5 102.5 104,"
LONG_10 = order(1, 10.0)

MARKET = [
    scenario("market_round_trip", "enter, hold, leave", WALK, [LONG_10, order(4, -10.0)], ALL),
    scenario("market_round_trip_close", "leave by closing the position", WALK, [LONG_10, order(4, close=True)], PRICED),
    scenario(
        "market_scale_in_partial_exits",
        "two entries, two exits",
        WALK,
        [LONG_10, order(2, 5.0), order(3, -8.0), order(5, -7.0)],
        ALL,
    ),
    scenario("market_short_round_trip", "sell short, cover", WALK, [order(1, -10.0), order(4, 10.0)], ALL, shorts=True),
    scenario(
        "market_flip",
        "long to short to long in one order each",
        WALK,
        [LONG_10, order(2, -25.0), order(4, 20.0)],
        ALL,
        shorts=True,
    ),
    scenario(
        "market_two_symbols",
        "two symbols, orders in the same slices",
        {"A": WALK, "B": QUIET + "104 105 103 104, 104 106 103 105, 105 107 104 106, 106 108 105 107"},
        [order(1, 10.0, symbol="B"), LONG_10, order(4, -10.0), order(4, -4.0, symbol="B")],
        (BACKTRADER, VECTORBT, ZIPLINE),
    ),
]

COSTS = [
    scenario(
        "costs_percentage_commission",
        "0.1 % of every fill",
        WALK,
        [LONG_10, order(4, -10.0)],
        ALL,
        commission=PERCENTAGE,
    ),
    scenario(
        "costs_per_order_commission",
        "7.50 per order",
        WALK,
        [LONG_10, order(4, -10.0)],
        ALL,
        commission={"model": "per_order", "amount": 7.5},
    ),
    scenario(
        "costs_per_share_commission",
        "0.05 per share, at least 1.00 per order",
        WALK,
        [order(1, 100.0), order(2, -10.0), order(4, -90.0)],
        PRICED,
        commission={"model": "per_share", "per_share": 0.05, "minimum": 1.0},
    ),
    scenario(
        "costs_percentage_slippage",
        "5 basis points, inside the bar",
        WALK,
        [LONG_10, order(4, -10.0)],
        ALL,
        slippage=SLIP,
    ),
    scenario(
        "costs_fixed_slippage",
        "0.25 per share",
        WALK,
        [LONG_10, order(4, -10.0)],
        (BACKTRADER, ZIPLINE),
        slippage={"model": "fixed", "amount": 0.25},
    ),
    scenario(
        "costs_slippage_beyond_the_bar",
        "3 %: beyond the high of the entry bar and the low of the exit bar",
        WALK,
        [LONG_10, order(4, -10.0)],
        ALL,
        slippage={"model": "percentage", "rate": 0.03},
    ),
    scenario(
        "costs_slippage_at_limit_and_stop",
        "a limit at a touch, a limit at an open, a stop at its level, with 5 basis points",
        WALK,
        [order(1, 10.0, limit=102.0), order(2, 10.0, limit=102.6), order(3, -10.0, stop=99.0), order(5, -10.0)],
        (BACKTRADER, ZIPLINE),
        slippage=SLIP,
    ),
    scenario(
        "costs_both_on_a_flip",
        "0.1 % and 5 basis points on an order that turns the position round",
        WALK,
        [LONG_10, order(2, -25.0), order(4, 20.0)],
        ALL,
        commission=PERCENTAGE,
        slippage=SLIP,
        shorts=True,
    ),
    scenario(
        "costs_of_scaling",
        "0.1 % and 5 basis points on two entries and two exits",
        WALK,
        [LONG_10, order(2, 5.0), order(3, -8.0), order(5, -7.0)],
        ALL,
        commission=PERCENTAGE,
        slippage=SLIP,
    ),
]

PRICED_ORDERS = [
    scenario("limit_buy_untouched", "the low stays above the limit", WALK, [order(1, 10.0, limit=96.0)], PRICED),
    scenario("limit_buy_touched", "the low is the limit", WALK, [order(1, 10.0, limit=101.5)], PRICED),
    scenario("limit_buy_traversed", "the bar goes through the limit", WALK, [order(1, 10.0, limit=102.2)], PRICED),
    scenario("limit_buy_gapped", "the open is below the limit", WALK, [order(2, 10.0, limit=102.4)], PRICED),
    scenario("limit_buy_waits", "reached four bars later", WALK, [order(1, 10.0, limit=97.25)], PRICED),
    scenario(
        "limit_sell_touched_and_gapped",
        "one at its level, one at the open above it",
        WALK,
        [order(1, 20.0), order(2, -10.0, limit=103.5), order(3, -10.0, limit=99.5)],
        PRICED,
    ),
    scenario("stop_buy_untouched", "the high stays below the stop", WALK, [order(1, 10.0, stop=105.0)], PRICED),
    scenario("stop_buy_touched", "the high is the stop", WALK, [order(1, 10.0, stop=104.0)], PRICED),
    scenario("stop_buy_gapped", "the open is above the stop", WALK, [order(1, 10.0, stop=102.5)], PRICED),
    scenario(
        "stop_sell_touched_and_gapped",
        "one at its level, one at the open below it",
        WALK,
        [order(1, 20.0), order(2, -10.0, stop=101.0), order(4, -10.0, stop=98.5)],
        PRICED,
    ),
    scenario(
        "stop_limit_within", "the stop is within the limit", WALK, [order(1, 10.0, stop=103.5, limit=104.0)], PRICED
    ),
    scenario(
        "stop_limit_gapped_back",
        "the open is beyond the limit, the low comes back to it",
        WALK,
        [order(1, 10.0, stop=102.2, limit=102.4)],
        PRICED,
    ),
    scenario(
        "stop_limit_later",
        "triggered, beyond the limit, filled as a limit two bars later",
        "100 101 99 100.5, 101 102.5 100 102, 103 104 102.8 103.5, 103 103.5 102.6 103, 102.5 103 101 102",
        [order(1, 10.0, stop=102.5, limit=102.2)],
        PRICED,
    ),
    scenario(
        "stop_limit_closes_below_the_limit",
        "triggered inside the bar, limit below the stop, close below the limit",
        "100 101 99 100.5, 101 102.5 100 102, 102 104 101 102.8, 103 104 102.9 103, 103 104 101 102",
        [order(1, 10.0, stop=103.5, limit=103.0)],
        PRICED,
    ),
    scenario(
        "stop_limit_falls_back",
        "triggered inside the bar, limit below the stop, open above the close",
        "100 101 99 100.5, 101 102.5 100 102, 103 104 101 102.8, 103 104 102.9 103, 103 104 101 102",
        [order(1, 10.0, stop=103.5, limit=103.2)],
        PRICED,
    ),
    scenario(
        "levels_between_cents",
        "prices that are no multiples of a cent",
        WALK,
        [order(1, 10.0, limit=102.4949), order(2, -10.0, stop=101.0049)],
        PRICED,
    ),
    scenario(
        "closes_between_cents",
        "a limit and closes between two cents",
        "100 101 99 100.5, 101 102.5 100 102, 102 103 99.002 99.002, 99.5 100 99.003 99.003, 99 99.5 98 98.99",
        [order(1, 10.0, limit=99.004), order(1, 5.0, stop=98.9951)],
        PRICED,
    ),
    scenario(
        "trailing_stop_by_amount",
        "sell 3 below the water mark",
        WALK,
        [LONG_10, order(2, -10.0, trail_amount=3.0)],
        (BACKTRADER,),
    ),
    scenario(
        "trailing_stop_by_percent",
        "sell 2 % below the water mark",
        WALK,
        [LONG_10, order(2, -10.0, trail_percent=0.02)],
        (BACKTRADER,),
    ),
    scenario(
        "trailing_stop_buys",
        "buy 2.50 above the water mark",
        "100 101 99 100.5, 101 102 100 100, 99 100 96 97, 97 98 94 95, 95 96.5 93 96, 96 99 95 98",
        [order(1, 10.0, trail_amount=2.5)],
        (BACKTRADER,),
    ),
]

BOTH = {"stop_loss": 95.0, "take_profit": 110.0}
PERCENT_BOTH = {"stop_loss_percent": 0.05, "take_profit_percent": 0.08}


def bracket(name: str, shows: str, bars: str, **terms: Any) -> Scenario:
    """Return a scenario of a long bracket entered at the open of slice 2."""
    return scenario(f"bracket_{name}", shows, bars, [order(1, 10.0, **{**BOTH, **terms})], BRACKETS)


BRACKET_ORDERS = [
    bracket("stop", "the stop's level", QUIET + "102 103 94 96, 96 97 95.5 96"),
    bracket("target", "the target's level", QUIET + "104 111 103 109, 109 110 108 109"),
    bracket("stop_gapped", "the open is below the stop", QUIET + "85 88 84 86, 86 87 85 86"),
    bracket("target_gapped", "the open is above the target", QUIET + "115 118 114 116, 116 117 115 116"),
    bracket("both_touched", "stop and target in one bar", QUIET + "100 112 93 105, 105 106 104 105"),
    bracket(
        "target_gapped_then_stop",
        "opens above the target, falls through the stop",
        QUIET + "115 118 90 92, 92 93 91 92",
    ),
    bracket(
        "stop_on_entry_bar",
        "the bar of the entry trades through the stop",
        "100 101 99 100.5, 101 102.5 100 102, 103 104 80 100, 100 101 99 100, 100 101 94 96",
    ),
    bracket(
        "target_on_entry_bar",
        "the bar of the entry trades through the target",
        "100 101 99 100.5, 101 102.5 100 102, 103 112 102 108, 108 109 107 108, 108 111 107 108",
    ),
    bracket(
        "entry_below_stop",
        "the entry fills below its own stop",
        "100 101 99 100.5, 101 102.5 100 102, 90 96 89 92, 92 94 91 93",
    ),
    bracket(
        "limit_entry",
        "a limit entry whose bar goes on to its stop",
        "100 101 99 100.5, 101 102.5 100 102, 101 102 90 97, 97 99 94 96, 96 97 95 96",
        limit=99.0,
    ),
    bracket(
        "limit_entry_target_later",
        "a limit entry, target two bars later",
        "100 101 99 100.5, 101 102.5 100 102, 101 102 98 100, 101 103 99 102, 103 112 102 111",
        limit=99.0,
    ),
    bracket(
        "stop_entry_target_same_bar",
        "a stop entry whose bar goes on to its target",
        "100 101 99 100.5, 101 102.5 100 102, 102 113 101.5 112, 112 113 109 111, 111 112 110.5 111",
        stop=104.0,
    ),
    bracket(
        "stop_entry_stop_same_bar",
        "a stop entry whose bar also holds its stop",
        "100 101 99 100.5, 101 102.5 100 102, 102 105 93 97, 97 99 94.5 96, 96 97 95 96",
        stop=104.0,
    ),
    scenario(
        "bracket_of_a_short",
        "a short's stop is above",
        QUIET + "104 111 103 109, 109 110 108 109",
        [order(1, -10.0, stop_loss=110.0, take_profit=95.0)],
        BRACKETS,
        shorts=True,
    ),
    scenario(
        "bracket_target_of_a_short",
        "a short's target, gapped",
        QUIET + "93 94 92 93, 93 94 92 93",
        [order(1, -10.0, stop_loss=110.0, take_profit=95.0)],
        BRACKETS,
        shorts=True,
    ),
    scenario(
        "bracket_with_costs",
        "stop at its level with 0.1 % and 5 basis points",
        QUIET + "102 103 94 96, 96 97 95.5 96",
        [order(1, 10.0, **BOTH)],
        BRACKETS,
        commission=PERCENTAGE,
        slippage=SLIP,
    ),
    scenario(
        "bracket_twice_then_partial_exit",
        "two brackets, a sale of the size of the first, then the stop",
        QUIET + "104 105 103 104, 104 105 103 104, 102 103 94 96, 96 97 95.5 96",
        [order(1, 10.0, **BOTH), order(2, 5.0, **BOTH), order(4, -10.0)],
        (BACKTESTING,),
    ),
    scenario(
        "bracket_then_partial_exit",
        "a sale of part of what the bracket protects, then the stop",
        QUIET + "104 105 103 104, 104 105 103 104, 102 103 94 96, 96 97 95.5 96",
        [order(1, 10.0, **BOTH), order(4, -4.0)],
        (BACKTESTING,),
    ),
    scenario(
        "bracket_then_close",
        "the position is closed before its bracket is reached",
        QUIET + "104 105 103 104, 104 105 103 104, 102 103 94 96, 96 97 95.5 96",
        [order(1, 10.0, **BOTH), order(4, close=True)],
        (BACKTESTING,),
    ),
    scenario(
        "bracket_trailing",
        "a trailing stop of 4 % as the bracket",
        QUIET + "104 108 103 107, 107 109 105 106, 106 107 101 102, 102 103 99 100",
        [order(1, 10.0, trailing_stop_percent=0.04)],
        TRAILING_BRACKETS,
    ),
    scenario(
        "bracket_trailing_gapped",
        "a trailing stop that an open gaps through",
        QUIET + "104 108 103 107, 107 109 106 108, 98 99 97 98, 98 99 97 98",
        [order(1, 10.0, trailing_stop_percent=0.04)],
        TRAILING_BRACKETS,
    ),
    scenario(
        "bracket_percent_stop",
        "5 % and 8 %: the stop",
        QUIET + "102 103 94 96, 96 97 95.5 96",
        [order(1, 10.0, **PERCENT_BOTH)],
        (VECTORBT,),
    ),
    scenario(
        "bracket_percent_target",
        "5 % and 8 %: the target, with costs",
        QUIET + "104 115 103 109, 109 110 108 109",
        [order(1, 10.0, **PERCENT_BOTH)],
        (VECTORBT,),
        commission=PERCENTAGE,
        slippage=SLIP,
    ),
    scenario(
        "bracket_percent_both_touched",
        "5 % and 8 %: both in one bar",
        QUIET + "100 115 90 105, 105 106 104 105",
        [order(1, 10.0, **PERCENT_BOTH)],
        (VECTORBT,),
    ),
    scenario(
        "bracket_percent_gaps",
        "5 % and 8 %: an open beyond the target, then below the stop",
        QUIET + "115 118 90 92, 92 93 91 92",
        [order(1, 10.0, **PERCENT_BOTH)],
        (VECTORBT,),
    ),
    scenario(
        "bracket_percent_of_a_short",
        "5 % and 8 %: a short's stop",
        QUIET + "104 113 103 109, 109 110 108 109",
        [order(1, -10.0, **PERCENT_BOTH)],
        (VECTORBT,),
        shorts=True,
    ),
    scenario(
        "bracket_percent_left_early",
        "5 % and 8 %: closed by an order first, with slippage",
        QUIET + "104 105 103 104, 102 103 94 96",
        [order(1, 10.0, **PERCENT_BOTH), order(3, close=True)],
        (VECTORBT,),
        slippage=SLIP,
    ),
]

FLAT = "100 100 100 100, 100 100 100 100, 100 100 100 100, 100 100 100 100, 100 100 100 100"
FLAT_4 = "100 100 100 100, 100 100 100 100, 100 100 100 100, 100 100 100 100"
RISING = "100 100 100 100, 100 100 100 100, 105 105 105 105, 105 106 104 105, 105 106 104 105"
TWO = {"A": FLAT, "B": FLAT}
CASH_10 = {"capital": 10_000.0}

CASH = [
    scenario(
        "cash_first_too_large",
        "150 and 50 shares at 100 with 10,000, decided together",
        TWO,
        [order(1, 150.0), order(1, 50.0, symbol="B")],
        (BACKTRADER, VECTORBT, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_first_too_large_reversed",
        "the same, given in the other order",
        TWO,
        [order(1, 50.0, symbol="B"), order(1, 150.0)],
        (BACKTRADER, VECTORBT, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_one_symbol",
        "150 and 50 shares of one symbol",
        FLAT,
        [order(1, 150.0), order(1, 50.0)],
        (BACKTRADER, BACKTESTING, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_gap_up",
        "100 shares decided at 100, the open is 105",
        RISING,
        [order(1, 100.0)],
        ALL,
        **CASH_10,
    ),
    scenario(
        "cash_gap_up_then_smaller",
        "the refused order leaves the cash to the next",
        {"A": RISING, "B": FLAT},
        [order(1, 100.0), order(2, 90.0, symbol="B")],
        (BACKTRADER, VECTORBT, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_commission_does_not_fit",
        "100 shares at 100 and 0.1 % with 10,000",
        FLAT,
        [order(1, 100.0)],
        ALL,
        **CASH_10,
        commission=PERCENTAGE,
    ),
    scenario(
        "cash_buy_then_sell",
        "buys B, then sells the A that would pay for it",
        TWO,
        [order(1, 100.0), order(2, 80.0, symbol="B"), order(2, -100.0)],
        (BACKTRADER, VECTORBT, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_sell_then_buy",
        "sells A, then buys B with it",
        TWO,
        [order(1, 100.0), order(2, -100.0), order(2, 80.0, symbol="B")],
        (BACKTRADER, VECTORBT, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_sale_restores",
        "a failed buy, a sale, and a buy that the sale pays for",
        {**TWO, "C": FLAT},
        [order(1, 90.0), order(2, 20.0, symbol="B"), order(2, -90.0), order(2, 95.0, symbol="C")],
        (BACKTRADER, ZIPLINE),
        **CASH_10,
    ),
    scenario(
        "cash_fractional",
        "fractions of shares: cut to the last cent",
        FLAT,
        [order(1, 150.0)],
        (VECTORBT,),
        **CASH_10,
        fractional=True,
        commission=PERCENTAGE,
    ),
    scenario(
        "cash_flip_refused",
        "a flip whose opening part is too large",
        RISING,
        [order(1, 50.0), order(2, -300.0), order(3, 900.0)],
        (BACKTRADER, BACKTESTING, VECTORBT, ZIPLINE),
        **CASH_10,
        shorts=True,
    ),
    scenario(
        "cash_limit_before_market",
        "a limit inside the bar before a market order at the open, cash for one",
        {
            "A": "100 100 100 100, 100 100 100 100, 100 101 95 98, 98 99 97 98",
            "B": "100 100 100 100, 100 100 100 100, 100 100 100 100, 100 100 100 100",
        },
        [order(1, 80.0, limit=97.0), order(1, 70.0, symbol="B")],
        (BACKTRADER,),
        **CASH_10,
    ),
]

SCENARIOS = [*MARKET, *COSTS, *PRICED_ORDERS, *BRACKET_ORDERS, *CASH]
