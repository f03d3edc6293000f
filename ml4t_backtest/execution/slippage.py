"""Slippage: how far from the raw price an order really fills.

A model is one frozen dataclass with one method. It is its own config section: the value of its `model` field is the
name that YAML uses, its other fields are the parameters. A model of the user's is any object with that method; see
docs/guides/orders_and_sizing.md.

The formulas are those of other engines, named with each class, without the limits on volume that some of them carry:
here that is `max_volume_share`, for every model alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class SlippageModel(Protocol):
    """Anything that turns the raw price of a fill into the price paid.

    Slippage is a cost: the answer is never better than the raw price. A limit order never fills worse than its limit,
    whatever the model says.

    >>> isinstance(PercentageSlippage(0.001), SlippageModel)
    True
    """

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return the price paid or received per share, NaN for "no price": the order is rejected with `no_volume`.

        Args:
            raw_price: Price the market showed, in account currency per share, > 0.
            signed_quantity: Shares; positive buys, negative sells.
            volume: Shares traded in the fill bar; 0 where nothing is known of it.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoSlippage:
    """Fills at the raw price: `raw`. For comparisons, and for prices that are quotes already.

    >>> NoSlippage().fill_price(100.0, 10.0, 5_000.0)
    100.0
    """

    model: Literal["none"] = "none"

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return `raw_price`."""
        return raw_price


@dataclass(frozen=True, slots=True)
class PercentageSlippage:
    """A constant fraction against the trader: `raw * (1 + rate)` for a buy, `raw * (1 - rate)` for a sell.

    Zipline's `FixedBasisPointsSlippage` (rate = basis points / 10,000), backtrader's `slip_perc`.

    Attributes:
        rate: Fraction of the raw price in [0, 1); 0.0005 is 5 basis points.

    >>> PercentageSlippage(0.001).fill_price(100.0, -10.0, 5_000.0)
    99.9
    """

    rate: float = 0.0005
    model: Literal["percentage"] = "percentage"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and 0.0 <= self.rate < 1.0):
            raise ValueError(f"slippage rate is a fraction in [0, 1), got {self.rate!r} (0.0005 is 5 basis points)")

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return `raw_price` moved by `rate` against the direction of the trade."""
        return raw_price * (1.0 + self.rate) if signed_quantity > 0 else raw_price * (1.0 - self.rate)


@dataclass(frozen=True, slots=True)
class FixedSlippage:
    """A constant amount per share against the trader: `raw + amount` for a buy, `max(raw - amount, 0)` for a sell.

    backtrader's `slip_fixed`.

    Attributes:
        amount: Account currency per share, >= 0. A sell never receives less than nothing.

    >>> FixedSlippage(0.05).fill_price(100.0, 10.0, 5_000.0)
    100.05
    """

    amount: float = 0.01
    model: Literal["fixed"] = "fixed"

    def __post_init__(self) -> None:
        _require_not_negative("slippage amount", self.amount)

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return `raw_price` moved by `amount` against the direction of the trade."""
        return raw_price + self.amount if signed_quantity > 0 else max(raw_price - self.amount, 0.0)


@dataclass(frozen=True, slots=True)
class SpreadSlippage:
    """Half of a constant quoted spread against the trader: `raw + spread / 2`, or `max(raw - spread / 2, 0)`.

    Zipline's `FixedSlippage`; the half-spread cost of Roll, A Simple Implicit Measure of the Effective Bid-Ask Spread
    in an Efficient Market, Journal of Finance 39 (1984).

    Attributes:
        spread: Distance from bid to ask, account currency per share, >= 0.

    >>> SpreadSlippage(0.5).fill_price(100.0, 10.0, 5_000.0)
    100.25
    """

    spread: float = 0.02
    model: Literal["spread"] = "spread"

    def __post_init__(self) -> None:
        _require_not_negative("spread", self.spread)

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return `raw_price` moved by half the spread against the direction of the trade."""
        half = self.spread / 2.0
        return raw_price + half if signed_quantity > 0 else max(raw_price - half, 0.0)


@dataclass(frozen=True, slots=True)
class VolumeShareSlippage:
    """Impact that grows with the square of the share of the bar's volume: `raw * (1 +- impact * share^2)`.

    `share = |quantity| / volume` of the fill; a buy pays more, a sell receives less, never less than 0. Zipline's
    `VolumeShareSlippage`. A bar without volume fills nothing: the order is rejected with `no_volume`.

    Attributes:
        impact: Fraction of the price at a share of 1, >= 0; Zipline's default is 0.1.

    >>> VolumeShareSlippage(0.1).fill_price(100.0, 500.0, 5_000.0)  # 0.1 x 0.1^2 = 0.1 %
    100.1
    """

    impact: float = 0.1
    model: Literal["volume_share"] = "volume_share"

    def __post_init__(self) -> None:
        _require_not_negative("impact", self.impact)

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        """Return `raw_price` moved by the impact; NaN without volume."""
        if not volume > 0.0:
            return math.nan
        share = abs(signed_quantity) / volume
        move = self.impact * (share * share)
        return raw_price * (1.0 + move) if signed_quantity > 0 else max(raw_price * (1.0 - move), 0.0)


def _require_not_negative(what: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{what} is a finite number >= 0, got {value!r}")
