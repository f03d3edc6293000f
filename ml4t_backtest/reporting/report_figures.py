"""All figures of a report, by the name of the place where the page's script draws them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ml4t_backtest.reporting import breakdown_charts, charts
from ml4t_backtest.reporting.breakdowns import by_known_value, known_columns
from ml4t_backtest.reporting.curves import equity_curve
from ml4t_backtest.reporting.plotly_spec import Figure
from ml4t_backtest.reporting.price_chart import price_figures
from ml4t_backtest.reporting.result import BacktestResult

# Groups of which the page shows one at a time.
KNOWN, MARKET, PRICE = "known:", "market:", "price:"
_DECILES, _QUINTILES = 10, 5
# Below that a bucket of ten is a handful of trades.
_TRADES_FOR_DECILES = 100


def report_figures(
    result: BacktestResult, benchmark: str | None = None, bars: pl.DataFrame | pl.LazyFrame | None = None
) -> dict[str, Figure]:
    """Return the figures that have something to show.

    Args:
        result: The run.
        benchmark: Context column to draw beside the equity.
        bars: What the run was over, for the price charts.

    Raises:
        ConfigError: There is no context column `benchmark`, or it holds no numbers.
    """
    return dict([*_over_time(result, benchmark), *_of_trades(result), *_of_fills(result, bars)])


def _over_time(result: BacktestResult, benchmark: str | None) -> Iterator[tuple[str, Figure]]:
    if result.daily_returns.is_empty():
        return
    yield "equity", charts.equity_figure(equity_curve(result, benchmark), benchmark)
    if (window := breakdown_charts.rolling_window(result)) is not None:
        yield "rolling", breakdown_charts.rolling_figure(result, window)
    yield "exposure", breakdown_charts.exposure_figure(result)
    returns = result.daily_returns["daily_return"].drop_nulls().to_list()
    if returns:
        yield "distribution", breakdown_charts.distribution_figure(returns)


def _of_trades(result: BacktestResult) -> Iterator[tuple[str, Figure]]:
    trades = result.trades
    if trades.is_empty():
        return
    yield "excursions", charts.excursion_figure(result)
    yield "holding", charts.holding_figure(result)
    yield "symbols", charts.symbol_figure(trades)
    yield "reasons", breakdown_charts.reason_figure(trades)
    buckets = _DECILES if trades.height >= _TRADES_FOR_DECILES else _QUINTILES
    of_symbol, of_market = known_columns(result)
    for group, names, parts in ((KNOWN, of_symbol, buckets), (MARKET, of_market, _QUINTILES)):
        for name in names:
            yield f"{group}{name}", breakdown_charts.bucket_figure(by_known_value(trades, name, parts), name)


def _of_fills(result: BacktestResult, bars: pl.DataFrame | pl.LazyFrame | None) -> Iterator[tuple[str, Figure]]:
    if result.fills.is_empty():
        return
    yield "costs", charts.cost_figure(result)
    yield "turnover", breakdown_charts.turnover_figure(result)
    for symbol, figure in price_figures(result, bars).items():
        yield f"{PRICE}{symbol}", figure
