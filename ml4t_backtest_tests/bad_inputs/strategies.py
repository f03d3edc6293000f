"""Section H: strategies and orders that misuse the engine."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from click.testing import CliRunner
from worlds import bars, closes, order, run, run_on

from bad_inputs.case import COMMAND_LINE, Attempts, Case, Holds, Refused
from bad_inputs.doors import outcome, write_config
from bad_inputs.good import World, daily
from bad_inputs.spoil import unchanged
from ml4t_backtest import (
    BacktestEngine,
    BacktestError,
    BacktestResult,
    MarketEvent,
    PolarsDataFeed,
    Strategy,
    StrategyError,
)
from ml4t_backtest.cli import main
from ml4t_backtest.runner import check_determinism, run_backtest
from ml4t_backtest.strategy.outbox import MAX_REQUESTS_PER_SLICE

ENGINE = "engine"
WORLD: Mapping[str, Any] = {"A": [100, 100, 100, 100], "B": [10, 10, 10, 10]}
RICH = {"initial_capital": 10_000.0}
Step = Callable[[Strategy], object]


def feed(prices: Any = None) -> PolarsDataFeed:
    """Return a feed of four sessions."""
    return PolarsDataFeed(bars(prices or WORLD), bar_label="session")


class Batch(Strategy):
    """Does nothing, slice by slice."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        """Do nothing."""


class Neither(Strategy):
    """Overrides no callback."""


class Both(Batch):
    """Overrides both callbacks."""

    def on_market_data(self, event: MarketEvent) -> None:
        """Do nothing."""


class Static(Strategy):
    """Overrides its callback by a static method, which cannot be asked for orders."""

    seen: list[str] = []  # noqa: RUF012 - a static method has nothing else

    @staticmethod
    def on_market_data(event: MarketEvent) -> None:
        """Note the symbol."""
        Static.seen.append(event.symbol)


class Lambda(Strategy):
    """Overrides its callback by an attribute."""

    on_market_data = lambda self, event: None  # noqa: E731


class Spoiler(Strategy):
    """Writes into everything it is handed."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        """Buy once, then set every price to 1 wherever that can be done."""
        if timestamp == closes(0):
            self.buy("A", 1)
        for name in ("open", "high", "low", "close"):
            for spoil in (
                lambda name=name: asset_batch[name].to_numpy().fill(1.0),
                lambda name=name: asset_batch.replace_column(
                    asset_batch.get_column_index(name), pl.Series(name, [1.0] * 2)
                ),
                lambda: context.update(vix=0.0),
            ):
                with suppress(Exception):
                    spoil()


class Looks(Strategy):
    """Notes the latest row that it can reach at each slice."""

    def __init__(self) -> None:
        self.latest: list[tuple[datetime, datetime]] = []
        self.kept: list[pl.DataFrame] = []

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        """Look around."""
        self.kept.append(asset_batch)
        shown = [*self.kept, self.history("A", 100), self.history("B", 100)]
        self.latest += [(frame["timestamp"].max(), timestamp) for frame in shown]  # type: ignore[misc]


class FailsOn(Strategy):
    """Raises at the second session, on B."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_market_data(self, event: MarketEvent) -> None:
        """Raise when it is time."""
        if event.symbol == "B" and event.timestamp == closes(1):
            raise self.error


def _panic() -> BaseException:
    return pl.exceptions.PanicException("index out of bounds")


def _case(id: str, defect: str, attempt: Callable[[], Any], expected: Any) -> Case:
    return Case(id, defect, lambda folder, level: {ENGINE: attempt}, expected)


def _rejected(id: str, defect: str, step: Step, reason: str, detail: str = "", **options: Any) -> Case:
    """Return a case in which the one order of a run is rejected, and says why."""

    def is_told(result: BacktestResult) -> None:
        assert result.orders["status"].to_list() == ["rejected"], result.orders
        assert result.fills.is_empty()
        record = order(result, 1)
        assert record["reason"] == reason, record
        assert detail in (record["detail"] or ""), record

    return _case(id, defect, lambda: run(WORLD, {0: step}, **{**RICH, **options}), Holds(is_told))


def _orders_are(*expected: tuple[str, str | None, float]) -> Holds:
    """Return that orders have these status, reason and filled quantity, and cash stays above zero."""

    def check(result: BacktestResult) -> None:
        assert result.orders.select("status", "reason", "filled_quantity").rows() == list(expected), result.orders
        assert result.portfolio_states["cash"].min() >= 0.0  # type: ignore[operator]

    return Holds(check)


def _nothing_later(strategy: Looks) -> None:
    assert len(strategy.latest) == 1 + 2 + 3 + 4 + 2 * 4
    assert all(seen <= now for seen, now in strategy.latest)


def _looked() -> Looks:
    strategy = Looks()
    run_on(feed(), strategy)
    return strategy


def _spoiled_nothing(result: BacktestResult) -> None:
    clean = run(WORLD, {0: lambda s: s.buy("A", 1)}, **RICH)
    assert outcome(result) == outcome(clean)


