"""Profiles: named sets of execution rules, our own and those that reproduce other engines.

A profile is data. Each knob names one rule; `habits` turns the names into the objects that execution is wired with.
What the values mean, and which profile has which: docs/concepts/profiles.md.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Literal, get_args, get_origin, get_type_hints

from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.orders import CashPolicy
from ml4t_backtest.errors import ConfigError

ProfileName = Literal["backtrader@1.9", "vectorbt@1.2", "zipline@3", "backtesting.py@0.6"]
FillAt = Literal["next_open", "next_close", "same_close"]
_RULES_OF_OURS = "ml4t_backtest@1"


@dataclass(frozen=True)
class Profile:
    """A set of knobs; the defaults are our own rules.

    Attributes:
        name: Engine and version, for example `backtrader@1.9`.
        fill_at: What fills a market order: `next_open`, `next_close`, or `same_close`, the close it was decided at.
        trigger_on: What triggers limits and stops: the whole `range` of a bar, or its `close`, which is then their
            price too.
        gap_first: What the open triggers fills before the inside of any bar is looked at. False: each order at its turn
            is tried at the open and inside; a stop then goes before a target that the open had already reached.
        entry_bar_check: Which brackets are tested on the bar of their entry: `all`; those of a `market` entry, and the
            target of a stop entry whose stop lies outside the bar; `none`.
        child_lag: Bars after its entry from which on a bracket is tested otherwise: 0 or 1.
        limit_touch: A limit fills when the market comes to it (`touch`) or only when it goes beyond (`through`).
        stop_limit: What a stop-limit order fills at in the bar that triggers it inside, when the limit is not beyond
            the stop: the limit where the `close` is within it; the same only in a bar that closes against the stop's
            direction (`turn`); `never`, and its stop where the limit is beyond it and the bar reaches the limit.
        mark_source: What a trailing stop's water mark follows: the `extreme` of each bar, or its `close`.
        mark_update: The mark moves after the bar was tested against it; no other way is known.
        first_mark: Where the water mark begins: at the `entry` (for an order of its own at the first bar's open), or
            at the close of the `decision`.
        slip_on: Which fills slip: `all`; `opening`, only the shares that open or add; `orders`, not brackets.
        slip_cap: How far: not beyond a `limit`; neither that nor beyond the extremes of the `bar`; or `none`.
        cash_check: When money is checked: at the `fill`; when an order is submitted (`submit`), at the price it is
            expected at; at `both`; or `never`.
        failed_order_cost: Whether an order refused at submission gives back the money reserved for it (`released`), or
            stands in the way of those after it (`kept`).
        credit: Whose money is spent: `account`, what the account rules say; `short_proceeds`, cash, to which a short
            sale adds and of which it needs none; `full_margin`, equity up to the value held.
        order_sequence: `reducing_first`: within a phase orders that reduce, then by rank and sequence; `submission`,
            brackets with their parent; `stops_first`: stops of brackets and closing orders, the latest first, then as
            submitted; `symbol`.
        rounding: Whole shares: toward zero (`truncate`), the same after rounding what is within 0.0001 (`near`).
        tick: Grid of limit and stop prices, or None; buy limits and sell stops go down, the others up, where more
            than a twentieth of a tick is missing.
        lots: Whether what closes shares leaves brackets alone (`average`) or takes them along (`fifo`, oldest first).
        on_insufficient_cash: What happens to orders that money does not cover, unless configured.
        waives: Invariants of ours that do not hold under the profile.
        not_reproduced: What the engine does that the profile does not.

    See docs/concepts/profiles.md.

    >>> PROFILES["zipline@3"].fill_at
    'next_close'
    """

    name: str = _RULES_OF_OURS
    fill_at: FillAt = "next_open"
    trigger_on: Literal["range", "close"] = "range"
    gap_first: bool = True
    entry_bar_check: Literal["all", "market", "none"] = "all"
    child_lag: Literal[0, 1] = 0
    limit_touch: Literal["touch", "through"] = "touch"
    stop_limit: Literal["close", "turn", "never"] = "close"
    mark_source: Literal["extreme", "close"] = "extreme"
    mark_update: Literal["after_test"] = "after_test"
    first_mark: Literal["entry", "decision"] = "entry"
    slip_on: Literal["all", "opening", "orders"] = "all"
    slip_cap: Literal["limit", "bar", "none"] = "limit"
    cash_check: Literal["fill", "submit", "both", "never"] = "fill"
    failed_order_cost: Literal["released", "kept"] = "released"
    credit: Literal["account", "short_proceeds", "full_margin"] = "account"
    order_sequence: Literal["reducing_first", "submission", "stops_first", "symbol"] = "reducing_first"
    rounding: Literal["truncate", "near"] = "truncate"
    tick: float | None = None
    lots: Literal["average", "fifo"] = "average"
    on_insufficient_cash: CashPolicy | None = None
    waives: tuple[str, ...] = ()
    not_reproduced: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for knob, kind in get_type_hints(type(self)).items():
            words = _words(kind)
            if words and getattr(self, knob) not in words:
                named = [str(word) for word in words if word is not None]
                require_choice(f"{self.name}: {knob}", getattr(self, knob), named)
        for knobs, broken in self._contradictions():
            if broken:
                raise ConfigError(f"{self.name}: {knobs}")

    def _contradictions(self) -> tuple[tuple[str, bool], ...]:
        ours = self.order_sequence == "reducing_first"
        at_closes = self.fill_at == "next_close" or self.trigger_on == "close"
        lags, in_phases = self.child_lag == 1, self.entry_bar_check == "all"
        return (
            ("order_sequence reducing_first and gap_first go together", ours != self.gap_first),
            ("fill_at next_close and trigger_on close need gap_first: false", at_closes and self.gap_first),
            ("child_lag 1 needs entry_bar_check: none, and 0 needs another", lags != (self.entry_bar_check == "none")),
            ("entry_bar_check market needs gap_first: false, all needs true", in_phases != self.gap_first and not lags),
            ("tick must be above 0", self.tick is not None and not self.tick > 0.0),
        )

    def notes(self) -> list[str]:
        """Return what the summary of a run says about it; nothing where the rules are our own."""
        notes = []
        if self.name != OURS.name:
            notes.append(f"executed by the rules of {self.name}; it waives: {'; '.join(self.waives)}")
        if self.fill_at == "same_close":
            notes.append("fill_at same_close: orders fill at the close they were decided at")
        return notes


def _words(kind: object) -> tuple[object, ...]:
    """Return the values a type allows, where it is a choice of some, or of some and None."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    choices = [word for option in get_args(kind) for word in _words(option)]
    return (*choices, None) if choices else ()


BACKTRADER = Profile(
    name="backtrader@1.9",
    gap_first=False,
    entry_bar_check="none",
    child_lag=1,
    stop_limit="turn",
    mark_source="close",
    first_mark="decision",
    slip_cap="bar",
    cash_check="both",
    failed_order_cost="kept",
    credit="short_proceeds",
    order_sequence="submission",
    waives=(
        "a protective order lives from its entry's fill on: it sleeps until the next bar",
        "what the open reaches goes before the inside of the bar: a stop goes before a target that was gapped through",
        "reducing is never blocked: an order that follows a failed one can be refused at submission",
        "the cash of a short sale can be spent; nothing secures the position, and a ruined account is all that ends it",
    ),
    not_reproduced=(
        "children of a bracket that outlive their position and open a new one; ours end with it",
        "a commission per order or with a minimum, which an order that turns a position round is charged twice",
        "trading after equity has fallen to zero",
        "cheat-on-open, cheat-on-close, volume fillers, slippage options other than the defaults of set_slippage_*",
    ),
)

BACKTESTING = Profile(
    name="backtesting.py@0.6",
    gap_first=False,
    entry_bar_check="market",
    stop_limit="never",
    slip_on="opening",
    slip_cap="none",
    credit="full_margin",
    order_sequence="stops_first",
    lots="fifo",
    waives=(
        "what the open reaches goes before the inside of the bar: a stop goes before a target that was gapped through",
        "a limit order never fills beyond its limit: the spread comes on top",
        "a fill lies inside its bar: a stop-limit order fills at its stop in the bar that triggers it",
        "the bracket of a limit or stop entry is not tested on the bar of the entry",
    ),
    not_reproduced=(
        "several symbols: it has one",
        "margin of short positions at the close of the bar that fills, which is not known yet; ours is at the fill",
        "a commission per order or with a minimum on an order that closes several trades: charged for each of them",
        "trade_on_close, hedging, exclusive_orders, sizes that are fractions of equity",
    ),
)

VECTORBT = Profile(
    name="vectorbt@1.2",
    fill_at="same_close",
    gap_first=False,
    entry_bar_check="none",
    child_lag=1,
    slip_on="orders",
    slip_cap="none",
    credit="short_proceeds",
    order_sequence="symbol",
    on_insufficient_cash="clip",
    waives=(
        "an order cannot touch the slice it was decided on: it fills at that slice's close",
        "protective orders slip: they fill at their level",
        "what the open reaches goes before the inside of the bar: a stop goes before a target that was gapped through",
        "the cash of a short sale can be spent; nothing secures the position",
    ),
    not_reproduced=(
        "an order of the row in which a bracket exits is lost; ours comes after it",
        "cash that a bracket frees is only there for columns after its own; ours comes before all orders",
        "an order that covers a short is cut to cash as well",
        "call_seq auto, lock_cash, several orders of one symbol and row",
        "trading after equity has fallen to zero",
    ),
)

ZIPLINE = Profile(
    name="zipline@3",
    fill_at="next_close",
    trigger_on="close",
    gap_first=False,
    entry_bar_check="none",
    child_lag=1,
    slip_cap="none",
    cash_check="never",
    order_sequence="submission",
    rounding="near",
    tick=0.01,
    waives=(
        "a cash account does not go below zero: nothing is checked",
        "a limit order never fills beyond its limit: slippage comes on top",
        "a stop fills at its level: it fills at the close that is beyond it",
    ),
    not_reproduced=(
        "default costs: give the models of zipline's defaults",
        "cancellations at the end of a day of all orders of a symbol but the first, where a cancel policy is set",
        "trading after equity has fallen to zero",
    ),
)

OURS = Profile()
PROFILES = {profile.name: profile for profile in (BACKTRADER, VECTORBT, ZIPLINE, BACKTESTING)}


def profile_of(choice: Profile | str | None) -> Profile:
    """Return a profile by its name; our own rules for None.

    >>> profile_of("backtrader@1.8")
    Traceback (most recent call last):
    ml4t_backtest.errors.ConfigError: profile 'backtrader@1.8' is unknown; nearest: backtrader@1.9

    Raises:
        ConfigError: There is no profile of this name.
    """
    if choice is None:
        return OURS
    if isinstance(choice, Profile):
        return choice
    if choice not in PROFILES:
        near = difflib.get_close_matches(choice, PROFILES, n=1) or sorted(PROFILES)
        raise ConfigError(f"profile {choice!r} is unknown; nearest: {', '.join(near)}")
    return PROFILES[choice]


def with_fill_at(profile: Profile, fill_at: FillAt | None) -> Profile:
    """Return a profile with another `fill_at`; the same one for None.

    Raises:
        ConfigError: The word is unknown, or it does not go with the other knobs.
    """
    return profile if fill_at in (None, profile.fill_at) else replace(profile, fill_at=fill_at)
