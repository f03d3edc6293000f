"""Commissions: what the broker charges for an order.

A model is one frozen dataclass with one method that prices all that has been filled of an order; a partial fill pays
the difference, so that a minimum is per order. It is its own config section: the value of its `model` field is the
name that YAML uses, its other fields are the parameters. A model of the user's is any object with that method; see
docs/guides/orders_and_sizing.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class CommissionModel(Protocol):
    """Anything that prices an order. The charge must not fall when quantity and notional grow.

    >>> isinstance(PerShareCommission(), CommissionModel)
    True
    """

    def charge(self, quantity: float, notional: float) -> float:
        """Return the commission in account currency, >= 0.

        Args:
            quantity: Shares filled of the order, > 0.
            notional: Sum of shares times fill price, slippage included.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoCommission:
    """Trades are free: `0`.

    >>> NoCommission().charge(100.0, 5_000.0)
    0.0
    """

    model: Literal["none"] = "none"

    def charge(self, quantity: float, notional: float) -> float:
        """Return 0."""
        return 0.0


@dataclass(frozen=True, slots=True)
class PercentageCommission:
    """A constant fraction of the notional: `rate * notional`.

    Zipline's `PerDollar`.

    Attributes:
        rate: Fraction of the notional in [0, 1); 0.001 is 10 basis points.

    >>> PercentageCommission(0.001).charge(100.0, 5_000.0)
    5.0
    """

    rate: float = 0.001
    model: Literal["percentage"] = "percentage"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and 0.0 <= self.rate < 1.0):
            raise ValueError(f"commission rate is a fraction in [0, 1), got {self.rate!r} (0.001 is 10 basis points)")

    def charge(self, quantity: float, notional: float) -> float:
        """Return `rate` times the notional."""
        return self.rate * notional


@dataclass(frozen=True, slots=True)
class PerShareCommission:
    """An amount per share with a minimum per order: `max(minimum, per_share * quantity)`.

    Zipline's `PerShare` (`cost`, `min_trade_cost`). The defaults are the fixed schedule of Interactive Brokers for US
    shares, without its cap at 1 % of the notional.

    Attributes:
        per_share: Account currency per share, >= 0.
        minimum: Account currency per order, >= 0.

    >>> PerShareCommission(0.005, minimum=1.0).charge(100.0, 5_000.0)
    1.0
    >>> PerShareCommission(0.005, minimum=1.0).charge(1_000.0, 50_000.0)
    5.0
    """

    per_share: float = 0.005
    minimum: float = 1.0
    model: Literal["per_share"] = "per_share"

    def __post_init__(self) -> None:
        _require_not_negative("commission per share", self.per_share)
        _require_not_negative("minimum commission", self.minimum)

    def charge(self, quantity: float, notional: float) -> float:
        """Return the amount per share, or the minimum."""
        return max(self.minimum, self.per_share * quantity)


@dataclass(frozen=True, slots=True)
class PerOrderCommission:
    """A flat amount per order that fills, however many fills it takes: `amount`.

    Zipline's `PerTrade`.

    Attributes:
        amount: Account currency, >= 0.

    >>> PerOrderCommission(2.5).charge(100.0, 5_000.0)
    2.5
    """

    amount: float = 1.0
    model: Literal["per_order"] = "per_order"

    def __post_init__(self) -> None:
        _require_not_negative("commission per order", self.amount)

    def charge(self, quantity: float, notional: float) -> float:
        """Return the amount."""
        return self.amount


@dataclass(frozen=True, slots=True)
class TieredCommission:
    """A marginal rate by the order's notional: `sum over tiers of rate_i * (min(notional, bound_i) - bound_(i-1))`.

    With `bound_0 = 0`, and what lies above the last bound at the last rate: each slice of the notional pays its own
    rate, as in a progressive income tax, so that a larger order never costs less in total.

    Attributes:
        tiers: Pairs (upper bound of the slice, rate) with rising bounds; what lies above the last bound pays the last
            rate. Account currency and fractions in [0, 1).

    >>> TieredCommission(((10_000.0, 0.001), (100_000.0, 0.0005))).charge(100.0, 20_000.0)  # 10 + 5
    15.0
    """

    tiers: tuple[tuple[float, float], ...] = ((10_000.0, 0.001), (100_000.0, 0.0005))
    model: Literal["tiered"] = "tiered"

    def __post_init__(self) -> None:
        bounds = [bound for bound, _ in self.tiers]
        if not bounds or bounds != sorted(set(bounds)) or bounds[0] <= 0.0:
            raise ValueError(f"tiers are pairs of a rising positive bound and a rate, got {self.tiers!r}")
        for _, rate in self.tiers:
            if not (math.isfinite(rate) and 0.0 <= rate < 1.0):
                raise ValueError(f"a tier's rate is a fraction in [0, 1), got {rate!r}")

    def charge(self, quantity: float, notional: float) -> float:
        """Return what the slices of the notional add up to."""
        total, below = 0.0, 0.0
        for bound, rate in self.tiers:
            total += rate * (min(notional, bound) - below)
            below = min(notional, bound)
        return total + self.tiers[-1][1] * (notional - below)


def _require_not_negative(what: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{what} is a finite number >= 0, got {value!r}")