def _fills_at(price: float) -> Holds:
    def check(result: BacktestResult) -> None:
        assert result.trades["exit_price"].to_list() == [price], result.trades

    return Holds(check)


def _ends_without_effect(result: BacktestResult) -> None:
    assert result.orders.is_empty()
    assert result.portfolio_states.height == 4


_RAISES = """
from ml4t_backtest import Strategy

class Mine(Strategy):
    def on_market_data(self, event):
        if event.symbol == "BBB" and event.timestamp.day == 10:
            raise KeyError("a strategy's own mistake")
"""
_RANDOM = """
import random
from ml4t_backtest import Strategy

class Mine(Strategy):
    def on_market_data(self, event):
        if random.random() < 0.1:
            self.buy(event.symbol, 1)
"""


def _config_of(module: str, folder: Path) -> Path:
    (folder / "mine.py").write_text(module, encoding="utf-8")
    world: World = unchanged(daily())
    mine = World(world.tables, world.stored, world.declared, {"strategy": {"path": "mine.py:Mine"}})
    return write_config(mine, mine.write(folder), folder, "standard")


def _raising(folder: Path, level: str) -> Attempts:
    config = _config_of(_RAISES, folder)
    return {
        "run": lambda: run_backtest(config),
        COMMAND_LINE: lambda: CliRunner().invoke(main, ["run", str(config), "--output-root", str(folder / "out")]),
    }


def _by_chance(folder: Path, level: str) -> Attempts:
    config = _config_of(_RANDOM, folder)
    random.seed()
    return {
        "check_determinism": lambda: check_determinism(config),
        COMMAND_LINE: lambda: CliRunner().invoke(
            main, ["run", str(config), "--twice", "--output-root", str(folder / "out")]
        ),
    }


def _by_rule(folder: Path, level: str) -> Attempts:
    config = write_config(daily(), daily().write(folder), folder, level)
    return {"check_determinism": lambda: check_determinism(config)}


def _same_as_once(result: BacktestResult) -> None:
    from bad_inputs.spoil import like

    assert outcome(result) == like()("run")


_IMPOSSIBLE = (math.nan, -1.0, 0.0, math.inf, -math.inf)
_PRICED = ("limit", "stop", "trailing", "stop_loss", "take_profit")
# Distances on the wrong side, or beyond the price, and what the record calls them.
_DISTANCES = (
    ("trailing_percent", 1.0, "trail_percent 1.0"),
    ("trailing_percent", -0.1, "trail_percent -0.1"),
    ("stop_loss_percent", 1.0, "stop_loss_percent 1.0"),
    ("stop_loss_percent", -0.05, "stop_loss_percent -0.05"),
    ("stop_loss_percent", math.nan, "stop_loss_percent nan"),
    ("take_profit_percent", -0.05, "take_profit_percent -0.05"),
    ("take_profit_percent", 0.0, "take_profit_percent 0.0"),
    ("trailing_stop_percent", 5.0, "trailing_stop_percent 5.0"),
    ("max_holding_bars", 0, "max_holding_bars 0"),
    ("max_holding_bars", -3, "max_holding_bars -3"),
)
_MANY: Mapping[str, Step] = {
    "one by one": lambda s: [s.buy("B", 1, limit=1.0) for _ in range(10**6)],
    "in one batch": lambda s: s.submit_batch(["B"] * 10**6, [1] * 10**6),
    "to be cancelled": lambda s: [s.cancel(1) for _ in range(10**6)],
}
_UNKNOWN: Mapping[str, Step] = {
    "buy": lambda s: s.buy("Z", 1),
    "sell": lambda s: s.sell("Z", percent=0.5),
    "target": lambda s: s.order_target_percent("Z", 0.5),
    "close": lambda s: s.close_position("Z"),
    "rebalance": lambda s: s.rebalance({"Z": 0.5}),
    "batch": lambda s: s.submit_batch(["Z"], [1]),
}
_OVERRIDE = "override exactly one"
_GAP_UP: Mapping[str, Any] = {"A": [100, 120, 120]}

MISBUILT = [
    _case(
        "ST001",
        "no callback",
        lambda: BacktestEngine(feed(), Neither()),
        Refused((), StrategyError, ("neither", _OVERRIDE)),
    ),
    _case(
        "ST002",
        "both callbacks",
        lambda: BacktestEngine(feed(), Both()),
        Refused((), StrategyError, ("both", _OVERRIDE)),
    ),
    _case("ST003", "a callback that is a static method", lambda: run_on(feed(), Static()), Holds(_ends_without_effect)),
    _case("ST003b", "a callback that is an attribute", lambda: run_on(feed(), Lambda()), Holds(_ends_without_effect)),
]

