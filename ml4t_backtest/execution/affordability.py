"""How much of an order an account can carry."""

from __future__ import annotations

import math
from collections.abc import Callable

# Less than this is no position: its price, cost and profit would all round to nothing.
SMALLEST_FRACTION = 1e-9
_CLOSE_ENOUGH = 2e-16
_NEARLY = 1e-4


def whole_shares(quantity: float) -> float:
    """Truncate toward zero; a whole number that float rounding missed by a hair is that number.

    >>> whole_shares(110.00000000000001), whole_shares(-2.9), whole_shares(2.9999999999999996)
    (110.0, -2.0, 3.0)
    """
    nearest = float(round(quantity))
    return nearest if same_quantity(quantity, nearest) else float(math.trunc(quantity))


def nearly_whole_shares(quantity: float) -> float:
    """Truncate toward zero, but take what is within 0.0001 of a whole number as that.

    >>> nearly_whole_shares(3.99995), nearly_whole_shares(-5.5)
    (4.0, -5.0)
    """
    nearest = float(round(quantity))
    return nearest if abs(quantity - nearest) <= _NEARLY else float(math.trunc(quantity))


def same_quantity(left: float, right: float) -> bool:
    """Return whether two quantities differ by float rounding only."""
    return math.isclose(left, right, rel_tol=1e-12, abs_tol=1e-9)


def without_dust(quantity: float) -> float:
    """Return a quantity, exactly 0.0 where rounding is all there is of it."""
    return 0.0 if abs(quantity) < SMALLEST_FRACTION else quantity


def largest_admitted(quantity: float, admits: Callable[[float], bool], *, fractional: bool) -> float:
    """Return the largest quantity up to `quantity` that is admitted; 0.0 when none is.

    Args:
        quantity: Shares wanted, > 0.
        admits: Whether a quantity is covered; what is not stays so when the quantity grows.
        fractional: Whether parts of shares can be traded; otherwise the answer is whole.

    >>> largest_admitted(100.0, lambda q: q * 10.1 <= 505.0, fractional=False)
    50.0
    """
    if admits(quantity):
        return quantity
    if fractional:
        return _largest_fraction(quantity, admits)
    low, high = 0, math.trunc(quantity)
    while low < high:
        middle = (low + high + 1) // 2
        if admits(float(middle)):
            low = middle
        else:
            high = middle - 1
    return float(low)


def largest_factor(room: Callable[[float], float]) -> float:
    """Return the largest factor in [0, 1] that leaves room; 0.0 when none does.

    Regula falsi with the modification of Dowell and Jarratt (1971) named Illinois: exact after a step or two where
    room shrinks in proportion, as it does for prices and most commissions.

    Args:
        room: Money left after everything was bought by a factor; it shrinks as the factor grows.

    >>> largest_factor(lambda factor: 500.0 - 800.0 * factor), largest_factor(lambda factor: 1.0)
    (0.625, 1.0)
    """
    low, high = 0.0, 1.0
    room_low, room_high = room(low), room(high)
    if room_high >= 0.0:
        return 1.0
    if room_low <= 0.0:
        return 0.0
    moved_low: bool | None = None
    while high - low > _CLOSE_ENOUGH:
        middle = low + (high - low) * room_low / (room_low - room_high)
        if not low < middle < high:
            middle = low + (high - low) / 2.0
        left = room(middle)
        if left >= 0.0:
            low, room_low = middle, left
            room_high /= 2.0 if moved_low is True else 1.0
        else:
            high, room_high = middle, left
            room_low /= 2.0 if moved_low is False else 1.0
        moved_low = left >= 0.0
    return low


def _largest_fraction(quantity: float, admits: Callable[[float], bool]) -> float:
    """Bisect down to neighbouring floats; the lower one is admitted, or there is none."""
    low, high = 0.0, quantity
    while (middle := low + (high - low) / 2.0) not in (low, high):
        if admits(middle):
            low = middle
        else:
            high = middle
    return low if low >= SMALLEST_FRACTION else 0.0
