"""Figures as plain Plotly specs: dictionaries with `data` and `layout`, never `plotly.graph_objects`.

A colour is written `var(--gain)`; the page's script puts in the colour of the style sheet, so that charts follow light
and dark. Numbers are finite or None. Texts are HTML-escaped, because Plotly reads a subset of HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import polars as pl

from ml4t_backtest.reporting.curves import EquityCurve, evenly, session_labels, sessions_of, thinned
from ml4t_backtest.reporting.result import BacktestResult

Figure = dict[str, Any]

MOST_TRADE_POINTS = 2_000
_MOST_CURVE_POINTS = 1_500
_MOST_SYMBOLS = 20
_FEW_POINTS = 6
_LABEL_LENGTH = 24
_OUTCOMES = (
    ("gain", "circle", pl.col("pnl_net") > 0.0),
    ("loss", "diamond", pl.col("pnl_net") <= 0.0),
)


def equity_figure(curve: EquityCurve, benchmark: str | None) -> Figure:
    """Return equity (and benchmark) above, drawdown below, on one time axis."""
    kept = sorted({*thinned(curve.equity, _MOST_CURVE_POINTS), *thinned(curve.drawdown, _MOST_CURVE_POINTS)})
    labels = [curve.labels[index] for index in kept]
    data = [
        _line(labels, _at(curve.equity, kept), "Equity", "--accent"),
        _line(labels, _at(curve.drawdown, kept), "Drawdown", "--loss")
        | {"yaxis": "y2", "fill": "tozeroy", "fillcolor": "var(--loss-soft)", "hovertemplate": "%{y:.2%}"},
    ]
    if curve.benchmark and benchmark:
        line = _line(labels, _at(curve.benchmark, kept), text(benchmark), "--benchmark")
        data.insert(1, line | {"line": {"color": "var(--benchmark)", "width": 1.5, "dash": "dot"}})
    deepest = min(-0.01, 1.08 * min(curve.drawdown))
    layout = _layout(hovermode="x unified") | {
        "hoversubplots": "axis",
        "xaxis": _time_axis(labels, anchor="y2"),
        "yaxis": _axis(domain=[0.34, 1.0], tickformat="~s"),
        "yaxis2": _axis(domain=[0.0, 0.26], tickformat="~%", nticks=4, range=[deepest, 0.0]),
    }
    return {"data": data, "layout": layout}


def excursion_figure(result: BacktestResult) -> Figure:
    """Return the scatter of how far each trade went for and against the position."""
    layout = _layout() | {
        "xaxis": _axis("Worst excursion (MAE)", tickformat="~%"),
        "yaxis": _axis("Best excursion (MFE)", tickformat="~%"),
    }
    return {"data": _outcomes(result, "max_adverse_pct", "max_favorable_pct"), "layout": layout}


def holding_figure(result: BacktestResult) -> Figure:
    """Return the scatter of net return against holding period."""
    layout = _layout() | {
        "xaxis": _axis("Held (bars)", rangemode="tozero"),
        "yaxis": _axis("Net return", tickformat="~%", zeroline=True),
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
    layout = _layout() | {
        "xaxis": _axis("Net P&amp;L", zeroline=True),
        "yaxis": _axis(tickvals=places, ticktext=names, showgrid=False),
        "height": 120 + 22 * len(shown),
        "bargap": 0.35,
    }
    return {"data": [bar], "layout": layout}


def cost_figure(result: BacktestResult) -> Figure:
    """Return commission and slippage paid so far, stacked over time."""
    fills = result.fills.with_columns(sessions_of(result, result.fills["timestamp"]))
    per_day = fills.group_by("session", maintain_order=True).agg("commission", "slippage")
    labels = per_day["session"].dt.strftime("%Y-%m-%d").to_list()
    kept = evenly(len(labels), _MOST_CURVE_POINTS - 1)
    # The last point is the total and must be there.
    kept = sorted({*kept, len(labels) - 1}) if labels else []
    data = []
    for name, colour in (("commission", "--accent"), ("slippage", "--second")):
        paid = list(accumulate(math.fsum(values) for values in per_day[name].to_list()))
        line = _line([labels[i] for i in kept], _at(paid, kept), name.capitalize(), colour)
        data.append(line | {"stackgroup": "costs", "line": {"color": f"var({colour})", "width": 1, "shape": "hv"}})
    layout = _layout(hovermode="x unified") | {"xaxis": _time_axis(labels), "yaxis": _axis()}
    return {"data": data, "layout": layout}


def pnl_by_symbol(trades: pl.DataFrame) -> list[tuple[str, float]]:
    """Return the net P&L of each symbol, in symbol order, exactly rounded."""
    groups = trades.group_by("symbol").agg("pnl_net").sort("symbol")
    return [(symbol, math.fsum(values)) for symbol, values in groups.iter_rows()]


def sampled_trades(result: BacktestResult) -> pl.DataFrame:
    """Return the trades whose points are drawn: all, or evenly chosen ones where there are too many to look at."""
    trades = result.trades
    return trades[evenly(trades.height, MOST_TRADE_POINTS)]


def text(value: object) -> str:
    """Return a text that Plotly shows as it is, cut to the width of a label.

    >>> text("<b>x</b>")
    '&lt;b&gt;x&lt;/b&gt;'
    """
    whole = str(value)
    cut = whole if len(whole) <= _LABEL_LENGTH else whole[: _LABEL_LENGTH - 1] + "…"
    return html.escape(cut, quote=False)


def finite(value: float | int | None) -> float | int | None:
    """Return a number with seven significant digits; None for what JSON cannot hold.

    >>> finite(1328560.0724657308), finite(float("nan")), finite(3)
    (1328560.0, None, 3)
    """
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.7g}")


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


def _line(labels: list[str], values: list[Any], name: str, colour: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines" if len(labels) > _FEW_POINTS else "lines+markers",
        "name": name,
        "x": labels,
        "y": values,
        "line": {"color": f"var({colour})", "width": 1.8},
        "hovertemplate": "%{y:,.0f}",
    }


def _at(values: Sequence[float | None], positions: Iterable[int]) -> list[float | int | None]:
    return [finite(values[index]) for index in positions]


def _layout(hovermode: str = "closest") -> Figure:
    return {
        "autosize": True,
        "margin": {"l": 8, "r": 8, "t": 34, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "var(--text)"},
        "hoverlabel": {"bgcolor": "var(--surface)", "bordercolor": "var(--border)", "font": {"color": "var(--text)"}},
        "hovermode": hovermode,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "var(--border)", "activecolor": "var(--muted)"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
    }


def _time_axis(labels: Sequence[str], **more: Any) -> Figure:
    """Return an axis of sessions or minutes; under the mouse it names the whole date."""
    minutes = any(":" in label for label in labels[:1])
    pointer: Figure = {"spikecolor": "var(--muted)", "spikethickness": 1, "spikedash": "solid"}
    if len(labels) <= _FEW_POINTS:
        # Between two or three dates a date axis would count hours, around a single one milliseconds.
        return _axis(type="category", **pointer, **more)
    return _axis(type="date", hoverformat="%Y-%m-%d %H:%M" if minutes else "%Y-%m-%d", **pointer, **more)


def _axis(title: str | None = None, **more: Any) -> Figure:
    axis = {
        "automargin": True,
        "gridcolor": "var(--grid)",
        "linecolor": "var(--border)",
        "zeroline": False,
        "zerolinecolor": "var(--border)",
        "tickfont": {"color": "var(--muted)"},
    }
    if title is not None:
        axis["title"] = {"text": title, "font": {"color": "var(--muted)"}}
    return axis | more
