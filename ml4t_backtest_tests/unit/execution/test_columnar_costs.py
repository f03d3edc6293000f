"""A cost model in columns gives the bits of the model itself."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest

from ml4t_backtest.execution.columnar_costs import charges_of, prices_of
from ml4t_backtest.execution.commission import (
    CommissionModel,
    NoCommission,
    PercentageCommission,
    PerOrderCommission,
    PerShareCommission,
    TieredCommission,
)
from ml4t_backtest.execution.slippage import (
    FixedSlippage,
    NoSlippage,
    PercentageSlippage,
    SlippageModel,
    SpreadSlippage,
    VolumeShareSlippage,
)


@dataclass(frozen=True)
class Own:
    """A user's models: nobody has written them in columns."""

    def fill_price(self, raw_price: float, signed_quantity: float, volume: float) -> float:
        return raw_price + 0.01 * math.copysign(1.0, signed_quantity)

    def charge(self, quantity: float, notional: float) -> float:
        return 1.0 + 0.1 * math.sqrt(quantity)


def drawn(number: int = 500) -> tuple[list[float], list[float], list[float]]:
    draw = random.Random(5)
    raw = [draw.uniform(0.01, 900.0) for _ in range(number)]
    quantities = [draw.choice([-1.0, 1.0]) * draw.uniform(0.1, 1e4) for _ in range(number)]
    volumes = [draw.choice([0.0, draw.uniform(1.0, 1e6)]) for _ in range(number)]
    return raw, quantities, volumes


@pytest.mark.parametrize(
    "model",
    [
        NoSlippage(),
        PercentageSlippage(0.0),
        PercentageSlippage(0.0007),
        FixedSlippage(0.05),
        SpreadSlippage(0.03),
        VolumeShareSlippage(0.1),
        Own(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_fill_prices_in_columns_are_those_of_the_model(model: SlippageModel) -> None:
    raw, quantities, volumes = drawn()
    expected = [model.fill_price(*fill) for fill in zip(raw, quantities, volumes, strict=True)]
    found = prices_of(model)(np.array(raw), np.array(quantities), np.array(volumes))
    assert np.array_equal(found, np.array(expected), equal_nan=True)


@pytest.mark.parametrize(
    "model",
    [
        NoCommission(),
        PercentageCommission(0.0013),
        PerShareCommission(0.005, 1.0),
        PerOrderCommission(2.5),
        TieredCommission(),
        Own(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_commissions_in_columns_are_those_of_the_model(model: CommissionModel) -> None:
    raw, quantities, _ = drawn()
    shares = [abs(quantity) for quantity in quantities]
    notionals = [price * size for price, size in zip(raw, shares, strict=True)]
    expected = [model.charge(*order) for order in zip(shares, notionals, strict=True)]
    assert charges_of(model)(np.array(shares), np.array(notionals)).tolist() == expected
