"""Slippage: how far from the raw price an order really fills.

A model is one frozen dataclass with one method. It is its own config section: the value of its `model` field is the
name that YAML uses, its other fields are the parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class SlippageModel(Protocol):
    """Anything that turns the raw price of a fill into the price paid."""

    def fill_price(self, raw_price: float, signed_quantity: float) -> float:
        """Return the price paid or received per share.

        Args:
            raw_price: Price the market showed, in account currency per share, > 0.
            signed_quantity: Shares; positive buys, negative sells.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoSlippage:
    """Fills at the raw price."""

    model: Literal["none"] = "none"

    def fill_price(self, raw_price: float, signed_quantity: float) -> float:
        """Return `raw_price`."""
        return raw_price


@dataclass(frozen=True, slots=True)
class PercentageSlippage:
    """A constant fraction against the trader: `raw * (1 + rate)` for a buy, `raw * (1 - rate)` for a sell.

    Attributes:
        rate: Fraction of the raw price in [0, 1); 0.0005 is 5 basis points.
    """

    rate: float = 0.0005
    model: Literal["percentage"] = "percentage"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and 0.0 <= self.rate < 1.0):
            raise ValueError(f"slippage rate is a fraction in [0, 1), got {self.rate!r} (0.0005 is 5 basis points)")

    def fill_price(self, raw_price: float, signed_quantity: float) -> float:
        """Return `raw_price` moved by `rate` against the direction of the trade."""
        return raw_price * (1.0 + self.rate) if signed_quantity > 0 else raw_price * (1.0 - self.rate)
