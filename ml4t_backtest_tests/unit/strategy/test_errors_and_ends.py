"""What goes wrong in a strategy is told with time and symbol; an engine runs once; nothing ends in silence."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from worlds import DAYS, Mode, Slices, bars, closes, rows, run, run_on, same_tables, script

from ml4t_backtest import (
    BacktestEngine,
    BacktestError,
    ConfigError,
    DataValidationError,
    MarketEvent,
    PolarsDataFeed,
    Strategy,
    StrategyError,
)
from ml4t_backtest.strategy.sizing import calculate_position_size

WORLD = {"A": [10, 11, 12, 13], "B": [20, 21, 22, 23]}


def feed(**options: Any) -> PolarsDataFeed:
    return PolarsDataFeed(bars(WORLD), bar_label="session", **options)


def broken(strategy: Strategy) -> None:
    raise KeyError("no such thing")


@pytest.mark.parametrize("mode", ["batch", "symbol"])
def test_exception_of_a_strategy_becomes_a_strategy_error_with_its_time(mode: Mode) -> None:
    with pytest.raises(StrategyError, match=r"2024-01-04 21:00 UTC.*no such thing") as caught:
        run(WORLD, {2: broken}, mode=mode)
    assert isinstance(caught.value.__cause__, KeyError)


def test_exception_on_an_event_names_the_symbol() -> None:
    class FailsOnB(Strategy):
        def on_market_data(self, event: MarketEvent) -> None:
            if event.symbol == "B" and event.timestamp == closes(1):
                raise ZeroDivisionError("by nothing")

    with pytest.raises(StrategyError, match=r"FailsOnB raised at 2024-01-03 21:00 UTC on B: .*by nothing"):
        run_on(feed(), FailsOnB())


def test_who_asks_for_a_column_that_is_not_there_is_told_those_that_are() -> None:
    class Misspells(Strategy):
        def on_market_data(self, event: MarketEvent) -> None:
            self.buy(event.symbol, event.signals["scroe"])

    frame = bars(WORLD).with_columns(score=pl.lit(1.0))
    with pytest.raises(StrategyError, match=r"KeyError\('scroe'\); of this data: signals \['score'\], indicators \[\]"):
        run_on(PolarsDataFeed(frame, signal_columns=["score"], bar_label="session"), Misspells())


class Quiet(Strategy):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


class FailsAtStart(Quiet):
    def on_start(self) -> None:
        raise RuntimeError("not today")


class FailsAtEnd(Quiet):
    def on_end(self) -> None:
        raise RuntimeError("not today")


class FailsInWarmUp(Quiet):
    def on_warm_up(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        raise RuntimeError("not today")


@pytest.mark.parametrize("strategy", [FailsAtStart, FailsAtEnd, FailsInWarmUp])
def test_exceptions_of_the_other_callbacks_are_told_too(strategy: type[Strategy]) -> None:
    with pytest.raises(StrategyError, match=rf"{strategy.__name__}.*not today") as caught:
        run_on(feed(start=DAYS[2], warm_up_days=10), strategy())
    # There was no slice in 1970.
    assert "1970" not in str(caught.value)


def test_exception_in_the_warm_up_is_told_with_its_time() -> None:
    with pytest.raises(StrategyError, match="2024-01-02 21:00"):
        run_on(feed(start=DAYS[2], warm_up_days=10), FailsInWarmUp())


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"quantity": 1, "percent": 0.1}, "exactly one"),
        ({}, "exactly one"),
        ({"quantity": -1}, "negative"),
        ({"percent": -0.1}, "negative"),
    ],
)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_order_without_one_amount_is_a_strategy_error(side: str, arguments: dict[str, float], what: str) -> None:
    with pytest.raises(StrategyError, match=rf"2024-01-03 21:00.*'A'.*{what}"):
        run(WORLD, {1: lambda s: getattr(s, side)("A", **arguments)})


def test_engine_runs_once() -> None:
    engine = BacktestEngine(feed(), script({}))
    engine.run()
    with pytest.raises(BacktestError, match="runs once"):
        engine.run()


def test_engine_that_failed_does_not_run_again() -> None:
    engine = BacktestEngine(feed(), script({0: broken}))
    with pytest.raises(StrategyError):
        engine.run()
    with pytest.raises(BacktestError, match="runs once"):
        engine.run()


def test_feed_and_script_can_be_used_for_several_runs() -> None:
    shared, plan = feed(), {0: lambda s: s.buy("A", 5), 2: lambda s: s.sell("A", 2)}
    assert same_tables(run_on(shared, script(plan)), run_on(shared, script(plan)))


def test_working_orders_expire_at_the_end_with_a_record() -> None:
    result = run(WORLD, {3: lambda s: (s.buy("A", 5), s.sell("B", percent=0.5))})
    columns = ("symbol", "side", "status", "reason", "filled_quantity", "last_timestamp")
    assert result.orders.select(columns).rows() == [
        ("A", "buy", "expired", "end_of_data", 0.0, closes(3)),
        ("B", "sell", "expired", "end_of_data", 0.0, closes(3)),
    ]
    assert result.rejected_orders.is_empty()


class OrdersAtEnd(Quiet):
    def on_end(self) -> None:
        self.buy("A", 5)


def test_order_after_the_last_slice_is_no_silence() -> None:
    try:
        result = run_on(feed(), OrdersAtEnd())
    except StrategyError as error:
        assert "OrdersAtEnd" in str(error)  # noqa: PT017
    else:
        assert result.orders["status"].to_list() == ["expired"]


def test_progress_counts_slices_chunk_by_chunk() -> None:
    counts: list[int] = []
    run_on(feed(chunk=3), script({}), on_progress=counts.append)
    assert counts == [3, 4]


@pytest.mark.parametrize("capital", [0.0, -1.0, math.nan, math.inf])
def test_capital_that_is_no_positive_number_is_refused(capital: float) -> None:
    with pytest.raises(ConfigError, match="initial_capital"):
        BacktestEngine(feed(), script({}), initial_capital=capital)


def test_unknown_adjustment_is_refused() -> None:
    with pytest.raises(ConfigError, match="adjustment"):
        BacktestEngine(feed(), script({}), adjustment="dividends")


def test_unknown_cash_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="on_insufficient_cash"):
        BacktestEngine(feed(), script({}), on_insufficient_cash="shrink")


def moments(*hours: int) -> list[datetime]:
    return [datetime(2024, 1, 2, tzinfo=UTC) + timedelta(hours=hour) for hour in hours]


@pytest.mark.parametrize("hours", [(1, 3, 2), (1, 2, 2)])
def test_feed_that_goes_back_in_time_is_refused(hours: tuple[int, ...]) -> None:
    with pytest.raises(DataValidationError, match="E-TS-ORDER"):
        run_on(Slices([(moment, rows({"A": 1.0}), {}) for moment in moments(*hours)]), script({}))


def test_feed_with_a_symbol_twice_in_a_slice_is_refused() -> None:
    twice = pl.concat([rows({"A": 1.0}), rows({"A": 2.0})])
    with pytest.raises(DataValidationError, match="two rows"):
        run_on(Slices([(moments(1)[0], twice, {})]), script({}))


def test_any_iterable_of_triples_is_a_feed() -> None:
    class Generator:
        def __iter__(self) -> Any:
            yield from [(moment, rows({"A": 10.0, "B": 20.0}), {"vix": 20.0}) for moment in moments(1, 2, 3)]

    result = run_on(Generator(), script({0: lambda s: s.buy("B", 3)}))
    assert result.fills.select("symbol", "price", "timestamp").rows() == [("B", 20.0, moments(2)[0])]


# Helpers


@pytest.mark.parametrize(
    ("equity", "price", "atr", "risk", "shares"),
    [
        (100_000, 50, 2, 0.02, 1_000),  # 100,000 x 0.02 / 2
        (100_000, 50, 0.5, 0.02, 2_000),  # 4,000 by risk, 100,000 / 50 by money
        (10_000, 30, 7, 0.01, 14),  # 100 / 7 = 14.3
        (1_000, 600, 1, 0.5, 1),  # 1,000 / 600 = 1.7
        (100, 600, 1, 0.5, 0),
    ],
)
def test_position_size_is_the_smaller_of_risk_and_money(
    equity: float, price: float, atr: float, risk: float, shares: float
) -> None:
    assert calculate_position_size(equity, price, atr, risk) == shares


@pytest.mark.parametrize("atr", [0.0, -1.0, math.nan, None])
def test_position_size_without_a_usable_atr_is_zero(atr: float | None) -> None:
    assert calculate_position_size(1_000.0, 10.0, atr) == 0.0


@pytest.mark.parametrize("risk", [0.0, -0.02, 2.0, math.nan])
def test_position_size_at_a_risk_that_is_no_fraction_is_refused(risk: float) -> None:
    with pytest.raises(StrategyError, match=r"risk_pct is a fraction in \(0, 1\]"):
        calculate_position_size(1_000.0, 10.0, 1.0, risk)


def test_strategy_sizes_with_its_own_equity() -> None:
    sizes: list[float] = []
    # Equity is 1,040 with 20 shares at 14: 2 % of it over an ATR of 1.5 are 13.9.
    plan = {0: lambda s: s.buy("A", 20), 1: lambda s: sizes.append(s.calculate_position_size(14.0, 1.5))}
    run({"A": [10, (12, 15, 11, 14)]}, plan)
    assert sizes == [13.0]
