"""Rules of order types in other engines, for their profiles; see `order_types` for ours."""

from __future__ import annotations

from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.order_types import RULES, Bar, Levels, Limit, Rule, Rules, StopLimit
from ml4t_backtest.execution.profiles import Profile


class ThroughLimit(Limit):
    """Fills when the market goes beyond the limit; a price that only touches it does not count."""

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the price if it is below the limit."""
        return price if price < levels.limit else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the limit if the low is below it."""
        return levels.limit if bar.low < levels.limit else None


class TurningStopLimit(StopLimit):
    """Where the limit is below the stop, only a bar that falls from open to close fills at once."""

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return what our own rule does, but for a bar that triggers the stop and does not fall back."""
        was_triggered = order.triggered
        price = super().inside(order, levels, bar)
        if was_triggered or levels.stop <= levels.limit:
            return price
        return price if bar.open > bar.close else None


class WaitingStopLimit(StopLimit):
    """In the bar that triggers it, it fills at its stop or not at all; afterwards it is a limit."""

    def at_once(self, order: Order, levels: Levels, price: float) -> float | None:
        """Return the price if the stop was triggered by an earlier bar and it is within the limit."""
        return price if order.triggered and price <= levels.limit else None

    def inside(self, order: Order, levels: Levels, bar: Bar) -> float | None:
        """Return the stop if the bar reaches it and the limit, which is above; even where the open is above both."""
        if order.triggered:
            return levels.limit if bar.low <= levels.limit else None
        if bar.high < levels.stop:
            return None
        order.triggered = True
        return levels.stop if bar.low <= levels.limit and levels.limit > levels.stop else None


_STOP_LIMITS: dict[str, Rule] = {"close": RULES["stop_limit"], "turn": TurningStopLimit(), "never": WaitingStopLimit()}
_LIMITS: dict[str, Rule] = {"touch": RULES["limit"], "through": ThroughLimit()}


def rules_of(profile: Profile) -> Rules:
    """Return the rule of every order type: knobs `limit_touch` and `stop_limit`."""
    return {**RULES, "limit": _LIMITS[profile.limit_touch], "stop_limit": _STOP_LIMITS[profile.stop_limit]}
