"""One test per knob of a profile, by hand, and what surrounds profiles: names, contradictions, notes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from parity.ours import replay as run
from parity.scenarios import SCENARIOS, SESSIONS, prices_of
from parity.tape import Outcome, Tape, TapeOrder

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.execution.profiles import OURS, PROFILES, Profile, ProfileName, profile_of, with_fill_at

# One pass over the orders, which every knob that is not a rule of our phases needs.
ONE_PASS = Profile(
    "test", gap_first=False, order_sequence="submission", entry_bar_check="none", child_lag=1, credit="short_proceeds"
)
BARS = "100 101 99 100, 101 103 100 102, 103 104 101 102, 102 103 96 97, 96 98 93 94, 95 99 94 98"
SLIP_1_PERCENT = {"model": "percentage", "rate": 0.01}


def replay(bars: str | dict[str, str], *orders: TapeOrder, profile: Profile = OURS, **options: Any) -> Outcome:
    """Run orders over bars written as text."""
    texts = {"A": bars} if isinstance(bars, str) else bars
    prices = {symbol: prices_of(text) for symbol, text in texts.items()}
    length = len(next(iter(prices.values()))["open"])
    return run(Tape("test", list(SESSIONS[:length]), prices, list(orders), **options), profile)


def told(outcome: Outcome) -> list[tuple[int, str, float, float]]:
    """Return fills as (slice, side, quantity, price)."""
    return [(fill.slice, fill.side, fill.quantity, fill.price) for fill in outcome.fills]


def buy(at: int, quantity: float = 10.0, **terms: Any) -> TapeOrder:
    return TapeOrder(at, terms.pop("symbol", "A"), quantity, **terms)


def sell(at: int, quantity: float = 10.0, **terms: Any) -> TapeOrder:
    return TapeOrder(at, terms.pop("symbol", "A"), -quantity, **terms)


@pytest.mark.parametrize(
    ("fill_at", "filled"), [("next_open", (2, 103.0)), ("next_close", (2, 102.0)), ("same_close", (1, 102.0))]
)
def test_fill_at_is_the_price_and_slice_of_a_market_order(fill_at: Any, filled: tuple[int, float]) -> None:
    (fill,) = replay(BARS, buy(1), profile=replace(ONE_PASS, fill_at=fill_at)).fills
    assert (fill.slice, fill.price) == filled


def test_fill_at_same_close_works_with_our_own_rules_and_marks_the_position_at_that_close() -> None:
    # 10 bought at 102 for 0.1 % = 1.02; the close is the mark, so only the commission is gone.
    commission = {"model": "percentage", "rate": 0.001}
    outcome = replay(BARS, buy(1), profile=with_fill_at(OURS, "same_close"), commission=commission)
    assert told(outcome) == [(1, "buy", 10.0, 102.0)]
    assert outcome.equity[1] == pytest.approx(100_000.0 - 1.02)


def test_under_same_close_reducing_orders_come_first_and_pay_for_others() -> None:
    same_close = with_fill_at(OURS, "same_close")
    bars = {"A": BARS, "B": BARS}
    orders = [buy(1, 9.0), buy(2, 9.0, symbol="B"), sell(2, 9.0)]
    outcome = replay(bars, *orders, profile=same_close, capital=1_000.0)
    assert [(fill.slice, fill.symbol, fill.side) for fill in outcome.fills] == [
        (1, "A", "buy"),
        (2, "A", "sell"),
        (2, "B", "buy"),
    ]


def test_under_same_close_a_limit_meets_the_close_and_then_the_next_bars() -> None:
    same_close = with_fill_at(OURS, "same_close")
    # The close of slice 1 is 102: within 102.5; above 97, which the low of 96 of slice 3 reaches.
    assert told(replay(BARS, buy(1, limit=102.5), profile=same_close)) == [(1, "buy", 10.0, 102.0)]
    assert told(replay(BARS, buy(1, limit=97.0), profile=same_close)) == [(3, "buy", 10.0, 97.0)]


def test_under_same_close_a_bracket_lives_from_the_next_slice_on() -> None:
    # The bar of the entry fell to 100 before its close of 102; the stop at 101.5 fills in the next bar only.
    outcome = replay(BARS, buy(1, stop_loss=101.5), profile=with_fill_at(OURS, "same_close"))
    assert told(outcome) == [(1, "buy", 10.0, 102.0), (2, "sell", 10.0, 101.5)]


def test_trigger_on_close_lets_only_closes_trigger_and_fills_there() -> None:
    # The low of 96 in slice 3 is below 96.5, the close of 97 is not; slice 4 closes at 94.
    profile = replace(ONE_PASS, trigger_on="close")
    assert told(replay(BARS, buy(1), sell(2, stop=96.5), profile=profile))[1] == (4, "sell", 10.0, 94.0)
    assert told(replay(BARS, buy(1), sell(2, stop=96.5)))[1] == (3, "sell", 10.0, 96.5)


def test_without_gap_first_a_stop_goes_before_a_target_that_was_gapped_through() -> None:
    bars = "100 101 99 100, 100 101 99 100, 100 101 99 100, 115 116 90 92"
    order = buy(1, stop_loss=95.0, take_profit=110.0)
    assert told(replay(bars, order))[1] == (3, "sell", 10.0, 115.0)
    assert told(replay(bars, order, profile=ONE_PASS))[1] == (3, "sell", 10.0, 95.0)


def test_entry_bar_check_none_lets_a_bracket_sleep_on_the_bar_of_its_entry() -> None:
    bars = "100 101 99 100, 100 101 99 100, 100 101 90 99, 98 99 94 97"
    order = buy(1, stop_loss=95.0)
    assert told(replay(bars, order))[1] == (2, "sell", 10.0, 95.0)
    assert told(replay(bars, order, profile=ONE_PASS))[1] == (3, "sell", 10.0, 95.0)


@pytest.mark.parametrize(
    ("terms", "exits_at"),
    [({}, 2), ({"limit": 99.0}, 3), ({"stop": 101.0}, 3)],
    ids=["market: the stop in its bar", "limit: the next bar", "stop, and its stop inside the bar: the next bar"],
)
def test_entry_bar_check_market_tests_only_what_is_certain(terms: dict[str, float], exits_at: int) -> None:
    bars = "100 101 99 100, 100 101 99 100, 100 102 90 99, 98 99 94 97"
    profile = replace(ONE_PASS, entry_bar_check="market", child_lag=0)
    outcome = replay(bars, buy(1, stop_loss=95.0, **terms), profile=profile)
    assert [fill.slice for fill in outcome.fills] == [2, exits_at]


def test_entry_bar_check_market_tests_the_target_of_a_stop_entry_whose_stop_the_bar_never_sees() -> None:
    bars = "100 101 99 100, 100 101 99 100, 100 106 99 105, 105 106 104 105"
    profile = replace(ONE_PASS, entry_bar_check="market", child_lag=0)
    outcome = replay(bars, buy(1, stop=101.0, stop_loss=95.0, take_profit=105.5), profile=profile)
    assert told(outcome) == [(2, "buy", 10.0, 101.0), (2, "sell", 10.0, 105.5)]


def test_limit_touch_through_needs_a_price_beyond_the_limit() -> None:
    profile = Profile("test", limit_touch="through")
    assert told(replay(BARS, buy(1, limit=101.0))) == [(2, "buy", 10.0, 101.0)]
    assert told(replay(BARS, buy(1, limit=101.0), profile=profile)) == [(3, "buy", 10.0, 101.0)]


@pytest.mark.parametrize(
    ("stop_limit", "bar", "filled"),
    [
        # Triggered at 103 inside the bar, limit 102: the close of 101 is within it.
        ("close", "102.5 104 101 101", (2, 102.0)),
        ("turn", "102.5 104 101 101", (2, 102.0)),
        ("never", "102.5 104 101 101", (3, 100.0)),
        # The same in a bar that closes above its open.
        ("close", "101 104 100 101.5", (2, 102.0)),
        ("turn", "101 104 100 101.5", (3, 100.0)),
    ],
)
def test_stop_limit_says_what_happens_in_the_bar_of_the_trigger(
    stop_limit: Any, bar: str, filled: tuple[int, float]
) -> None:
    bars = f"100 101 99 100, 100 101 99 100, {bar}, 100 101 99 100"
    (fill,) = replay(bars, buy(1, stop=103.0, limit=102.0), profile=Profile("test", stop_limit=stop_limit)).fills
    assert (fill.slice, fill.price) == filled


def test_stop_limit_never_fills_at_its_stop_even_above_which_the_bar_opens() -> None:
    bars = "100 101 99 100, 100 101 99 100, 103 104 102 103, 100 101 99 100"
    (fill,) = replay(bars, buy(1, stop=101.0, limit=102.5), profile=Profile("test", stop_limit="never")).fills
    assert (fill.slice, fill.price) == (2, 101.0)


def test_mark_source_close_moves_a_trailing_stop_by_closes() -> None:
    # Highs of slices 2 and 3: 104, closes: 102; a stop of 4 below is 100 or 98. Slice 3 opens at 102 and falls to 96.
    assert told(replay(BARS, buy(1), sell(1, trail_amount=4.0)))[1] == (3, "sell", 10.0, 100.0)
    profile = Profile("test", mark_source="close", first_mark="decision")
    assert told(replay(BARS, buy(1), sell(1, trail_amount=4.0), profile=profile))[1] == (3, "sell", 10.0, 98.0)


def test_first_mark_decision_begins_at_the_close_of_the_decision() -> None:
    # Decided at 100, entered at 103; a fall of 3 % from 100 is 97, from 103 it is 99.91.
    bars = "100 101 99 100, 100 101 99 100, 103 103 102 102, 102 102 96 97"
    order = buy(1, trailing_stop_percent=0.03)
    assert told(replay(bars, order))[1] == (3, "sell", 10.0, pytest.approx(99.91))
    profile = replace(ONE_PASS, first_mark="decision", mark_source="close")
    assert told(replay(bars, order, profile=profile))[1] == (3, "sell", 10.0, 97.0)


def test_slip_on_opening_lets_only_what_opens_slip_and_a_flip_gets_the_average() -> None:
    # Buy 10 at 103 + 1 % = 104.03; sell 25 at 102: 10 at 102 and 15 at 100.98, on average (1020 + 1514.7) / 25.
    profile = replace(ONE_PASS, slip_on="opening")
    outcome = replay(BARS, buy(1), sell(2, 25.0), profile=profile, slippage=SLIP_1_PERCENT)
    assert told(outcome) == [(2, "buy", 10.0, 104.03), (3, "sell", 25.0, pytest.approx(101.388))]


def test_slip_on_orders_leaves_brackets_at_their_level() -> None:
    outcome = replay(BARS, buy(1, stop_loss=98.0), profile=Profile("test", slip_on="orders"), slippage=SLIP_1_PERCENT)
    assert told(outcome) == [(2, "buy", 10.0, 104.03), (3, "sell", 10.0, 98.0)]


@pytest.mark.parametrize(
    ("slip_cap", "market", "limit"), [("limit", 104.03, 102.5), ("bar", 104.0, 102.5), ("none", 104.03, 103.02)]
)
def test_slip_cap_says_how_far_slippage_goes(slip_cap: Any, market: float, limit: float) -> None:
    # 103 + 1 % with a high of 104; the limit of 102.5 opens at 102 and would cost 103.02.
    profile = Profile("test", slip_cap=slip_cap)
    outcome = replay(BARS, buy(1), buy(2, limit=102.5), profile=profile, slippage=SLIP_1_PERCENT)
    assert [fill.price for fill in outcome.fills] == [pytest.approx(market), pytest.approx(limit)]


TWO = {
    "A": "100 100 100 100, 100 100 100 100, 100 100 100 100, 100 100 100 100",
    "B": "50 50 50 50, " * 3 + "50 50 50 50",
}


@pytest.mark.parametrize(
    ("cash_check", "failed", "filled"),
    [
        # 1,000 of cash: 15 x 100 is too much, 10 x 50 is not, unless the 500 that are missing count.
        ("fill", "released", [("B", 10.0)]),
        ("submit", "released", [("B", 10.0)]),
        ("submit", "kept", []),
        ("both", "kept", []),
        ("never", "released", [("A", 15.0), ("B", 10.0)]),
    ],
)
def test_cash_check_and_failed_order_cost(cash_check: Any, failed: Any, filled: list[tuple[str, float]]) -> None:
    profile = replace(ONE_PASS, cash_check=cash_check, failed_order_cost=failed)
    outcome = replay(TWO, buy(1, 15.0), buy(1, symbol="B"), profile=profile, capital=1_000.0)
    assert [(fill.symbol, fill.quantity) for fill in outcome.fills] == filled


def test_cash_check_submit_lets_an_order_fill_at_a_price_it_cannot_pay_and_both_does_not() -> None:
    # Decided at 100 with 1,000 of cash, the open is 105.
    bars = "100 100 100 100, 100 100 100 100, 105 105 105 105, 105 105 105 105"
    submit, both = (replace(ONE_PASS, cash_check=check) for check in ("submit", "both"))
    assert told(replay(bars, buy(1), profile=submit, capital=1_000.0)) == [(2, "buy", 10.0, 105.0)]
    assert told(replay(bars, buy(1), profile=both, capital=1_000.0)) == []


def test_an_entry_whose_bracket_cannot_be_paid_for_in_thought_is_refused() -> None:
    # Sell 10 at 100 (+1,000), cover at 110 (-1,100) and again at 90 (-900): 1,000 + 1,000 - 1,100 - 900 = 0 is enough.
    order = sell(1, stop_loss=110.0, take_profit=90.0)
    profile = replace(ONE_PASS, cash_check="both", failed_order_cost="kept")
    assert len(replay(TWO["A"], order, profile=profile, capital=1_000.0).fills) == 1
    assert len(replay(TWO["A"], order, profile=profile, capital=999.0).fills) == 0


@pytest.mark.parametrize(("credit", "filled"), [("short_proceeds", 15.0), ("full_margin", 0.0)])
def test_credit_says_whether_the_proceeds_of_a_short_sale_buy_something(credit: Any, filled: float) -> None:
    # 1,000 of cash and 1,000 of a short sale; 15 x 50 = 750 more, while 1,000 of equity already secure the short.
    profile = replace(ONE_PASS, credit=credit)
    outcome = replay(TWO, sell(1), buy(2, 15.0, symbol="B"), profile=profile, capital=1_000.0)
    assert outcome.fills[0].side == "sell"
    assert sum(fill.quantity for fill in outcome.fills if fill.symbol == "B") == filled


@pytest.mark.parametrize(
    ("sequence", "symbols"), [("submission", ["B", "A"]), ("symbol", ["A", "B"]), ("stops_first", ["B", "A"])]
)
def test_order_sequence_says_who_comes_first(sequence: Any, symbols: list[str]) -> None:
    profile = replace(ONE_PASS, order_sequence=sequence)
    outcome = replay(TWO, buy(1, symbol="B"), buy(1), profile=profile)
    assert [fill.symbol for fill in outcome.fills] == symbols


def test_order_sequence_submission_does_not_let_a_sale_pay_for_an_earlier_buy() -> None:
    orders = [buy(1), buy(2, 15.0, symbol="B"), sell(2)]
    assert len(replay(TWO, *orders, capital=1_000.0).fills) == 3
    assert len(replay(TWO, *orders, profile=ONE_PASS, capital=1_000.0).fills) == 2


def test_order_sequence_stops_first_puts_a_bracket_before_an_earlier_order() -> None:
    # A limit given at slice 1 and the stop of the bracket entered at slice 2 both fill in slice 3; the stop is first.
    profile = replace(ONE_PASS, order_sequence="stops_first")
    outcome = replay(BARS, buy(1, 5.0, limit=97.0), buy(1, stop_loss=96.5), profile=profile)
    assert told(outcome)[1:] == [(3, "sell", 10.0, 96.5), (3, "buy", 5.0, 97.0)]


def test_rounding_near_takes_what_is_almost_whole_as_whole() -> None:
    outcome = replay(BARS, buy(1, 9.99995), buy(1, 3.5), profile=Profile("test", rounding="near"))
    assert [fill.quantity for fill in outcome.fills] == [10.0, 3.0]
    assert [fill.quantity for fill in replay(BARS, buy(1, 9.99995)).fills] == [9.0]


@pytest.mark.parametrize(
    ("given", "buy_limit", "buy_stop"),
    [(101.004, 101.00, 101.01), (101.0096, 101.01, 101.01), (101.0004, 101.00, 101.00), (101.0006, 101.00, 101.01)],
)
def test_tick_rounds_to_the_traders_good_but_for_a_twentieth(given: float, buy_limit: float, buy_stop: float) -> None:
    # Filled at their levels: the open of slice 2 is beyond neither, its range reaches both.
    bars = "100 101 99 100, 100 101 99 100, {} 104 98 103"
    profile = Profile("test", tick=0.01)
    limit = replay(bars.format(103), buy(1, limit=given), profile=profile)
    stop = replay(bars.format(99), buy(1, stop=given), profile=profile)
    assert [fill.price for fill in (*limit.fills, *stop.fills)] == [pytest.approx(buy_limit), pytest.approx(buy_stop)]


def test_lots_fifo_takes_the_oldest_bracket_along() -> None:
    # Lots of 10 (stop 98) and 5 (stop 94): a sale of 10 is the first lot, so only 94 is left in slices 3 and 4.
    bars = "100 101 99 100, 100 101 99 100, 100 101 99 100, 100 101 99 100, 99 100 96 97, 97 98 93 94"
    orders = [buy(1, stop_loss=98.0), buy(1, 5.0, stop_loss=94.0), sell(2)]
    fifo = replay(bars, *orders, profile=Profile("test", lots="fifo"))
    assert told(fifo)[3:] == [(5, "sell", 5.0, 94.0)]
    assert told(replay(bars, *orders))[3:] == [(4, "sell", 5.0, 98.0)]


def test_lots_fifo_shrinks_a_bracket_of_which_a_part_is_sold() -> None:
    bars = "100 101 99 100, 100 101 99 100, 100 101 99 100, 100 101 99 100, 99 100 96 97"
    orders = [buy(1, stop_loss=98.0), buy(1, 5.0, stop_loss=90.0), sell(2, 4.0)]
    fifo = replay(bars, *orders, profile=Profile("test", lots="fifo"))
    assert told(fifo)[3:] == [(4, "sell", 6.0, 98.0)]


# Around the knobs


@pytest.mark.parametrize("scenario", SCENARIOS[::4], ids=lambda each: each.tape.name)
def test_our_own_profile_changes_nothing(scenario: Any) -> None:
    shorts = {**vars(scenario.tape), "shorts": False}
    assert run(Tape(**shorts), OURS) == run(Tape(**shorts))


def test_the_profiles_are_the_names_a_configuration_can_choose() -> None:
    assert set(PROFILES) == set(get_args(ProfileName))
    assert all(profile.waives and profile.not_reproduced for profile in PROFILES.values())
    assert all(profile.name == name for name, profile in PROFILES.items())


def test_every_profile_differs_from_our_rules_and_from_the_others() -> None:
    knobs = [each.name for each in fields(Profile) if each.name not in ("name", "waives", "not_reproduced")]
    kinds = {tuple(getattr(profile, knob) for knob in knobs) for profile in (OURS, *PROFILES.values())}
    assert len(kinds) == len(PROFILES) + 1


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("backtrader@2", "backtrader@1.9"), ("vectorbt", "vectorbt@1.2"), ("backtesting", "backtesting.py@0.6")],
)
def test_an_unknown_profile_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"profile '{name}' is unknown; nearest: {nearest}"):
        profile_of(name)


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"gap_first": False}, "order_sequence reducing_first and gap_first go together"),
        ({"fill_at": "next_close"}, "need gap_first: false"),
        ({"trigger_on": "close"}, "need gap_first: false"),
        ({"child_lag": 1}, "child_lag 1 needs entry_bar_check: none"),
        ({"entry_bar_check": "market"}, "entry_bar_check market needs gap_first: false"),
        ({"tick": 0.0}, "tick must be above 0"),
        ({"slip_cap": "br"}, "slip_cap must be one of limit, bar, none, got 'br'"),
        ({"on_insufficient_cash": "drop"}, "on_insufficient_cash must be one of clip, reject"),
    ],
)
def test_knobs_that_contradict_each_other_are_refused(knobs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Profile("test", **knobs)


def test_the_notes_name_the_profile_and_what_it_waives() -> None:
    assert OURS.notes() == []
    (note,) = PROFILES["backtrader@1.9"].notes()
    assert note.startswith("executed by the rules of backtrader@1.9; it waives: a protective order lives from")
    assert with_fill_at(OURS, "same_close").notes() == [
        "fill_at same_close: orders fill at the close they were decided at"
    ]
    assert len(PROFILES["vectorbt@1.2"].notes()) == 2
