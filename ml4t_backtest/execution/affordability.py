"""How much of a buy the cash allows."""

from __future__ import annotations

import math
from collections.abc import Callable

# Less than this is no position: its price, cost and profit would all round to nothing.
SMALLEST_FRACTION = 1e-9
Charge = Callable[[float, float], float]


def cost_of(quantity: float, price: float, charge: Charge) -> float:
    """Return what buying `quantity` shares at `price` takes from cash, commission included."""
    return quantity * price + charge(quantity, price)


def whole_shares(quantity: float) -> float:
    """Truncate toward zero; a whole number that float rounding missed by a hair is that number.

    >>> whole_shares(110.00000000000001), whole_shares(-2.9), whole_shares(2.9999999999999996)
    (110.0, -2.0, 3.0)
    """
    nearest = float(round(quantity))
    return nearest if same_quantity(quantity, nearest) else float(math.trunc(quantity))


def same_quantity(left: float, right: float) -> bool:
    """Return whether two quantities differ by float rounding only."""
    return math.isclose(left, right, rel_tol=1e-12, abs_tol=1e-9)


def largest_affordable(quantity: float, price: float, cash: float, charge: Charge, *, fractional: bool) -> float:
    """Return the largest quantity up to `quantity` whose cost does not exceed `cash`.

    Args:
        quantity: Shares wanted, > 0.
        price: Fill price per share, slippage included.
        cash: Account currency at hand.
        charge: Commission of (quantity, price); must not fall when the quantity grows.
        fractional: Whether parts of shares can be bought; otherwise the answer is whole.

    >>> largest_affordable(100.0, 10.0, 505.0, lambda q, p: 0.01 * q * p, fractional=False)
    50.0
    """
    if cost_of(quantity, price, charge) <= cash:
        return quantity
    if cash <= 0.0:
        return 0.0
    if fractional:
        return _affordable_fraction(quantity, price, cash, charge)
    low, high = 0, math.trunc(quantity)
    while low < high:
        middle = (low + high + 1) // 2
        if cost_of(float(middle), price, charge) <= cash:
            low = middle
        else:
            high = middle - 1
    return float(low)


def _affordable_fraction(quantity: float, price: float, cash: float, charge: Charge) -> float:
    """Bisect down to neighbouring floats; the lower one is affordable, or zero is the answer."""
    low, high = 0.0, quantity
    while (middle := low + (high - low) / 2.0) not in (low, high):
        if cost_of(middle, price, charge) <= cash:
            low = middle
        else:
            high = middle
    return low if low >= SMALLEST_FRACTION else 0.0
