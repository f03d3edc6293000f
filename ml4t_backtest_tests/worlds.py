"""Small worlds for tests: a few bars typed by hand, strategies that follow a script, feeds made of plain lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

import polars as pl

from ml4t_backtest import BacktestEngine, BacktestResult, NoCommission, NoSlippage, PolarsDataFeed, Strategy

# Sessions of the New York exchange: 2024-01-01 is a holiday, 6 and 7 January a weekend, 15 January is a holiday.
# All open at 14:30 and close at 21:00 UTC.
DAYS = tuple(date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12, 16, 17, 18))

Mode = Literal["batch", "symbol"]
Step = Callable[[Strategy], object]
# A bar: (open, high, low, close), one number for a bar that does not move, None for no bar.
Price = tuple[float, float, float, float] | float | None


def opens(index: int) -> datetime:
    """Return when session `DAYS[index]` opens."""
    return datetime.combine(DAYS[index], time(14, 30), UTC)


def closes(index: int) -> datetime:
    """Return when session `DAYS[index]` closes."""
    return datetime.combine(DAYS[index], time(21, 0), UTC)


def bars(prices: Mapping[str, Sequence[Price]], days: Sequence[date] = DAYS) -> pl.DataFrame:
    """Return daily bars labelled by session; the i-th price of each symbol is that of `days[i]`."""
    rows = [
        {"timestamp": day, "symbol": symbol, **_ohlc(price), "volume": 1_000.0}
        for symbol, series in prices.items()
        for day, price in zip(days, series, strict=False)
        if price is not None
    ]
    return pl.DataFrame(rows)


def actions(*rows: tuple[str, date, str, float]) -> pl.DataFrame:
    """Return corporate actions from (symbol, ex_date, kind, value)."""
    types = {"symbol": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=types, orient="row")


class BatchScript(Strategy):
    """Does at its i-th slice what `plan[i]` says."""

    def __init__(self, plan: Mapping[int, Step]) -> None:
        self._plan = plan
        self._slice = -1

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        self._slice += 1
        self._plan.get(self._slice, _nothing)(self)


class SymbolScript(Strategy):
    """Does at the first event of its i-th slice what `plan[i]` says."""

    def __init__(self, plan: Mapping[int, Step]) -> None:
        self._plan = plan
        self._slice = -1
        self._timestamp: datetime | None = None

    def on_market_data(self, event: Any) -> None:
        if event.timestamp != self._timestamp:
            self._timestamp = event.timestamp
            self._slice += 1
            self._plan.get(self._slice, _nothing)(self)


def script(plan: Mapping[int, Step], mode: Mode = "batch") -> Strategy:
    """Return a strategy that follows `plan` (slice number -> what it does) in one of the callback modes."""
    return BatchScript(plan) if mode == "batch" else SymbolScript(plan)


def run(
    prices: pl.DataFrame | Mapping[str, Sequence[Price]],
    plan: Mapping[int, Step],
    *,
    mode: Mode = "batch",
    feed: Mapping[str, Any] | None = None,
    **engine: Any,
) -> BacktestResult:
    """Run a script over daily bars, with 1,000 in cash and without costs unless told otherwise."""
    frame = prices if isinstance(prices, pl.DataFrame) else bars(prices)
    slices = PolarsDataFeed(frame, bar_label="session", **(feed or {}))
    return run_on(slices, script(plan, mode), **engine)


def run_on(feed: Any, strategy: Strategy, **engine: Any) -> BacktestResult:
    """Run a strategy over a feed, with 1,000 in cash and without costs unless told otherwise."""
    plain = {"initial_capital": 1_000.0, "slippage": NoSlippage(), "commission": NoCommission()}
    return BacktestEngine(feed, strategy, **(plain | engine)).run()


@dataclass(frozen=True)
class Slices:
    """A feed that is no PolarsDataFeed: a list of (timestamp, rows, context)."""

    triples: Sequence[tuple[datetime, pl.DataFrame, Mapping[str, Any]]]

    def __iter__(self) -> Iterator[tuple[datetime, pl.DataFrame, Mapping[str, Any]]]:
        return iter(self.triples)


def rows(prices: Mapping[str, Price], **columns: Sequence[Any]) -> pl.DataFrame:
    """Return the rows of one slice of such a feed, in the order of `prices`."""
    frame = pl.DataFrame([{"symbol": symbol, **_ohlc(price), "volume": 1_000.0} for symbol, price in prices.items()])
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items())


def quantities(frame: pl.DataFrame, column: str = "quantity") -> list[tuple[str, float]]:
    """Return (symbol, quantity) of each row, quantities of sells negative."""
    sign = {"buy": 1.0, "sell": -1.0}
    return [(row["symbol"], sign[row["side"]] * row[column]) for row in frame.iter_rows(named=True)]


def order(result: BacktestResult, order_id: int) -> dict[str, Any]:
    """Return the record of one order."""
    return result.orders.row(by_predicate=pl.col("order_id") == order_id, named=True)


def same_tables(one: BacktestResult, other: BacktestResult, *, but: str | None = None) -> bool:
    """Whether two results have the same tables, to the bit; one may be left out."""
    tables = other.tables()
    return all(frame.equals(tables[name], null_equal=True) for name, frame in one.tables().items() if name != but)


def _ohlc(price: Price) -> dict[str, float]:
    values = price if isinstance(price, tuple) else (price,) * 4
    return dict(zip(("open", "high", "low", "close"), map(float, values), strict=True))


def _nothing(strategy: Strategy) -> None:
    pass
