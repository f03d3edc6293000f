"""Position sizes from prices and risk: pure functions."""

from __future__ import annotations

import math

from ml4t_backtest.errors import StrategyError


def calculate_position_size(equity: float, price: float | None, atr: float | None, risk_pct: float = 0.02) -> float:
    """Return the whole shares at which a move of one ATR costs `risk_pct` of equity, and no more than equity buys.

    `min(floor(equity x risk_pct / atr), floor(equity / price))`, the fixed-fractional rule of Tharp, Trade Your Way
    to Financial Freedom (1998), with one ATR as the risk per share.

    Args:
        equity: Account currency, > 0.
        price: Price per share, > 0.
        atr: Average true range, account currency per share; 0, NaN or None, as before an indicator has a value, gives
            0 shares.
        risk_pct: Fraction of equity at risk in (0, 1].

    Raises:
        StrategyError: `risk_pct` is no such fraction.

    >>> calculate_position_size(100_000.0, 50.0, 2.0)
    1000.0
    """
    if not 0.0 < risk_pct <= 1.0:
        raise StrategyError(f"risk_pct is a fraction in (0, 1], got {risk_pct!r} (0.02 is 2 %)")
    if price is None or atr is None or not (atr > 0.0 and price > 0.0 and equity > 0.0):
        return 0.0
    return float(min(math.floor(equity * risk_pct / atr), math.floor(equity / price)))
