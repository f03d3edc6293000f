"""When a bracket begins to live, and what a trailing stop's water mark follows.

Knobs `entry_bar_check`, `child_lag`; `mark_source`, `first_mark`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.order_types import Bar, Birth
from ml4t_backtest.execution.profiles import Profile


class Awakening(Protocol):
    """Which brackets see the bar of their entry."""

    def awake(self, bracket: Sequence[Order]) -> Sequence[Order]:
        """Return the orders that live from their entry's fill on; the others live from the next slice on."""
        ...

    def rouses(self, entry: Order, bracket: Sequence[Order], bar: Bar) -> bool:
        """Return whether a fill makes all orders of the slice, new brackets too, go through the whole bar once more."""
        ...


class AtOnce:
    """All see what is left of it."""

    def awake(self, bracket: Sequence[Order]) -> Sequence[Order]:
        """Return the bracket."""
        return bracket

    def rouses(self, entry: Order, bracket: Sequence[Order], bar: Bar) -> bool:
        """Return False."""
        return False


class NextBar:
    """None does."""

    def awake(self, bracket: Sequence[Order]) -> Sequence[Order]:
        """Return nothing."""
        return ()

    def rouses(self, entry: Order, bracket: Sequence[Order], bar: Bar) -> bool:
        """Return False."""
        return False


class AfterMarketEntry(NextBar):
    """All do, as soon as one follows a market entry, or a stop entry whose bar reaches its target and not its stop."""

    def rouses(self, entry: Order, bracket: Sequence[Order], bar: Bar) -> bool:
        """Return whether nothing of the bracket can have been reached before the entry."""
        if entry.kind != "stop":
            return entry.kind == "market"
        sign = entry.sign
        seen = bar.seen_by(sign)
        stops = [sign * order.stop for order in bracket if order.stop is not None]
        targets = [sign * order.limit for order in bracket if order.limit is not None]
        return any(target <= seen.high for target in targets) and all(stop < seen.low for stop in stops)


class WaterMarks(Protocol):
    """Where a trailing stop's water mark begins and what moves it."""

    def at_decision(self, close: float) -> float | None:
        """Return the mark an order is given when it is decided; None leaves it to its first bar."""
        ...

    def of_child(self, entry: Order, raw_price: float) -> float:
        """Return the mark of a bracket's trailing stop, given the raw price of its entry's fill."""
        ...

    def best(self, order: Order, bar: Bar, birth: Birth | None) -> float:
        """Return the best price a bar adds to the mark."""
        ...


class LivedExtremes:
    """Begins at the entry and follows what the order has certainly lived through."""

    def at_decision(self, close: float) -> float | None:
        """Return None."""
        return None

    def of_child(self, entry: Order, raw_price: float) -> float:
        """Return the entry's price."""
        return raw_price

    def best(self, order: Order, bar: Bar, birth: Birth | None) -> float:
        """Return the bar's extreme; its close where the extreme may be older than the order."""
        if birth is not None and birth.direction not in (None, -order.sign):
            return bar.close
        return bar.high if order.side == "sell" else bar.low


class ClosesSinceDecision:
    """Begins at the close of the decision, which brackets share with their entry, and follows closes."""

    def at_decision(self, close: float) -> float | None:
        """Return the close."""
        return close

    def of_child(self, entry: Order, raw_price: float) -> float:
        """Return the close at which the entry was decided."""
        return raw_price if entry.water is None else entry.water

    def best(self, order: Order, bar: Bar, birth: Birth | None) -> float:
        """Return the close."""
        return bar.close


class _Mixed:
    """One rule for where a mark begins, another for what moves it."""

    def __init__(self, begins: WaterMarks, moves: WaterMarks) -> None:
        self.at_decision = begins.at_decision
        self.of_child = begins.of_child
        self.best = moves.best


_AWAKENINGS: dict[str, Awakening] = {"all": AtOnce(), "market": AfterMarketEntry(), "none": NextBar()}
_BEGIN: dict[str, WaterMarks] = {"entry": LivedExtremes(), "decision": ClosesSinceDecision()}
_MOVE: dict[str, WaterMarks] = {"extreme": LivedExtremes(), "close": ClosesSinceDecision()}


def awakening_of(profile: Profile) -> Awakening:
    """Return which brackets see the bar of their entry."""
    return _AWAKENINGS[profile.entry_bar_check]


def water_marks_of(profile: Profile) -> WaterMarks:
    """Return the rules of water marks."""
    return _Mixed(_BEGIN[profile.first_mark], _MOVE[profile.mark_source])
