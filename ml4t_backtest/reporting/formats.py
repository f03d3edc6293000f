"""Values as people read them: one way to write each kind, `n/a` for what is missing."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

MISSING = "n/a"

Number = float | int | None


def percent(value: Number) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.3286), percent(-1e-9), percent(None)
    ('32.86 %', '0.00 %', 'n/a')
    """
    return f"{_unsigned_zero(value * 100.0, 2):,.2f} %" if _known(value) else MISSING


def money(value: Number) -> str:
    """Write an amount of account currency.

    >>> money(1328560.0725)
    '1,328,560.07'
    """
    return f"{_unsigned_zero(value, 2):,.2f}" if _known(value) else MISSING


def ratio(value: Number) -> str:
    """Write a plain number with two decimals.

    >>> ratio(0.48669)
    '0.49'
    """
    return money(value)


def count(value: Number) -> str:
    """Write a whole number.

    >>> count(10000)
    '10,000'
    """
    return f"{int(value):,}" if _known(value) else MISSING


def plain(value: Any) -> str:
    """Write a value of unknown kind: floats with six significant digits, everything else as its text.

    >>> plain(0.52086612), plain(None), plain("long")
    ('0.520866', 'n/a', 'long')
    """
    if isinstance(value, float):
        return f"{value:.6g}" if _known(value) else MISSING
    return MISSING if value is None else str(value)


def shares(value: Number) -> str:
    """Write a quantity: whole shares without decimals, parts of shares with up to six.

    >>> shares(1500.0), shares(0.25)
    ('1,500', '0.25')
    """
    return f"{value:,.6f}".rstrip("0").rstrip(".") if _known(value) else MISSING


def _known(value: Number) -> TypeGuard[float | int]:
    return value is not None and math.isfinite(value)


def _unsigned_zero(value: float, digits: int) -> float:
    """Return 0.0 for what rounds to zero: nobody wants to read `-0.00`."""
    return 0.0 if round(value, digits) == 0.0 else value
