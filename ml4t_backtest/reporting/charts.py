"""The figures of equity, trades and costs, as Plotly specs; their pieces stand in `plotly_spec`."""

from __future__ import annotations

import math
from itertools import accumulate

import polars as pl

from ml4t_backtest.reporting.curves import EquityCurve, evenly, session_labels, sessions_of, thinned
from ml4t_backtest.reporting.plotly_spec import (
    MOST_CURVE_POINTS,
    Figure,
    at,
    axis_of,
    finite,
    layout_of,
    line_of,
    text,
    time_axis,
)
from ml4t_backtest.reporting.result import BacktestResult

MOST_TRADE_POINTS = 2_000
_MOST_SYMBOLS = 20
_OUTCOMES = (
    ("gain", "circle", pl.col("pnl_net") > 0.0),
    ("loss", "diamond", pl.col("pnl_net") <= 0.0),
)


def equity_figure(curve: EquityCurve, benchmark: str | None) -> Figure:
    """Return equity (and benchmark) above, drawdown below, on one time axis."""
    kept = sorted({*thinned(curve.equity, MOST_CURVE_POINTS), *thinned(curve.drawdown, MOST_CURVE_POINTS)})
    labels = [curve.labels[index] for index in kept]
    data = [
        line_of(labels, at(curve.equity, kept), "Equity", "--accent"),
        line_of(labels, at(curve.drawdown, kept), "Drawdown", "--loss")
        | {"yaxis": "y2", "fill": "tozeroy", "fillcolor": "var(--loss-soft)", "hovertemplate": "%{y:.2%}"},
    ]
    if curve.benchmark and benchmark:
        line = line_of(labels, at(curve.benchmark, kept), text(benchmark), "--benchmark")
        data.insert(1, line | {"line": {"color": "var(--benchmark)", "width": 1.5, "dash": "dot"}})
    deepest = min(-0.01, 1.08 * min(curve.drawdown))
    layout = layout_of(hovermode="x unified") | {
        "hoversubplots": "axis",
        "xaxis": time_axis(labels, anchor="y2"),
        "yaxis": axis_of(domain=[0.34, 1.0], tickformat="~s"),
        "yaxis2": axis_of(domain=[0.0, 0.26], tickformat="~%", nticks=4, range=[deepest, 0.0]),
    }
    return {"data": data, "layout": layout}


def excursion_figure(result: BacktestResult) -> Figure:
    """Return the scatter of how far each trade went for and against the position."""
    layout = layout_of() | {
        "xaxis": axis_of("Worst excursion (MAE)", tickformat="~%"),
        "yaxis": axis_of("Best excursion (MFE)", tickformat="~%"),
    }
    return {"data": _outcomes(result, "max_adverse_pct", "max_favorable_pct"), "layout": layout}


def holding_figure(result: BacktestResult) -> Figure:
    """Return the scatter of net return against holding period."""
    layout = layout_of() | {
        "xaxis": axis_of("Held (bars)", rangemode="tozero"),
        "yaxis": axis_of("Net return", tickformat="~%", zeroline=True),
    }
    return {"data": _outcomes(result, "holding_period_bars", "pnl_percent"), "layout": layout}


def symbol_figure(trades: pl.DataFrame) -> Figure:
    """Return net P&L per symbol as bars, largest gain on top; beyond 20 symbols the smaller ones are one bar."""
    bars = sorted(pnl_by_symbol(trades), key=lambda bar: (-abs(bar[1]), bar[0]))
    shown, rest = bars[:_MOST_SYMBOLS], bars[_MOST_SYMBOLS:]
    shown.sort(key=lambda bar: (bar[1], bar[0]))
    if rest:
        shown.insert(0, (f"{len(rest)} others", math.fsum(value for _, value in rest)))
    places = list(range(len(shown)))
    names = [text(name) for name, _ in shown]
    bar = {
        "type": "bar",
        "orientation": "h",
        # Places instead of names: a symbol such as 7203 would be taken for a number.
        "y": places,
        "x": [finite(value) for _, value in shown],
        "customdata": names,
        "marker": {"color": ["var(--gain)" if value > 0.0 else "var(--loss)" for _, value in shown]},
        "hovertemplate": "%{customdata}: %{x:,.0f}<extra></extra>",
    }
    layout = layout_of() | {
        "xaxis": axis_of("Net P&amp;L", zeroline=True),
        "yaxis": axis_of(tickvals=places, ticktext=names, showgrid=False),
        "height": 120 + 22 * len(shown),
        "bargap": 0.35,
    }
    return {"data": [bar], "layout": layout}


def cost_figure(result: BacktestResult) -> Figure:
    """Return commission and slippage paid so far, stacked over time."""
    fills = result.fills.with_columns(sessions_of(result, result.fills["timestamp"]))
    per_day = fills.group_by("session", maintain_order=True).agg("commission", "slippage")
    labels = per_day["session"].dt.strftime("%Y-%m-%d").to_list()
    kept = evenly(len(labels), MOST_CURVE_POINTS - 1)
    # The last point is the total and must be there.
    kept = sorted({*kept, len(labels) - 1}) if labels else []
    data = []
    for name, colour in (("commission", "--accent"), ("slippage", "--second")):
        paid = list(accumulate(math.fsum(values) for values in per_day[name].to_list()))
        line = line_of([labels[i] for i in kept], at(paid, kept), name.capitalize(), colour)
        data.append(line | {"stackgroup": "costs", "line": {"color": f"var({colour})", "width": 1, "shape": "hv"}})
    layout = layout_of(hovermode="x unified") | {"xaxis": time_axis(labels), "yaxis": axis_of()}
    return {"data": data, "layout": layout}


def pnl_by_symbol(trades: pl.DataFrame) -> list[tuple[str, float]]:
    """Return the net P&L of each symbol, in symbol order, exactly rounded."""
    groups = trades.group_by("symbol").agg("pnl_net").sort("symbol")
    return [(symbol, math.fsum(values)) for symbol, values in groups.iter_rows()]


def sampled_trades(result: BacktestResult) -> pl.DataFrame:
    """Return the trades whose points are drawn: all, or evenly chosen ones where there are too many to look at."""
    trades = result.trades
    return trades[evenly(trades.height, MOST_TRADE_POINTS)]


def _outcomes(result: BacktestResult, x: str, y: str) -> list[Figure]:
    """Return one scatter of trades per outcome."""
    trades = sampled_trades(result)
    trades = trades.with_columns(entered=pl.Series(session_labels(result, trades["entry_timestamp"]), dtype=pl.String))
    return [_scatter(trades.filter(holds), x, y, name, mark) for name, mark, holds in _OUTCOMES]


def _scatter(trades: pl.DataFrame, x: str, y: str, name: str, mark: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name.capitalize(),
        "x": [finite(value) for value in trades[x].to_list()],
        "y": [finite(value) for value in trades[y].to_list()],
        "customdata": [
            [text(symbol), entered, finite(pnl)]
            for symbol, entered, pnl in trades.select("symbol", "entered", "pnl_net").iter_rows()
        ],
        "marker": {"color": f"var(--{name})", "symbol": mark, "size": 6, "opacity": 0.6},
        "hovertemplate": "%{customdata[0]}, entered %{customdata[1]}<br>"
        "x %{x}, y %{y}<br>net P&amp;L %{customdata[2]:,.2f}<extra></extra>",
    }
