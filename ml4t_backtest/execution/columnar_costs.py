"""Cost models applied to many fills at once.

Each formula is that of the model's own method, term by term, so that it gives the same bits. A model that is not named
here, one of the user's above all, is asked fill by fill.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml4t_backtest.core.chunk import Floats
from ml4t_backtest.execution.commission import CommissionModel, NoCommission, PercentageCommission, PerOrderCommission
from ml4t_backtest.execution.slippage import NoSlippage, PercentageSlippage, SlippageModel

# (raw prices, signed quantities, volumes) -> fill prices
Prices = Callable[[Floats, Floats, Floats], Floats]
# (shares, notionals) -> commissions of orders that nothing has filled of before
Charges = Callable[[Floats, Floats], Floats]


def prices_of(model: SlippageModel) -> Prices:
    """Return the `fill_price` of a model for columns."""
    if isinstance(model, NoSlippage):
        return lambda raw, quantities, volumes: raw
    if isinstance(model, PercentageSlippage):
        # 1 + (-rate) is 1 - rate, to the bit.
        return lambda raw, quantities, volumes: raw * (1.0 + np.copysign(model.rate, quantities))
    return lambda raw, quantities, volumes: np.array(
        [model.fill_price(*fill) for fill in zip(raw.tolist(), quantities.tolist(), volumes.tolist(), strict=True)]
    )


def charges_of(model: CommissionModel) -> Charges:
    """Return the `charge` of a model for columns."""
    if isinstance(model, NoCommission):
        return lambda shares, notionals: np.zeros(len(shares))
    if isinstance(model, PercentageCommission):
        return lambda shares, notionals: model.rate * notionals
    if isinstance(model, PerOrderCommission):
        return lambda shares, notionals: np.full(len(shares), model.amount)
    return lambda shares, notionals: np.array(
        [model.charge(*order) for order in zip(shares.tolist(), notionals.tolist(), strict=True)]
    )
