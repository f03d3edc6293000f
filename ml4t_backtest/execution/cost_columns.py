"""Cost models asked about many orders at once: the same bits as one by one.

The simplest models are arithmetic on columns; every other one, a user's among them, is asked order by order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ml4t_backtest.core.chunk import Floats
from ml4t_backtest.execution.commission import (
    CommissionModel,
    NoCommission,
    PercentageCommission,
    PerOrderCommission,
    PerShareCommission,
)
from ml4t_backtest.execution.slippage import FixedSlippage, NoSlippage, PercentageSlippage, SlippageModel

PriceColumn = Callable[[Floats, Floats, Floats], Floats]
ChargeColumn = Callable[[Floats, Floats], Floats]
MostCost = Callable[[Floats, Floats], float]
# Sums are rounded; a bound has to hold all the same.
_ROUNDING = 1e-9


def price_column(model: SlippageModel) -> PriceColumn:
    """Return what maps columns of raw prices > 0, signed quantities and volumes to fill prices; NaN for no price."""
    match model:
        case NoSlippage():
            return lambda raw, quantities, volumes: raw
        case PercentageSlippage(rate=rate):
            up, down = 1.0 + rate, 1.0 - rate
            return lambda raw, quantities, volumes: raw * np.where(quantities > 0.0, up, down)
        case FixedSlippage(amount=amount):
            return lambda raw, quantities, volumes: np.where(
                quantities > 0.0, raw + amount, np.maximum(raw - amount, 0.0)
            )
        case _:
            return lambda *columns: _one_by_one(model.fill_price, *columns)


def charge_column(model: CommissionModel) -> ChargeColumn:
    """Return what maps columns of shares > 0 and notionals to charges; NaN where the notional is."""
    match model:
        case NoCommission():
            return lambda shares, notionals: np.zeros(len(shares))
        case PercentageCommission(rate=rate):
            return lambda shares, notionals: rate * notionals
        case PerShareCommission(per_share=per_share, minimum=minimum):
            return lambda shares, notionals: np.maximum(minimum, per_share * shares)
        case PerOrderCommission(amount=amount):
            return lambda shares, notionals: np.full(len(shares), amount)
        case _:
            return lambda *columns: _one_by_one(lambda q, n: math.nan if n != n else model.charge(q, n), *columns)


def most_cost(slippage: SlippageModel, commission: CommissionModel) -> MostCost | None:
    """Return what bounds slippage and commission together of orders, given columns of shares > 0 and raw prices.

    None where no such bound is known: of models that look at the volume, of tiers, of a user's.
    """
    slips, charges = _slippage_factors(slippage), _commission_factors(commission)
    if slips is None or charges is None:
        return None
    # Slippage is a part of the notional that the commission is charged on.
    (slip_rate, slip_per_share), (charge_rate, per_share, per_order) = slips, charges
    of_gross = slip_rate + charge_rate * (1.0 + slip_rate) + _ROUNDING
    of_shares = slip_per_share * (1.0 + charge_rate) + per_share

    def bound(shares: Floats, raw: Floats) -> float:
        fixed = of_shares * float(shares.sum()) + per_order * len(shares) if of_shares or per_order else 0.0
        return of_gross * float(shares.dot(raw)) + fixed

    return bound


def _slippage_factors(model: SlippageModel) -> tuple[float, float] | None:
    """Return slippage as a fraction of the raw price and per share."""
    match model:
        case NoSlippage():
            return 0.0, 0.0
        case PercentageSlippage(rate=rate):
            return rate, 0.0
        case FixedSlippage(amount=amount):
            return 0.0, amount
        case _:
            return None


def _commission_factors(model: CommissionModel) -> tuple[float, float, float] | None:
    """Return commission, at most, as a fraction of the notional, per share and per order."""
    match model:
        case NoCommission():
            return 0.0, 0.0, 0.0
        case PercentageCommission(rate=rate):
            return rate, 0.0, 0.0
        case PerShareCommission(per_share=per_share, minimum=minimum):
            return 0.0, per_share, minimum
        case PerOrderCommission(amount=amount):
            return 0.0, 0.0, amount
        case _:
            return None


def _one_by_one(asked: Callable[..., float], *columns: Floats) -> Floats:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return np.array([asked(*row) for row in rows], dtype=np.float64)
