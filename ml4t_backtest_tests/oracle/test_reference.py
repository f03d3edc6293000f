"""The oracle against arithmetic done by hand: a world of a few bars, one idea, numbers written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from oracle import worlds
from oracle.reference import reference
from oracle.vocabulary import DAYS, Action, Bar, F, Line, Report, World

# A bar that nothing happens in.
CALM = (100, 101, 99, 100)
Prices = Sequence[tuple[Any, ...] | None]


def bar(prices: tuple[Any, ...]) -> Bar:
    """Open, high, low, close and perhaps the volume."""
    numbers = [F(str(price)) for price in prices]
    return Bar(*numbers[:4], volume=numbers[4] if len(numbers) > 4 else F(1000))


def run(prices: Prices | Mapping[str, Prices], *decided: Line | tuple[Line, ...], **account: Any) -> Report:
    """Live through bars of A, or of several symbols; `decided[i]` is what slice i decides."""
    series = prices if isinstance(prices, Mapping) else {"A": prices}
    bars = {symbol: tuple(one and bar(one) for one in row) for symbol, row in series.items()}
    days = DAYS[: max(map(len, bars.values()))]
    tape = {now: lines if isinstance(lines, tuple) else (lines,) for now, lines in enumerate(decided)}
    world = World(**{"bars": bars, "days": days, "capital": F(10_000), **account})
    return reference(world, tape)


def buy(quantity: Any = 10, symbol: str = "A", **words: Any) -> Line:
    return Line("buy", symbol, quantity=F(quantity), **_exactly(words))


def sell(quantity: Any = 10, symbol: str = "A", **words: Any) -> Line:
    return Line("sell", symbol, quantity=F(quantity), **_exactly(words))


def _exactly(words: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("tif", "max_holding_bars", "market_on_close", "nth", "others", "weights")
    return {name: value if name in plain else F(str(value)) for name, value in words.items()}


def fills(report: Report) -> list[tuple[Any, ...]]:
    """(slice, phase, signed quantity, raw price) of each fill."""
    sign = {"buy": 1, "sell": -1}
    return [(fill.slice, fill.phase, sign[fill.side] * fill.quantity, fill.raw) for fill in report.fills]


def outcome(report: Report, nth: int = 0) -> tuple[str, str | None, F]:
    found = report.outcomes[nth]
    return found.status, found.reason, found.filled


NOTHING: tuple[Line, ...] = ()


# Section 5, the table


def test_market_fills_at_the_next_open() -> None:
    assert fills(run([CALM, (104, 105, 103, 104)], buy())) == [(1, "open", 10, 104)]


def test_market_waits_for_the_first_bar_of_its_symbol() -> None:
    report = run({"A": [CALM, None, (90, 91, 89, 90)], "B": [CALM] * 3}, buy())
    assert fills(report) == [(2, "open", 10, 90)]


# (order, bar, phase, raw price); None where it stays untouched. The bar before is calm at 100.
TABLE = [
    # limit: low <= limit; min(open, limit)
    (buy(limit=95), (90, 96, 89, 92), "open", 90),
    (buy(limit=95), (95, 96, 94, 95), "open", 95),
    (buy(limit=95), (100, 101, 94, 96), "intrabar", 95),
    (buy(limit=95), (100, 101, 95, 96), "intrabar", 95),
    (buy(limit=95), (100, 101, "95.25", 96), None, None),
    (sell(limit=105), (110, 111, 104, 106), "open", 110),
    (sell(limit=105), (100, 106, 99, 104), "intrabar", 105),
    (sell(limit=105), (100, 105, 99, 104), "intrabar", 105),
    (sell(limit=105), (100, "104.75", 99, 104), None, None),
    # stop: high >= stop; max(open, stop)
    (buy(stop=105), (110, 111, 104, 106), "open", 110),
    (buy(stop=105), (100, 106, 99, 104), "intrabar", 105),
    (buy(stop=105), (100, 105, 99, 104), "intrabar", 105),
    (buy(stop=105), (100, "104.75", 99, 104), None, None),
    (sell(stop=95), (90, 96, 89, 92), "open", 90),
    (sell(stop=95), (100, 101, 94, 96), "intrabar", 95),
    (sell(stop=95), (100, 101, 95, 96), "intrabar", 95),
    (sell(stop=95), (100, 101, "95.25", 96), None, None),
    # stop-limit: the reference max(open, stop) if it is <= limit ...
    (buy(stop=105, limit=108), (107, 109, 106, 107), "open", 107),
    (buy(stop=105, limit=108), (100, 106, 99, 104), "intrabar", 105),
    # ... else at the limit if the open triggered and low <= limit ...
    (buy(stop=105, limit=108), (110, 111, 107, 111), "intrabar", 108),
    (buy(stop=105, limit=108), (110, 111, 109, 110), None, None),
    # ... or if close <= limit
    (buy(stop=105, limit=103), (100, 106, 99, 102), "intrabar", 103),
    (buy(stop=105, limit=103), (100, 106, 99, 104), None, None),
    (buy(stop=105, limit=103), (100, 104, 99, 102), None, None),
    (sell(stop=95, limit=92), (93, 94, 91, 93), "open", 93),
    (sell(stop=95, limit=92), (100, 101, 94, 96), "intrabar", 95),
    (sell(stop=95, limit=92), (90, 93, 89, 90), "intrabar", 92),
    (sell(stop=95, limit=97), (100, 101, 94, 98), "intrabar", 97),
    (sell(stop=95, limit=97), (100, 101, 94, 96), None, None),
    # trailing: against the water mark of earlier bars; without one, from the open of its first bar
    (sell(trailing_amount=5), (100, 110, 95, 100), "intrabar", 95),
    (sell(trailing_amount=5), (100, 110, "95.25", 100), None, None),
    (sell(trailing_percent="0.03125"), (96, 110, 93, 100), "intrabar", 93),
    (buy(trailing_amount=5), (100, 105, 90, 100), "intrabar", 105),
    # market-on-close
    (buy(market_on_close=True), (100, 105, 95, 103), "close", 103),
]


@pytest.mark.parametrize(("order", "prices", "phase", "raw"), TABLE)
def test_table_of_fills(order: Line, prices: tuple[Any, ...], phase: str | None, raw: Any) -> None:
    report = run([CALM, prices], order, account="margin")
    signed = 10 if order.action == "buy" else -10
    assert fills(report) == ([] if phase is None else [(1, phase, signed, raw)])


def test_stop_limit_that_was_triggered_keeps_working_as_a_limit() -> None:
    # Triggered at 105 in slice 1, close 104 > 103. Slice 2 opens at 102 <= 103, far below the stop.
    report = run([CALM, (100, 106, 99, 104), (102, 103, 101, 102)], buy(stop=105, limit=103))
    assert fills(report) == [(2, "open", 10, 102)]


def test_trailing_stop_uses_the_water_mark_of_earlier_bars_only() -> None:
    # Slice 1: entry 100, so the level is 100 - 1/16 x 100 = 93.75; low 94 is above it although 110 x 15/16 is not.
    # Slice 2: water 110, level 110 x 15/16 = 103.125, open 108, low 103.
    report = run([CALM, (100, 110, 94, 108), (108, 112, 103, 110)], buy(trailing_stop_percent="0.0625"))
    assert fills(report) == [(1, "open", 10, 100), (2, "intrabar", -10, F("103.125"))]


def test_trailing_stop_gapped_fills_at_the_open() -> None:
    report = run([CALM, (100, 110, 94, 108), (90, 91, 89, 90)], buy(trailing_stop_percent="0.0625"))
    assert fills(report)[1] == (2, "open", -10, 90)


def test_water_mark_of_a_limit_entry_does_not_know_the_high_before_it() -> None:
    # Bought at 95 on the way down; what is certain afterwards is low 94 and close 96. Level 96 x 15/16 = 90, not 103.
    path = [CALM, (100, 110, 94, 96), (96, 97, 91, 95)]
    assert fills(run(path, buy(limit=95, trailing_stop_percent="0.0625"))) == [(1, "intrabar", 10, 95)]


def test_market_on_close_without_a_bar_expires() -> None:
    report = run({"A": [CALM, None, CALM], "B": [CALM] * 3}, buy(market_on_close=True))
    assert outcome(report) == ("expired", "no_bar", 0)


# Children of an intrabar fill


@pytest.mark.parametrize(
    ("order", "prices", "wanted", "ambiguous"),
    [
        # A limit entry at 95 travels down: its stop uses the low.
        (buy(limit=95, stop_loss=92), (100, 101, 92, 97), (-10, 92), False),
        (buy(limit=95, stop_loss=92), (100, 101, 93, 97), None, False),
        # Its target lies behind: it counts only if the close is at or beyond it.
        (buy(limit=95, take_profit=98), (100, 101, 94, 98), (-10, 98), True),
        (buy(limit=95, take_profit=98), (100, 101, 94, 97), None, True),
        (buy(limit=95, take_profit=102), (100, 101, 94, 97), None, False),
        # A stop entry at 105 travels up: its target uses the high.
        (buy(stop=105, take_profit=108), (100, 108, 99, 104), (-10, 108), False),
        # Its stop lies behind: the close is beyond it, or the low is and the open is not.
        (buy(stop=105, stop_loss=98), (97, 106, 96, 97), (-10, 98), True),
        (buy(stop=105, stop_loss=98), (100, 106, 97, 104), (-10, 98), True),
        (buy(stop=105, stop_loss=98), (97, 106, 96, 104), None, True),
        (buy(stop=105, stop_loss=98), (100, 106, 99, 104), None, False),
        # A stop already breached at entry fills there.
        (buy(limit=95, stop_loss=96), (100, 101, 94, 97), (-10, 95), False),
        (buy(stop_loss=96), (95, 97, 94, 96), (-10, 95), False),
        # Both: the stop is assumed.
        (buy(limit=95, stop_loss=92, take_profit=98), (100, 101, 91, 99), (-10, 92), True),
        # Shorts mirror it: a limit sale at 105 travels up.
        (sell(limit=105, stop_loss=108), (100, 108, 99, 103), (10, 108), False),
        (sell(limit=105, take_profit=102), (100, 106, 99, 102), (10, 102), True),
        (sell(stop=95, take_profit=92), (100, 101, 92, 96), (10, 92), False),
        (sell(stop=95, stop_loss=102), (100, 103, 94, 96), (10, 102), True),
        (sell(stop=95, stop_loss=102), (103, 104, 94, 96), None, True),
    ],
)
def test_children_on_the_entry_bar(order: Line, prices: tuple[Any, ...], wanted: Any, ambiguous: bool) -> None:
    report = run([CALM, prices], order, account="margin")
    exits = [(quantity, raw) for _, _, quantity, raw in fills(report)[1:]]
    assert exits == ([] if wanted is None else [wanted])
    assert [trade.ambiguous for trade in report.trades] == [ambiguous]


def test_entry_at_the_open_has_the_whole_bar() -> None:
    report = run([CALM, (100, 106, 99, 101)], buy(stop_loss=95, take_profit=105))
    assert fills(report) == [(1, "open", 10, 100), (1, "intrabar", -10, 105)]
    assert [(trade.exit_reason, trade.ambiguous) for trade in report.trades] == [("take_profit", False)]


@pytest.mark.parametrize(("path", "raw"), [("pessimistic", 95), ("optimistic", 105), ("ohlc", 105), ("olhc", 95)])
def test_stop_and_target_inside_one_bar(path: str, raw: int) -> None:
    report = run([CALM, CALM, (100, 110, 90, 100)], buy(stop_loss=95, take_profit=105), intrabar_path=path)
    assert fills(report)[1] == (2, "intrabar", -10, raw)
    assert report.trades[0].ambiguous


@pytest.mark.parametrize(("path", "raw"), [("ohlc", 105), ("olhc", 95)])
def test_paths_of_a_short(path: str, raw: int) -> None:
    shorted = sell(stop_loss=105, take_profit=95)
    report = run([CALM, CALM, (100, 110, 90, 100)], shorted, intrabar_path=path, account="margin")
    assert fills(report)[1] == (2, "intrabar", 10, raw)


# PEERS.md 5.1: long 10, decided on the first bar; stop 95, target 105

STOP_AND_TARGET = {"stop_loss": 95, "take_profit": 105}


def test_s1_fills_at_the_next_open_not_at_the_close_of_the_decision() -> None:
    report = run([(102, 103, 102, "102.5"), (104, 105, 103, "104.5")], buy())
    assert fills(report) == [(1, "open", 10, 104)]


@pytest.mark.parametrize(
    ("bars", "out"),
    [
        # S2: a stop gapped through fills at the open.
        ([CALM, CALM, (85, 88, 84, 86)], (2, "open", -10, 85)),
        # S3: both touched, the stop is assumed.
        ([CALM, CALM, (100, 110, 90, 100)], (2, "intrabar", -10, 95)),
        # S4: the entry bar trades down to 80.
        ([CALM, (100, 101, 80, 90)], (1, "intrabar", -10, 95)),
        # S5: a target gapped through fills at the open.
        ([CALM, CALM, (115, 118, 114, 116)], (2, "open", -10, 115)),
        # S6: the open comes before the low.
        ([CALM, CALM, (115, 118, 90, 100)], (2, "open", -10, 115)),
    ],
    ids=["S2", "S3", "S4", "S5", "S6"],
)
def test_scenarios_of_the_peers(bars: Prices, out: tuple[Any, ...]) -> None:
    assert fills(run(bars, buy(**STOP_AND_TARGET))) == [(1, "open", 10, 100), out]


def test_cash_conflict_of_the_peers_rejects_the_first_and_fills_the_second() -> None:
    # Cash 10,000: 150 x 100 does not fit, 50 x 100 does; what was refused costs nothing.
    report = run({"A": [CALM] * 2, "B": [CALM] * 2}, (buy(150), buy(50, "B")))
    assert (outcome(report, 0)[0], outcome(report, 1)[0]) == ("rejected", "filled")


def test_cash_is_checked_at_the_real_price() -> None:
    # 100 decided at 100 with 10,000; the open is 105.
    assert outcome(run([CALM, (105, 106, 104, 105)], buy(100)))[0] == "rejected"


def test_gapped_target_is_not_ambiguous() -> None:
    report = run([CALM, CALM, (115, 118, 90, 100)], buy(**STOP_AND_TARGET))
    assert not report.trades[0].ambiguous


# Protective and closing orders


def test_one_cancels_the_other_and_never_opens_a_short() -> None:
    # The stop goes in slice 2; the target at 105 is inside slice 3 and must be gone.
    report = run([CALM, CALM, (100, 101, 94, 96), (100, 110, 99, 105)], buy(**STOP_AND_TARGET), account="margin")
    assert fills(report) == [(1, "open", 10, 100), (2, "intrabar", -10, 95)]


def test_children_are_clipped_to_the_live_position() -> None:
    # 10 bought, 6 sold: the stop for 10 sells 4.
    report = run([CALM, CALM, CALM, (90, 91, 89, 90)], buy(stop_loss=95), sell(6), account="margin")
    assert fills(report)[2] == (3, "open", -4, 90)


def test_children_die_when_the_position_flips() -> None:
    # 10 long, 25 sold: 15 short. The stop of the long at 95 is gone.
    report = run([CALM, CALM, CALM, (90, 91, 89, 90)], buy(stop_loss=95), sell(25), account="margin")
    assert [state.positions for state in report.states][3] == (("A", F(-15)),)


def test_close_that_comes_after_the_stop_closes_nothing() -> None:
    # Decided together with nothing to say about the gap: the stop is protective and goes first.
    report = run([CALM, CALM, (90, 91, 89, 90)], buy(stop_loss=95), Line("close_position", "A"), account="margin")
    assert fills(report) == [(1, "open", 10, 100), (2, "open", -10, 90)]
    assert outcome(report, 1) == ("cancelled", "position_closed", 0)


def test_parent_that_never_fills_has_no_children() -> None:
    report = run([CALM, (100, 110, 96, 100), (90, 110, 89, 90)], buy(limit=95, tif="day", **STOP_AND_TARGET))
    assert fills(report) == []
    assert outcome(report) == ("expired", "time_in_force", 0)


def test_percent_levels_are_of_the_raw_entry() -> None:
    # Raw entry 64, slippage 1/64 -> 65 paid. The stop is at 64 x (1 - 1/16) = 60.
    bars = [(64, 64, 64, 64), (64, 65, 61, 62), (62, 62, "60", 61)]
    report = run(bars, buy(stop_loss_percent="0.0625"), slippage=("percentage", F(1, 64)))
    assert fills(report)[1] == (2, "intrabar", -10, 60)
    assert (report.fills[0].price, report.fills[1].price) == (65, 60 * (1 - F(1, 64)))


def test_tighter_of_two_stops_is_met_first() -> None:
    # Stop 90; trailing from 100 by 1/16 is 93.75: the falling price meets the trailing one first.
    report = run([CALM, CALM, (100, 100, 85, 88)], buy(stop_loss=90, trailing_stop_percent="0.0625"))
    # After slice 1 the water mark is 101: 101 x 15/16 = 94.6875.
    assert (report.fills[1].raw, report.fills[1].reason) == (F("94.6875"), "trailing_stop")


@pytest.mark.parametrize("bars_held", [1, 2, 3])
def test_max_holding_bars_is_the_holding_period(bars_held: int) -> None:
    report = run([CALM] * 6, buy(max_holding_bars=bars_held))
    assert fills(report)[1] == (1 + bars_held, "open", -10, 100)
    assert (report.trades[0].bars, report.trades[0].exit_reason) == (bars_held, "time_exit")


# Time in force, cancel, replace

FALLING = [CALM, (100, 101, 96, 97), (97, 98, 94, 95)]


@pytest.mark.parametrize(("tif", "wanted"), [("gtc", [(2, "intrabar", 10, 95)]), ("day", []), ("ioc", [])])
def test_time_in_force(tif: str, wanted: list[Any]) -> None:
    assert fills(run(FALLING, buy(limit=95, tif=tif))) == wanted


@pytest.mark.parametrize(("tif", "status"), [("day", "expired"), ("ioc", "filled")])
def test_day_is_a_session_and_ioc_is_a_bar(tif: str, status: str) -> None:
    report = run({"A": [CALM, None, CALM], "B": [CALM] * 3}, buy(tif=tif))
    assert outcome(report)[0] == status


def test_cancelled_order_does_not_fill() -> None:
    report = run(FALLING, buy(limit=95), Line("cancel", nth=0))
    assert (fills(report), outcome(report)[0]) == ([], "cancelled")


def test_cancel_after_the_fill_changes_nothing() -> None:
    report = run(FALLING, buy(limit=97), Line("cancel", nth=0))
    assert (fills(report), outcome(report)[0]) == ([(1, "intrabar", 10, 97)], "filled")


def test_replaced_limit() -> None:
    report = run(FALLING, buy(limit=90), Line("replace", nth=0, limit=F(96)))
    assert fills(report) == [(2, "intrabar", 10, 96)]


# Order of orders and cash


def test_reducing_comes_first_and_pays_for_the_buy() -> None:
    # 1,000 in cash buys 10 A. Then B is bought and A sold: the sale pays although it was decided last.
    bars = {"A": [CALM] * 4, "B": [CALM] * 4}
    report = run(bars, buy(10), NOTHING, (buy(10, "B"), sell(10)), capital=F(1000))
    assert [(fill.slice, fill.symbol, fill.side) for fill in report.fills[1:]] == [(3, "A", "sell"), (3, "B", "buy")]


def test_explicit_buy_that_cash_does_not_cover_is_rejected() -> None:
    # 11 x 100 = 1,100 > 1,000
    report = run([CALM, CALM], buy(11), capital=F(1000))
    assert outcome(report) == ("rejected", "insufficient_cash", 0)


def test_commission_counts_in_the_cash_check() -> None:
    # 10 x 100 = 1,000 leaves nothing for the commission.
    report = run([CALM, CALM], buy(10), capital=F(1000), commission=("per_order", F(1)))
    assert outcome(report)[0] == "rejected"


def test_target_is_clipped_to_cash() -> None:
    # 12 wanted at 100 with 1 % commission: 101 each, floor(1,000 / 101) = 9.
    line = Line("order_target_quantity", "A", quantity=F(12))
    report = run([CALM, CALM], line, capital=F(1000), commission=("percentage", F(1, 100)))
    assert outcome(report) == ("filled", "insufficient_cash", 9)


def test_buys_of_a_rebalance_share_one_factor() -> None:
    # Decided at 100 with 1,000: 6 A and 4 B. They open at 120 and 110: 6 x 120 + 4 x 110 = 1,160.
    # Factor 1,000 / 1,160 = 0.862: 5.17 -> 5 A, 3.45 -> 3 B.
    bars = {"A": [CALM, (120, 121, 119, 120)], "B": [CALM, (110, 111, 109, 110)]}
    weights = (("A", F(6, 10)), ("B", F(4, 10)))
    report = run(bars, Line("rebalance", weights=weights), capital=F(1000))
    assert fills(report) == [(1, "open", 5, 120), (1, "open", 3, 110)]


def test_rebalance_closes_what_is_not_named_unless_told_to_keep() -> None:
    for others, left in (("close", ()), ("keep", (("A", F(5)),))):
        report = run([CALM] * 3, buy(5), Line("rebalance", others=others))
        assert report.states[-1].positions == left


def test_cash_account_clips_a_sale_and_refuses_the_rest() -> None:
    report = run([CALM] * 3, buy(10), sell(15))
    assert outcome(report, 1) == ("filled", "short_not_allowed", 10)


def test_cash_account_refuses_a_short() -> None:
    assert outcome(run([CALM] * 2, sell(5))) == ("rejected", "short_not_allowed", 0)


def test_money_freed_intrabar_waits_for_the_next_slice() -> None:
    # A is stopped at 95 in slice 2; the limit buy of B in the same bar finds no cash.
    bars = {"A": [CALM, CALM, (100, 101, 90, 92)], "B": [CALM, CALM, (100, 101, 90, 92)]}
    report = run(bars, buy(10, stop_loss=95), buy(5, "B", limit=95), capital=F(1000))
    assert [fill.symbol for fill in report.fills] == ["A", "A"]
    assert outcome(report, 1) == ("rejected", "insufficient_cash", 0)


def test_protective_orders_go_before_others_inside_a_bar() -> None:
    # Stop 95 (protective) and an own limit sale at 105, both inside: the stop sells, nothing is left for the limit.
    report = run([CALM, CALM, (100, 110, 90, 100)], buy(stop_loss=95), sell(limit=105))
    assert fills(report)[1] == (2, "intrabar", -10, 95)
    assert outcome(report, 1)[:2] == ("rejected", "short_not_allowed")


def test_margin_account_checks_the_initial_margin() -> None:
    # 10,000 carry 20,000 at 50 %: 200 shares at 100 pass, 201 do not.
    assert outcome(run([CALM] * 2, buy(200), account="margin"))[0] == "filled"
    assert outcome(run([CALM] * 2, buy(201), account="margin"))[0] == "rejected"


def test_flip_whose_opening_is_refused_still_closes() -> None:
    # 10 long; selling 310 would leave 300 short = 30,000 of value on 10,000.
    report = run([CALM] * 3, buy(10), sell(310), account="margin")
    assert outcome(report, 1) == ("filled", "insufficient_cash", 10)


def test_flip_splits_its_costs_pro_rata() -> None:
    # Sell 30 at 100 for a commission of 6: 10 close (2), 20 open (4).
    report = run([CALM] * 3, buy(10), sell(30), account="margin", commission=("per_order", F(6)))
    closed, opened = report.trades
    assert (closed.exit_commission, opened.entry_commission, len(report.fills)) == (2, 4, 2)


def test_margin_call_liquidates_the_largest_first() -> None:
    # 150 A and 50 B at 100 on 10,000. At 62: 10,000 - 150 x 38 - 50 x 38 = 2,400 < 1/4 x 12,400 = 3,100.
    # A (9,300) goes; what remains, 3,100, needs 1,550 <= 2,400.
    down = [CALM, CALM, (62, 62, 62, 62), (62, 62, 62, 62)]
    report = run({"A": down, "B": down}, (buy(150), buy(50, "B")), account="margin")
    assert [(fill.symbol, fill.reason, fill.quantity) for fill in report.fills[2:]] == [("A", "margin_call", 150)]


def test_short_maintenance_is_30_percent() -> None:
    # Short 100 at 100: cash 20,000. At 154: equity 4,600 < 0.3 x 15,400 = 4,620; at 153.75: 4,625 >= 4,612.5.
    for price, calls in ((154, 1), ("153.75", 0)):
        up = [CALM, CALM, (price,) * 4, (price,) * 4]
        report = run(up, sell(100), account="margin")
        assert sum(fill.reason == "margin_call" for fill in report.fills) == calls


def test_equity_at_zero_ruins() -> None:
    # 200 bought at 100 on 10,000: at 50 nothing is left.
    report = run([CALM, CALM, (50,) * 4, (60,) * 4], buy(200), NOTHING, buy(1), account="margin")
    assert (report.ruined, len(report.states), report.states[-1].equity) == (True, 3, 0)


def test_borrow_fee_runs_by_calendar_days() -> None:
    # Short 73 at 100 on Thursday; DAYS[3] is Friday, DAYS[4] Monday: 7,300 x 5 % x 1 / 365 and x 3 / 365.
    report = run([CALM] * 5, NOTHING, sell(73), account="margin", borrow_rate=F(5, 100))
    assert [flow.amount for flow in report.flows] == [F(-1), F(-3)]


# Costs


@pytest.mark.parametrize(
    ("model", "paid", "got"),
    [
        (("percentage", F(1, 100)), 101, 99),
        (("fixed", F(1, 4)), F("100.25"), F("99.75")),
        (("spread", F(1, 2)), F("100.25"), F("99.75")),
    ],
)
def test_slippage(model: tuple[Any, ...], paid: F, got: F) -> None:
    report = run([CALM] * 3, buy(), sell(), slippage=model)
    assert [fill.price for fill in report.fills] == [paid, got]


def test_slippage_never_makes_a_limit_worse() -> None:
    # Open 90 -> 90.9 with slippage; at the limit 95 -> 95, not 95.95.
    for first, price in (((90, 96, 89, 92), F("90.9")), ((100, 101, 94, 96), F(95))):
        report = run([CALM, first], buy(limit=95), slippage=("percentage", F(1, 100)))
        assert report.fills[0].price == price


def test_minimum_commission_is_per_order_not_per_partial_fill() -> None:
    # Cap 1/10 of 1,000, 400, 9,000: 100 + 40 + 60 shares at 0.01 with a minimum of 1.25.
    # 1.00 -> 1.25; 1.40 - 1.25 = 0.15; 2.00 - 1.40 = 0.60.
    bars = [CALM, (*CALM, 1000), (*CALM, 400), (*CALM, 9000)]
    costs = {"commission": ("per_share", F(1, 100), F("1.25")), "max_volume_share": F(1, 10)}
    report = run(bars, buy(200), capital=F(100_000), **costs)
    assert [(fill.quantity, fill.commission) for fill in report.fills] == [
        (100, F("1.25")),
        (40, F("0.15")),
        (60, F("0.60")),
    ]


def test_volume_cap_is_shared_and_the_rest_works_on() -> None:
    bars = [CALM, (*CALM, 100), (*CALM, 0), (*CALM, 1000)]
    report = run(bars, (buy(6), buy(6)), max_volume_share=F(1, 10))
    assert fills(report) == [(1, "open", 6, 100), (1, "open", 4, 100), (3, "open", 2, 100)]


def test_whole_shares_truncate_and_fractions_do_not() -> None:
    assert fills(run([CALM] * 2, buy("2.75")))[0][2] == 2
    assert fills(run([CALM] * 2, buy("2.75"), fractional=True))[0][2] == F("2.75")


# Sizing


def test_percent_uses_equity_and_close_of_the_decision() -> None:
    # 0.5 x 10,000 / 80 = 62.5 -> 62, whatever the open.
    report = run([(100, 100, 80, 80), (90, 91, 89, 90)], Line("buy", "A", percent=F(1, 2)))
    assert fills(report) == [(1, "open", 62, 90)]


def test_target_cancels_working_orders_but_not_protective_ones() -> None:
    orders = (buy(5, limit=90), Line("order_target_quantity", "A", quantity=F(15)))
    report = run([CALM, CALM, CALM, (89, 90, 88, 89)], buy(10, stop_loss=95), orders)
    # Target 15 - 10 = 5 more; the limit at 90 is gone, the stop for the first 10 is not.
    assert fills(report) == [(1, "open", 10, 100), (2, "open", 5, 100), (3, "open", -10, 89)]
    assert outcome(report, 1)[0] == "cancelled"


def test_target_without_a_mark_is_rejected() -> None:
    report = run({"A": [None, CALM], "B": [CALM] * 2}, Line("order_target_value", "A", value=F(500)))
    assert outcome(report) == ("rejected", "no_price", 0)


# Corporate actions, delisting, end


def test_split_rescales_position_orders_and_protection() -> None:
    # 10 at 100 with stop 90 and a limit buy of 4 at 80; 2:1 in slice 3: 20 held, stop 45, buy 8 at 40.
    bars = [CALM, CALM, CALM, (50, 51, 49, 50), (50, 51, 40, 46)]
    lines = (buy(10, stop_loss=90), buy(4, limit=80))
    report = run(bars, lines, actions=(Action(3, "A", "split", F(2)),))
    assert fills(report) == [(1, "open", 10, 100), (4, "intrabar", -20, 45), (4, "intrabar", 8, 40)]
    assert (report.trades[0].quantity, report.trades[0].entry_price) == (20, 50)


def test_cash_in_lieu_pays_the_fraction() -> None:
    # 5 x 3/2 = 7.5: 7 stay, 0.5 x 100 / 1.5 is paid.
    report = run([CALM] * 3, buy(5), actions=(Action(2, "A", "split", F(3, 2)),))
    assert [(flow.kind, flow.amount) for flow in report.flows] == [("cash_in_lieu", F(1, 2) * 100 / F(3, 2))]
    assert report.states[-1].positions == (("A", F(7)),)


def test_dividend_goes_to_whoever_held_before_the_open() -> None:
    dividend = (Action(2, "A", "dividend", F(1)),)
    assert [flow.amount for flow in run([CALM] * 3, buy(10), actions=dividend).flows] == [10]
    assert run([CALM] * 3, NOTHING, buy(10), actions=dividend).flows == ()
    assert [flow.amount for flow in run([CALM] * 3, sell(10), actions=dividend, account="margin").flows] == [-10]


def test_position_without_bars_is_settled_at_its_last_mark() -> None:
    bars = {"A": [CALM, CALM, None, None, None], "B": [CALM] * 5}
    report = run(bars, buy(10), delisting_after=2, commission=("per_order", F(3)))
    last = report.fills[-1]
    assert (last.slice, last.raw, last.commission, last.reason) == (3, 100, 0, "delisted")


def test_end_of_data_marks_or_closes_with_costs() -> None:
    marked = run([CALM] * 2, buy(10), commission=("per_order", F(3)))
    closed = run([CALM] * 2, buy(10), commission=("per_order", F(3)), end_of_data="close")
    assert ([t.status for t in marked.trades], marked.states[-1].equity) == (["open"], 9997)
    assert ([t.exit_reason for t in closed.trades], closed.states[-1].cash) == (["end_of_data"], 9994)


# Records


def test_partial_exits_share_the_entry_costs() -> None:
    # 10 at 100 for 5, then 4 at 110 for 5: the row carries 2 of the entry's 5.
    up = (110, 111, 109, 110)
    report = run([CALM, CALM, up], buy(10), sell(4), commission=("per_order", F(5)))
    row, rest = report.trades
    assert (row.status, row.quantity, row.entry_commission, row.exit_commission) == ("partial", 4, 2, 5)
    assert (row.pnl_gross, row.pnl_net, rest.pnl_net) == (40, 33, 60 - 3)


def test_excursions_see_full_bars_between_and_only_open_and_exit_at_the_end() -> None:
    # Entry bar 100: 106 and 98. Exit bar opens at 104, is left at the limit 110, and its low 90 does not count.
    report = run([CALM, (100, 106, 98, 103), (104, 112, 90, 111)], buy(10), sell(10, limit=110))
    row = report.trades[0]
    assert (row.max_favorable_pct, row.max_adverse_pct) == (F(10, 100), F(-2, 100))


def test_excursions_of_a_limit_entry_know_only_what_came_after() -> None:
    # Bought at 95 on the way down: low 94 and close 97 are certain, high 110 is not.
    row = run([CALM, (100, 110, 94, 97)], buy(10, limit=95)).trades[0]
    assert (row.max_favorable_pct, row.max_adverse_pct) == (F(97, 95) - 1, F(94, 95) - 1)


# Everything at once


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_books_balance_in_every_world(first: int) -> None:
    for seed in range(first, first + 50):
        world, tape = worlds.generate(seed)
        report = reference(world, tape)
        earned = sum(trade.pnl_net for trade in report.trades)
        assert world.capital + earned == report.states[-1].equity
        spent = sum((1 if f.side == "buy" else -1) * f.quantity * f.price + f.commission for f in report.fills)
        assert world.capital - spent + sum(flow.amount for flow in report.flows) == report.states[-1].cash
        for trade in report.trades:
            side = 1 if trade.side == "long" else -1
            raw_return = trade.pnl_gross / (trade.quantity * trade.entry_price - side * trade.entry_slippage)
            assert trade.max_adverse_pct <= raw_return <= trade.max_favorable_pct
        for fill in report.fills:
            traded = world.bars[fill.symbol][fill.slice]
            assert fill.reason in ("delisted", "end_of_data") or traded.low <= fill.raw <= traded.high


def test_cash_account_is_never_short_and_never_borrows_to_buy() -> None:
    for seed in range(300):
        world, tape = worlds.generate(seed, worlds.FEATURES - {"margin"})
        report = reference(world, tape)
        assert all(quantity > 0 for state in report.states for _, quantity in state.positions)


def test_same_seed_same_world() -> None:
    assert worlds.generate(7) == worlds.generate(7)
    assert reference(*worlds.generate(7)) == reference(*worlds.generate(7))
