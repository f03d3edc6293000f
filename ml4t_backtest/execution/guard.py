"""Rules for a whole strategy: protection every position gets, and limits the portfolio must keep."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ml4t_backtest.core.choices import is_number
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Protection
from ml4t_backtest.execution.accounts import Outlook
from ml4t_backtest.portfolio.ledger import Valuation


@dataclass(frozen=True, slots=True)
class PositionRules:
    """Protection for every entry whose own order does not say otherwise.

    Attributes:
        stop_loss_percent: Distance of the stop, a fraction of the raw entry price.
        take_profit_percent: Distance of the target, a fraction of the raw entry price.
        trailing_stop_percent: Distance of a trailing stop, a fraction of the water mark.
        max_holding_bars: Bars after the entry bar at whose open the position is closed.
        stop_loss_atr: Distance of the stop in average true ranges at the decision.
        take_profit_atr: Distance of the target in average true ranges at the decision.
        atr_column: Indicator column that holds the average true range, account currency per share.

    >>> PositionRules(stop_loss_percent=5.0)
    Traceback (most recent call last):
    ValueError: stop_loss_percent must be a number above 0 and below 1, got 5.0
    """

    stop_loss_percent: float | None = None
    take_profit_percent: float | None = None
    trailing_stop_percent: float | None = None
    max_holding_bars: int | None = None
    stop_loss_atr: float | None = None
    take_profit_atr: float | None = None
    atr_column: str = "atr"

    def __post_init__(self) -> None:
        fractions = ("stop_loss_percent", "trailing_stop_percent")
        numbers = ("take_profit_percent", "stop_loss_atr", "take_profit_atr")
        _refuse(
            *(_wrong(name, getattr(self, name), below=1.0) for name in fractions),
            *(_wrong(name, getattr(self, name)) for name in numbers),
            _wrong_count("max_holding_bars", self.max_holding_bars),
        )

    def complete(self, own: Protection, market: Market, symbol_id: int) -> Protection:
        """Return an order's protection with what these rules add to it, at the deciding slice."""
        added = {
            name: getattr(self, name)
            for name in ("trailing_stop_percent", "max_holding_bars")
            if getattr(own, name) is None
        }
        if not own.has_stop:
            added["stop_loss_percent"] = self.stop_loss_percent
            added["stop_loss_distance"] = self._distance(self.stop_loss_atr, market, symbol_id)
        if not own.has_target:
            added["take_profit_percent"] = self.take_profit_percent
            added["take_profit_distance"] = self._distance(self.take_profit_atr, market, symbol_id)
        wanted = {name: value for name, value in added.items() if value is not None}
        return replace(own, **wanted) if wanted else own

    def _distance(self, multiple: float | None, market: Market, symbol_id: int) -> float | None:
        row = market.row_of(symbol_id)
        if multiple is None or row is None:
            return None
        atr = market.chunk.frame[self.atr_column][row]
        return None if atr is None else multiple * float(atr)


@dataclass(frozen=True, slots=True)
class PortfolioLimits:
    """What the whole portfolio must keep; checked when something opens, and at each close.

    Attributes:
        max_positions: Symbols held at once.
        max_weight: Value of one position, a fraction of equity.
        max_gross_exposure: Sum of |value|, a fraction of equity.
        max_net_exposure: |Sum of value|, a fraction of equity.
        max_drawdown: Fall of equity from its highest close, a fraction; reaching it closes everything for good.
        max_daily_loss: Fall of equity since the last session, a fraction; reaching it closes everything, and what is
            decided in that session opens nothing.

    >>> PortfolioLimits(max_positions=20, max_weight=0.1).max_drawdown is None
    True
    """

    max_positions: int | None = None
    max_weight: float | None = None
    max_gross_exposure: float | None = None
    max_net_exposure: float | None = None
    max_drawdown: float | None = None
    max_daily_loss: float | None = None

    def __post_init__(self) -> None:
        fractions = ("max_drawdown", "max_daily_loss")
        multiples = ("max_weight", "max_gross_exposure", "max_net_exposure")
        _refuse(
            *(_wrong(name, getattr(self, name), below=1.0) for name in fractions),
            *(_wrong(name, getattr(self, name)) for name in multiples),
            _wrong_count("max_positions", self.max_positions),
        )

    def admit(self, after: Outlook) -> bool:
        """Return whether the portfolio keeps its limits after a fill that opens or adds."""
        return all(limit is None or found <= limit for _, limit, found in self._asked(after))

    def broken(self, after: Outlook) -> str | None:
        """Return which limit a fill would break, in words; None where the portfolio keeps them all."""
        for name, limit, found in self._asked(after):
            if limit is not None and not found <= limit:
                return f"{name} allows {limit:.10g}, it would be {found:.10g}"
        return None

    def _asked(self, after: Outlook) -> tuple[tuple[str, float | None, float], ...]:
        equity, held = after.equity, after.exposure
        return (
            ("max_positions", self.max_positions, float(held.num_positions)),
            ("max_weight", _of(self.max_weight, equity), held.largest),
            ("max_gross_exposure", _of(self.max_gross_exposure, equity), held.gross),
            ("max_net_exposure", _of(self.max_net_exposure, equity), abs(held.net)),
        )


class Guard:
    """Watches a portfolio's limits.

    Attributes:
        halted: Nothing may be opened any more, or until the next session.
    """

    def __init__(self, limits: PortfolioLimits, initial_equity: float) -> None:
        self.halted = False
        self._limits = limits
        self._is_free = limits == PortfolioLimits()
        self._peak = self._last = self._session_base = initial_equity
        self._session: int | None = None
        self._for_good = False

    @property
    def watches_equity(self) -> bool:
        """Whether equity is needed at every close."""
        return self._limits.max_drawdown is not None or self._limits.max_daily_loss is not None

    def admits(self, after: Outlook) -> bool:
        """Return whether a fill that opens or adds keeps the limits."""
        return not self.halted and (self._is_free or self._limits.admit(after))

    def broken(self, after: Outlook) -> str | None:
        """Return which limit a fill that opens or adds would break, in words; None for none."""
        return self._limits.broken(after)

    def must_flatten(self, value: Valuation, session: int) -> bool:
        """Take in the account at a close; return whether everything must be closed."""
        if session != self._session:
            self._session, self._session_base = session, self._last
            self.halted = self._for_good
        self._last = value.equity
        self._peak = max(self._peak, value.equity)
        limits = self._limits
        if limits.max_drawdown is not None and value.equity <= self._peak * (1.0 - limits.max_drawdown):
            self._for_good = True
        lost_today = limits.max_daily_loss is not None and value.equity <= self._session_base * (
            1.0 - limits.max_daily_loss
        )
        if not (self._for_good or lost_today):
            return False
        self.halted = True
        return True


def _of(limit: float | None, equity: float) -> float | None:
    return None if limit is None else limit * equity


def _wrong(name: str, value: object, *, below: float = math.inf) -> str | None:
    """Return what is wrong with a limit that is a number above 0, None where nothing is."""
    if value is None or (is_number(value) and 0.0 < value < below):
        return None
    return f"{name} must be a number above 0" + (" and below 1" if below == 1.0 else "") + f", got {value!r}"


def _wrong_count(name: str, value: object) -> str | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return None
    return f"{name} must be a whole number from 1, got {value!r}"


def _refuse(*mistakes: str | None) -> None:
    found = [mistake for mistake in mistakes if mistake is not None]
    if found:
        raise ValueError("; ".join(found))
