"""Random small worlds with random market orders: what holds for every one of them.

After each of these runs the guard in `conftest.py` replays it and compares every fill, state, cash flow and trade.
All other orders, and what must not matter to a run, have the worlds of `scenes.py`.
Prices are multiples of 1/64, so that sums and products of them are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from hypothesis import assume, given
from hypothesis import strategies as st
from worlds import DAYS, Mode, Price, Slices, Step, actions, bars, closes, opens, rows, run_on, same_tables, script

from ml4t_backtest import (
    BacktestResult,
    NoCommission,
    NoSlippage,
    PercentageCommission,
    PercentageSlippage,
    PolarsDataFeed,
    Strategy,
)
from property.drawn import bounded

SLICES = 8
Series = list[Price]
Request = tuple[str, str, float]


@dataclass(frozen=True)
class FlatFee:
    """Three per fill, whatever its size."""

    def charge(self, quantity: float, price: float) -> float:
        return 3.0


@dataclass(frozen=True)
class Case:
    """A world, what is ordered in it at which slice, and how the engine is set up."""

    prices: dict[str, Series]
    orders: list[tuple[int, Request]]
    corporate: list[tuple[str, int, str, float]]
    mode: Mode
    options: dict[str, Any]

    def plan(self) -> dict[int, Step]:
        """Return the script: several orders of one slice are given in the order they were drawn."""
        by_slice: dict[int, list[Request]] = {}
        for at, request in self.orders:
            by_slice.setdefault(at, []).append(request)
        return {at: lambda s, due=due: [give(s, request) for request in due] for at, due in by_slice.items()}

    def run(self, feed: Any) -> BacktestResult:
        """Run it over a feed of its prices."""
        table = actions(*((symbol, DAYS[day], kind, value) for symbol, day, kind, value in self.corporate))
        return run_on(feed, script(self.plan(), self.mode), corporate_actions=table, **self.options)

    def feed(self, **options: Any) -> PolarsDataFeed:
        """Return a feed over prepared bars."""
        stamps = pl.col("timestamp").replace_strict({day: closes(i) for i, day in enumerate(DAYS)})
        opened = pl.col("timestamp").replace_strict({day: opens(i) for i, day in enumerate(DAYS)})
        frame = bars(self.prices).with_columns(timestamp=stamps, open_instant=opened, decision_instant=stamps)
        return PolarsDataFeed(frame, **options)

    def slices(self) -> Slices:
        """Return the same bars as a plain list of slices."""
        triples = []
        for day in range(SLICES):
            now = {symbol: series[day] for symbol, series in self.prices.items() if series[day] is not None}
            if now:
                triples.append((closes(day), rows(now, open_instant=[opens(day)] * len(now)), {}))
        return Slices(triples)


def give(strategy: Strategy, request: Request) -> None:
    """Place one order."""
    kind, symbol, amount = request
    match kind:
        case "buy" | "sell":
            getattr(strategy, kind)(symbol, round(amount * 100))
        case "buy_part" | "sell_part":
            getattr(strategy, kind.removesuffix("_part"))(symbol, amount * 100)
        case "buy_percent" | "sell_percent":
            getattr(strategy, kind.removesuffix("_percent"))(symbol, percent=amount)
        case "target":
            strategy.order_target_quantity(symbol, round(amount * 100))
        case "target_percent":
            strategy.order_target_percent(symbol, amount)
        case "close":
            strategy.close_position(symbol)
        case "rebalance":
            strategy.rebalance({symbol: amount, "A": 0.75})
        case "rebalance_keep":
            strategy.rebalance({symbol: amount, "B": 0.5}, others="keep")


KINDS = ["buy", "sell", "buy_part", "sell_part", "buy_percent", "sell_percent"]
KINDS += ["target", "target_percent", "close", "rebalance", "rebalance_keep"]
ticks = st.integers(16, 640)


@st.composite
def price(draw: st.DrawFn) -> Price:
    if draw(st.integers(0, 4)) == 0:
        return None
    first, last, above, below = draw(ticks), draw(ticks), draw(st.integers(0, 64)), draw(st.integers(0, 15))
    return first / 64, (max(first, last) + above) / 64, (min(first, last) - below) / 64, last / 64


series = st.lists(price(), min_size=SLICES, max_size=SLICES)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = "ABCD"[: draw(st.integers(1, 4))]
    prices = {name: draw(series) for name in names}
    # A has a bar in the first slice, so that there is a world at all.
    prices["A"][0] = prices["A"][0] or 5.0
    request = st.tuples(st.sampled_from(KINDS), st.sampled_from(names), st.integers(0, 72).map(lambda k: k / 64))
    orders = draw(st.lists(st.tuples(st.integers(0, SLICES - 1), request), min_size=8, max_size=20))
    split = st.tuples(st.just("split"), st.sampled_from([2.0, 1.5, 3.0, 0.5, 0.1]))
    dividend = st.tuples(st.just("dividend"), st.integers(1, 64).map(lambda k: k / 64))
    action = st.tuples(st.sampled_from(names), st.integers(1, SLICES - 1), st.one_of(split, dividend))
    few = draw(st.integers(0, 4))
    drawn = draw(st.lists(action, min_size=few, max_size=few, unique_by=lambda a: (a[0], a[1], a[2][0])))
    return Case(
        prices,
        orders,
        [(symbol, day, kind, value) for symbol, day, (kind, value) in drawn],
        draw(st.sampled_from(["batch", "symbol"])),
        {
            "initial_capital": float(draw(st.sampled_from([64, 500, 4_000]))),
            "fractional": draw(st.booleans()),
            "on_insufficient_cash": draw(st.sampled_from([None, None, "clip", "reject"])),
            "slippage": draw(st.sampled_from([NoSlippage(), PercentageSlippage(0.0078125)])),
            "commission": draw(st.sampled_from([NoCommission(), PercentageCommission(0.015625), FlatFee()])),
        },
    )


def signed(fills: pl.DataFrame) -> Sequence[float]:
    return fills.select(pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0) * pl.col("quantity")).to_series()


@bounded(90)
@given(case=cases(), plain=st.booleans())
def test_books_balance_and_nothing_is_sold_or_spent_that_is_not_there(case: Case, plain: bool) -> None:
    result = case.run(case.slices() if plain else case.feed())
    states, fills = result.portfolio_states, result.fills
    if not isinstance(case.options["commission"], FlatFee):
        # A sale always brings more than a fraction of itself costs, so cash stays at or above zero (but for rounding).
        assert states.filter(pl.col("cash") < -1e-9).is_empty()
    assert states.filter(pl.col("positions_value") < 0.0).is_empty()
    assert fills.filter(pl.col("timestamp") <= pl.col("decision_timestamp")).is_empty()
    assert fills.filter(pl.col("fill_instant") < pl.col("decision_timestamp")).is_empty()
    if not case.options["fractional"]:
        assert all(quantity == int(quantity) for quantity in fills["quantity"])
    if not case.corporate:
        for (_symbol,), own in fills.group_by("symbol"):
            assert own.with_columns(held=pl.Series(signed(own)).cum_sum()).filter(pl.col("held") < -1e-9).is_empty()


@bounded(15)
@given(case=cases())
def test_plain_slices_and_prepared_bars_give_the_same_tables(case: Case) -> None:
    # A plain feed learns of a symbol with its first bar: until then it is unknown, not merely without a price.
    assume(all(values[0] is not None for values in case.prices.values()))
    # Nobody looks for doubtful bars in plain slices.
    assert same_tables(case.run(case.slices()), case.run(case.feed()), but="data_quality")
