"""Money that is worked out late, and for many fills at once, is the same money to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from unit.execution.test_blocks_of_orders import ACCOUNTS, SYMBOLS, TABLES, Wild, life

from ml4t_backtest.core.market import Market
from ml4t_backtest.execution.commission import (
    CommissionModel,
    NoCommission,
    PercentageCommission,
    PerOrderCommission,
    PerShareCommission,
    TieredCommission,
)
from ml4t_backtest.execution.cost_columns import charge_column, most_cost, price_column
from ml4t_backtest.execution.slippage import (
    FixedSlippage,
    NoSlippage,
    PercentageSlippage,
    SlippageModel,
    SpreadSlippage,
    VolumeShareSlippage,
)
from ml4t_backtest.portfolio.ledger import Ledger

SLIPPAGE = (NoSlippage(), PercentageSlippage(0.0007), FixedSlippage(0.3), SpreadSlippage(0.1), VolumeShareSlippage(0.2))
COMMISSION = (
    NoCommission(),
    PercentageCommission(0.0011),
    PerShareCommission(0.013, 1.0),
    PerOrderCommission(2.3),
    TieredCommission(),
)
prices = st.floats(0.01, 1e5)
shares = st.floats(1.0, 1e6) | st.floats(-1e6, -1.0)
orders = st.lists(st.tuples(prices, shares, st.floats(0.0, 1e7)), min_size=1, max_size=30)
examples = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("model", SLIPPAGE, ids=repr)
@examples
@given(rows=orders)
def test_prices_of_many_orders_are_those_of_each(model: SlippageModel, rows: list[tuple[float, float, float]]) -> None:
    found = price_column(model)(*map(np.array, zip(*rows, strict=True)))
    np.testing.assert_array_equal(found, [model.fill_price(*row) for row in rows])


@pytest.mark.parametrize("model", COMMISSION, ids=repr)
@examples
@given(rows=orders)
def test_charges_for_many_orders_are_those_of_each(
    model: CommissionModel, rows: list[tuple[float, float, float]]
) -> None:
    quantities, notionals = (np.array([abs(quantity) for _, quantity, _ in rows]), np.array([row[2] for row in rows]))
    found = charge_column(model)(quantities, notionals)
    np.testing.assert_array_equal(
        found, [model.charge(abs(quantity), notional) for _, quantity, notional in rows], strict=True
    )


def test_nobody_is_asked_what_an_order_without_a_price_costs() -> None:
    class Own:
        def charge(self, quantity: float, notional: float) -> float:
            assert notional == notional
            return 1.0

    found = charge_column(Own())(np.array([1.0, 2.0]), np.array([10.0, np.nan]))
    np.testing.assert_array_equal(found, [1.0, np.nan])


@pytest.mark.parametrize("slippage", SLIPPAGE[:3], ids=repr)
@pytest.mark.parametrize("commission", COMMISSION[:4], ids=repr)
@examples
@given(rows=orders)
def test_orders_never_cost_more_than_the_bound(
    slippage: SlippageModel, commission: CommissionModel, rows: list[tuple[float, float, float]]
) -> None:
    raw, quantities, volumes = map(np.array, zip(*rows, strict=True))
    bound = most_cost(slippage, commission)
    assert bound is not None
    filled = price_column(slippage)(raw, quantities, volumes)
    charged = charge_column(commission)(np.abs(quantities), np.abs(quantities) * filled)
    assert float((np.abs(filled - raw) * np.abs(quantities) + charged).sum()) <= bound(np.abs(quantities), raw)


@pytest.mark.parametrize(("slippage", "commission"), [(3, 0), (4, 0), (0, 4)])
def test_costs_without_a_known_bound_have_none(slippage: int, commission: int) -> None:
    assert most_cost(SLIPPAGE[slippage], COMMISSION[commission]) is None


fills = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-3, 3).filter(bool), st.floats(0.5, 500.0), st.floats(0.0, 3.0)),
    min_size=1,
    max_size=25,
)


@examples
@given(earlier=fills, rows=fills)
def test_fills_booked_together_leave_what_they_leave_one_by_one(
    earlier: list[tuple[int, int, float, float]], rows: list[tuple[int, int, float, float]]
) -> None:
    """Symbols come several times: positions are opened, added to, reduced, closed and turned round."""
    single, joint = (Ledger(1_000.0, Market(["A", "B", "C", "D"])) for _ in range(2))
    for ledger in (single, joint):
        for fill in earlier:
            ledger.apply_fill(*fill)
    before, positions = [], []
    for symbol_id, quantity, price, commission in rows:
        before.append(single.quantity(symbol_id))
        positions.append(single.apply_fill(symbol_id, quantity, price, commission))
    symbol_ids, quantities, paid, _ = zip(*rows, strict=True)
    found = joint.apply_fills(
        np.array(symbol_ids), np.array(before), np.array(quantities, dtype=float), np.array(paid), single.cash
    )
    assert found.tolist() == positions
    assert joint.holdings == single.holdings
    assert joint.cash == single.cash
    assert joint.apply_fill(0, 100.0, 1.0, 0.0) == single.apply_fill(0, 100.0, 1.0, 0.0)


def looking(look: Callable[[Wild], Any]) -> type[Wild]:
    """Return the strategy that looks at its account in every slice, before it decides."""

    class Looking(Wild):
        def __init__(self, seed: int, protected: float) -> None:
            super().__init__(seed, protected)
            self.seen: list[Any] = []

        def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
            self.seen.append(look(self))
            super().on_timestamp_batch(timestamp, asset_batch, context)

    return Looking


LOOKS: dict[str, Callable[[Wild], Any]] = {
    "cash": lambda strategy: strategy.cash,
    "equity": lambda strategy: strategy.equity,
    "position": lambda strategy: strategy.get_position("B").average_price,
}


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("seed", range(3))
def test_who_looks_at_the_account_changes_nothing(account: str, look: str, seed: int) -> None:
    blind, looked = Wild(seed, 0.1), looking(LOOKS[look])(seed, 0.1)
    results = [life(strategy, seed, **ACCOUNTS[account]) for strategy in (blind, looked)]
    for table in TABLES:
        assert_frame_equal(getattr(results[0], table), getattr(results[1], table), check_exact=True)


@pytest.mark.parametrize("seed", range(6))
def test_average_prices_seen_are_those_of_an_account_that_prices_everything_at_once(seed: int) -> None:
    """Who looks at the cash first finds nothing waiting; who does not is told the same average prices."""

    def averages(strategy: Wild) -> list[float]:
        return [strategy.get_position(symbol).average_price for symbol in SYMBOLS]

    late: Any = looking(averages)(seed, 0.0)
    soon: Any = looking(lambda strategy: (strategy.cash, averages(strategy))[1])(seed, 0.0)
    for strategy in (late, soon):
        life(strategy, seed, **ACCOUNTS["cash"])
    assert any(any(row) for row in late.seen)
    assert late.seen == soon.seen


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("look", ["cash", "equity"])
def test_portfolio_states_show_what_the_strategy_saw_to_the_bit(account: str, look: str) -> None:
    for seed in range(4):
        strategy: Any = looking(LOOKS[look])(seed, 0.2)
        states = life(strategy, seed, **ACCOUNTS[account]).portfolio_states
        assert states[look].to_list() == strategy.seen