ORDERS = [
    *(
        _rejected(
            f"ST005{'abcdef'[number]}",
            f"an order for an unknown symbol: {name}",
            step,
            "unknown_symbol",
            "'Z' is not in the data",
        )
        for number, (name, step) in enumerate(_UNKNOWN.items())
    ),
    *(
        _case(
            f"ST006{letter}",
            f"an order with {what}",
            lambda amounts=amounts: run(WORLD, {0: lambda s: s.buy("A", **amounts)}),
            Refused((), StrategyError, ("exactly one of quantity and percent", "'A'", "2024-01-02 21:00")),
        )
        for letter, what, amounts in (("", "both amounts", {"quantity": 1, "percent": 0.1}), ("b", "no amount", {}))
    ),
    _rejected("ST007", "150 % of equity without credit", lambda s: s.buy("A", percent=1.5), "insufficient_cash", "1.5"),
    *(
        _rejected(
            f"ST008 {name} {price}",
            f"a price that cannot be: {name} {price}",
            lambda s, name=name, price=price: s.buy("A", 1, **{name: price}),
            "invalid_price",
            repr(price),
        )
        for name in _PRICED
        for price in _IMPOSSIBLE
    ),
    *(
        _rejected(
            f"ST008 {name} {value}",
            f"a distance that cannot be: {name} {value}",
            lambda s, name=name, value=value: s.buy("A", 1, **{name: value}),
            "invalid_price",
            detail,
        )
        for name, value, detail in _DISTANCES
    ),
    *(
        _rejected(
            f"ST008 quantity {quantity}",
            f"a quantity that cannot be: {quantity}",
            lambda s, quantity=quantity: s.buy("A", quantity),
            "invalid_quantity",
            f"quantity {quantity!r}",
        )
        for quantity in (math.nan, math.inf)
    ),
    _case(
        "ST009",
        "an order for a symbol that has no bar any more",
        lambda: run({"A": [100, None, None, None], "B": [10, 10, 10, 10]}, {0: lambda s: s.buy("A", 1)}),
        _orders_are(("expired", "end_of_data", 0.0)),
    ),
    _case(
        "ST010",
        "all of the cash in shares before a gap up",
        lambda: run(_GAP_UP, {0: lambda s: s.buy("A", 100)}, **RICH),
        Holds(lambda result: _gapped(result, "rejected", 0.0)),
    ),
    _case(
        "ST010b",
        "all of equity before a gap up",
        lambda: run(_GAP_UP, {0: lambda s: s.buy("A", percent=1.0)}, **RICH),
        Holds(lambda result: _gapped(result, "filled", 83.0)),
    ),
    _case(
        "ST010c",
        "a target of all of equity before a gap up",
        lambda: run(_GAP_UP, {0: lambda s: s.order_target_percent("A", 1.0)}, **RICH),
        Holds(lambda result: _gapped(result, "filled", 83.0)),
    ),
    _case(
        "ST012",
        "a stop that the market gaps through",
        lambda: run({"A": [100, 100, (80, 85, 75, 82)]}, {0: lambda s: s.buy("A", 1, stop_loss=95.0)}),
        _fills_at(80.0),
    ),
]


def _gapped(result: BacktestResult, status: str, shares: float) -> None:
    """10,000 of cash at 120 a share pay for 83."""
    assert result.orders.select("status", "filled_quantity").rows() == [(status, shares)]
    assert result.portfolio_states["cash"].min() >= 0.0  # type: ignore[operator]


REACHING = [
    _case(
        "ST013",
        "a strategy that changes what it is handed",
        lambda: run_on(feed(), Spoiler(), **RICH),
        Holds(_spoiled_nothing),
    ),
    _case("ST014", "a strategy that looks for later rows", _looked, Holds(_nothing_later)),
]

RAISING = [
    *(
        _case(
            f"ST015{'abcdf'[number]}",
            f"a strategy that raises {type(error).__name__}",
            lambda error=error: run_on(feed(), FailsOn(error)),
            Refused((), StrategyError, ("FailsOn raised at 2024-01-03 21:00 UTC on B: ",)),
        )
        for number, error in enumerate(
            (KeyError("x"), pl.exceptions.ColumnNotFoundError("x"), SystemExit(3), BacktestError("x"), _panic())
        )
    ),
    Case(
        "ST015e",
        "a strategy that raises in a configured run",
        _raising,
        # Its data is good, and may be prepared.
        Refused((), StrategyError, ("config", "2024-01-10 21:00 UTC on BBB", "KeyError"), writes="out/prepared"),
    ),
    Case("ST016", "a strategy that decides by chance", _by_chance, Refused((), StrategyError, ("differ", "orders"))),
    Case("ST016b", "a strategy that decides by rule", _by_rule, Holds(_same_as_once)),
    *(
        _case(
            f"ST017{'abc'[number]}",
            f"a million orders in one slice, {how}",
            lambda step=step: run(WORLD, {0: step}),
            Refused((), StrategyError, (f"E-ST-LIMIT more than {MAX_REQUESTS_PER_SLICE} orders",)),
        )
        for number, (how, step) in enumerate(_MANY.items())
    ),
]

CASES: list[Case] = [*MISBUILT, *ORDERS, *REACHING, *RAISING]
