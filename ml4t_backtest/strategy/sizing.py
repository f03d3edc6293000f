"""Position sizes from prices and risk: pure functions."""

from __future__ import annotations

import math


def calculate_position_size(equity: float, price: float, atr: float, risk_pct: float = 0.02) -> float:
    """Return the whole shares at which a move of one ATR costs `risk_pct` of equity, and no more than equity buys.

    `min(floor(equity x risk_pct / atr), floor(equity / price))`, the fixed-fractional rule of Tharp, Trade Your Way
    to Financial Freedom (1998), with one ATR as the risk per share.

    Args:
        equity: Account currency, > 0.
        price: Price per share, > 0.
        atr: Average true range, account currency per share; 0 or NaN gives 0 shares.
        risk_pct: Fraction of equity at risk in (0, 1].

    >>> calculate_position_size(100_000.0, 50.0, 2.0)
    1000.0
    """
    if not (atr > 0.0 and price > 0.0 and equity > 0.0):
        return 0.0
    return float(min(math.floor(equity * risk_pct / atr), math.floor(equity / price)))
