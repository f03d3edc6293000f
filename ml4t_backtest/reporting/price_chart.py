"""Price charts with entries and exits, one per symbol that traded."""

from __future__ import annotations

import polars as pl

from ml4t_backtest.data.sources import collect
from ml4t_backtest.reporting.curves import FEW_SESSIONS, evenly, session_labels
from ml4t_backtest.reporting.formats import money, shares
from ml4t_backtest.reporting.plotly_spec import Figure, axis_of, finite, layout_of, line_of, text, time_axis
from ml4t_backtest.reporting.result import BacktestResult

MOST_SYMBOLS = 250
# Of all symbols together: 20 bytes each in the page.
_POINTS = 120_000
_MOST_POINTS_EACH = 1_200
_MOST_FILLS_EACH = 600
_OUTLINE = {"color": "var(--surface)", "width": 1}
_SIDES = (("buy", "Bought", "triangle-up", "--accent"), ("sell", "Sold", "triangle-down", "--second"))


def price_figures(result: BacktestResult, bars: pl.DataFrame | pl.LazyFrame | None) -> dict[str, Figure]:
    """Return a chart per symbol, in symbol order: closes of sessions (of slices, in a short run), and fills.

    Args:
        result: The run.
        bars: What it ran over, with `timestamp`, `symbol` and `close`; None draws the prices of fills alone.
    """
    busiest = result.fills.group_by("symbol").len().sort(["len", "symbol"], descending=[True, False])
    symbols = sorted(str(symbol) for symbol in busiest["symbol"].head(MOST_SYMBOLS).to_list())
    closes = _closes(result, bars, symbols) if bars is not None and symbols else {}
    return {symbol: _figure(result, symbol, closes.get(symbol)) for symbol in symbols}


def _closes(result: BacktestResult, bars: pl.DataFrame | pl.LazyFrame, symbols: list[str]) -> dict[str, pl.DataFrame]:
    by_slice = result.daily_returns.height < FEW_SESSIONS < result.portfolio_states.height
    moments = (result.portfolio_states if by_slice else result.daily_returns)["timestamp"]
    drawn = moments.gather(evenly(moments.len(), min(_MOST_POINTS_EACH, max(60, _POINTS // len(symbols)))))
    found = collect(
        bars.lazy()
        .filter(pl.col("timestamp").is_in(drawn.implode()))
        .select("timestamp", pl.col("symbol").cast(pl.String), "close")
        .filter(pl.col("symbol").is_in(symbols))
    ).sort("symbol", "timestamp")
    return {str(symbol): frame for (symbol,), frame in found.group_by("symbol", maintain_order=True)}


def _figure(result: BacktestResult, symbol: str, closes: pl.DataFrame | None) -> Figure:
    fills = result.fills.filter(pl.col("symbol") == symbol)
    fills = fills[evenly(fills.height, _MOST_FILLS_EACH)]
    data = []
    labels = [label or "" for label in session_labels(result, fills["timestamp"])]
    if closes is not None:
        labels = [label or "" for label in session_labels(result, closes["timestamp"])]
        prices = [finite(value) for value in closes["close"].to_list()]
        data.append(line_of(labels, prices, "Close", "--benchmark") | {"hovertemplate": "close %{y:,.2f}"})
    data += [_marks(result, fills.filter(pl.col("side") == side), *look) for side, *look in _SIDES]
    layout = layout_of() | {"xaxis": time_axis(labels), "yaxis": axis_of(f"Price of {text(symbol)}")}
    return {"data": data, "layout": layout}


def _marks(result: BacktestResult, fills: pl.DataFrame, name: str, mark: str, colour: str) -> Figure:
    told = [
        f"{name.lower()} {shares(quantity)} at {money(price)}"
        for quantity, price in fills.select("quantity", "price").iter_rows()
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": session_labels(result, fills["timestamp"]),
        "y": [finite(value) for value in fills["price"].to_list()],
        "customdata": told,
        "marker": {
            "color": f"var({colour})",
            "symbol": mark,
            "size": 9,
            "line": {"color": "var(--surface)", "width": 1},
        },
        "hovertemplate": "%{x}<br>%{customdata}<extra></extra>",
    }
