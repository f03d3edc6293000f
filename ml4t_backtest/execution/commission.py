"""Commissions: what the broker charges for a fill.

A model is one frozen dataclass with one method. It is its own config section: the value of its `model` field is the
name that YAML uses, its other fields are the parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class CommissionModel(Protocol):
    """Anything that prices a fill. The charge must not fall when the quantity grows."""

    def charge(self, quantity: float, price: float) -> float:
        """Return the commission in account currency, >= 0.

        Args:
            quantity: Shares filled, > 0.
            price: Fill price per share, slippage included.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoCommission:
    """Trades are free."""

    model: Literal["none"] = "none"

    def charge(self, quantity: float, price: float) -> float:
        """Return 0."""
        return 0.0


@dataclass(frozen=True, slots=True)
class PercentageCommission:
    """A constant fraction of the notional: `rate * quantity * price`.

    Attributes:
        rate: Fraction of the notional in [0, 1); 0.001 is 10 basis points.
    """

    rate: float = 0.001
    model: Literal["percentage"] = "percentage"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and 0.0 <= self.rate < 1.0):
            raise ValueError(f"commission rate is a fraction in [0, 1), got {self.rate!r} (0.001 is 10 basis points)")

    def charge(self, quantity: float, price: float) -> float:
        """Return `rate` times the notional of the fill."""
        return self.rate * (quantity * price)
