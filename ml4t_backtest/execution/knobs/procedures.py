"""How a slice is traded: in the phases of our contract, or in one pass. Knobs `fill_at`, `trigger_on`, `gap_first`."""

from __future__ import annotations

from typing import Protocol

from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.broker import Broker, direction_of
from ml4t_backtest.execution.filling import Chance
from ml4t_backtest.execution.order_types import Bar, Rules, price_at_once, price_inside
from ml4t_backtest.execution.profiles import Profile


class Procedure(Protocol):
    """What happens between the open and the close of a slice, and once the strategy has decided."""

    def trade(self) -> None:
        """Steps 1 and 2."""
        ...

    def decided(self) -> None:
        """End of step 4."""
        ...


class InPhases:
    """The open of all orders, then the inside of all bars."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def trade(self) -> None:
        """Fill at the open, reducing orders first; then test the inside of the bars."""
        self._broker.at_open()
        self._broker.inside()

    def decided(self) -> None:
        """Do nothing: orders wait for the next slice."""


class OpenOrInside:
    """The open where it triggers, else the inside of the bar."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def chance(self, order: Order, bar: Bar, row: int) -> Chance | None:
        """Return where an order fills in a bar, None where it does not."""
        raw = price_at_once(order, bar.open, self._rules)
        if raw is not None:
            return Chance(raw, row, "open")
        was_limit = order.triggered
        raw, _ = price_inside(order, bar, None, self._rules)
        return None if raw is None else Chance(raw, row, direction_of(order, raw, was_limit=was_limit))


class Close:
    """The close, for orders at market and as what triggers the others."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def chance(self, order: Order, bar: Bar, row: int) -> Chance | None:
        """Return the close where it fills the order."""
        raw = price_at_once(order, bar.close, self._rules)
        return None if raw is None else Chance(raw, row, "close")


class CloseOfSome:
    """The close for orders at market alone, or for all others alone; the bar for the rest."""

    def __init__(self, rules: Rules, *, for_market: bool) -> None:
        self._close, self._bar = Close(rules), OpenOrInside(rules)
        self._for_market = for_market

    def chance(self, order: Order, bar: Bar, row: int) -> Chance | None:
        """Return where an order fills in a bar."""
        at_close = (order.kind == "market") == self._for_market
        return (self._close if at_close else self._bar).chance(order, bar, row)


class OnePass:
    """Each order at its turn, wherever in the bar it fills; what it frees can be spent by the next one."""

    def __init__(self, broker: Broker, prices: OpenOrInside | Close | CloseOfSome) -> None:
        self._broker = broker
        self._prices = prices

    def trade(self) -> None:
        """Try every order once."""
        self._broker.in_one_pass(self._prices.chance)

    def decided(self) -> None:
        """Do nothing: orders wait for the next slice."""


class ThenSameClose:
    """Another procedure, and what is decided fills at the close it was decided at."""

    def __init__(self, broker: Broker, procedure: Procedure, *, reducing_first: bool) -> None:
        self._broker = broker
        self._procedure = procedure
        self._reducing_first = reducing_first

    def trade(self) -> None:
        """Trade as the other one does."""
        self._procedure.trade()

    def decided(self) -> None:
        """Fill at the close."""
        self._broker.at_same_close(reducing_first=self._reducing_first)


def procedure_of(profile: Profile, broker: Broker, rules: Rules) -> Procedure:
    """Return how slices are traded."""
    procedure: Procedure = InPhases(broker) if profile.gap_first else OnePass(broker, _prices_of(profile, rules))
    if profile.fill_at == "same_close":
        return ThenSameClose(broker, procedure, reducing_first=profile.gap_first)
    return procedure


def _prices_of(profile: Profile, rules: Rules) -> OpenOrInside | Close | CloseOfSome:
    market_at_close, others_at_close = profile.fill_at == "next_close", profile.trigger_on == "close"
    if market_at_close and others_at_close:
        return Close(rules)
    if market_at_close or others_at_close:
        return CloseOfSome(rules, for_market=market_at_close)
    return OpenOrInside(rules)
