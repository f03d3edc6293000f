"""The figures of what a result is made of: rolling ratios, exposure, distribution, turnover, and trades in buckets."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ml4t_backtest.reporting.breakdowns import Bucket, by_exit_reason, histogram, monthly_turnover, rolling_sharpe
from ml4t_backtest.reporting.curves import evenly, session_labels
from ml4t_backtest.reporting.formats import count, money, percent
from ml4t_backtest.reporting.metrics import value_at_risk
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

# Half a year; where a run has less than twice that, a quarter.
_WINDOWS = (126, 63)


def rolling_window(result: BacktestResult) -> int | None:
    """Return over how many sessions ratios roll; None where the run is too short for any."""
    sessions = result.daily_returns.height
    return next((window for window in _WINDOWS if sessions >= 2 * window), None)


def rolling_figure(result: BacktestResult, window: int) -> Figure:
    """Return the Sharpe ratio of the last `window` sessions over time."""
    known = result.daily_returns.filter(pl.col("daily_return").is_not_null())
    ratios = rolling_sharpe(known["daily_return"].to_list(), window)[window - 1 :]
    labels = known["session"].dt.strftime("%Y-%m-%d").to_list()[window - 1 :]
    kept = evenly(len(labels), MOST_CURVE_POINTS)
    line = line_of([labels[i] for i in kept], at(ratios, kept), "Sharpe ratio", "--accent")
    layout = layout_of(hovermode="x unified") | {"xaxis": time_axis(labels), "yaxis": axis_of(zeroline=True)}
    return {"data": [line | {"hovertemplate": "%{y:.2f}"}], "layout": layout | {"showlegend": False}}


def exposure_figure(result: BacktestResult) -> Figure:
    """Return gross and net positions over equity, at each recorded state or an even choice of them."""
    states = result.portfolio_states
    kept = evenly(states.height, MOST_CURVE_POINTS)
    shown = states[kept]
    labels = [label or "" for label in session_labels(result, shown["timestamp"])]
    lines = [("gross_leverage", "Gross", "--accent"), ("net_leverage", "Net", "--second")]
    if states["gross_leverage"].equals(states["net_leverage"].rename("gross_leverage")):
        lines = [("gross_leverage", "Gross and net: long only", "--accent")]
    data = [
        line_of(labels, [finite(value) for value in shown[column].to_list()], name, colour)
        | {
            "hovertemplate": "%{y:.1%}",
            "showlegend": True,
            "line": {"color": f"var({colour})", "width": 1.2, "shape": "hv"},
        }
        for column, name, colour in lines
    ]
    layout = layout_of(hovermode="x unified") | {
        "xaxis": time_axis(labels),
        "yaxis": axis_of(tickformat="~%", zeroline=True),
    }
    return {"data": data, "layout": layout}


def distribution_figure(returns: Sequence[float]) -> Figure:
    """Return how often daily returns of each size came, with the value at risk (of all days) marked.

    Days of exactly zero are left out: they are those without a position, and would tower over all others.
    """
    centres, counts, width = histogram([value for value in returns if value != 0.0] or returns)
    bars = {
        "type": "bar",
        "x": [finite(value) for value in centres],
        "y": counts,
        "width": width * 0.92,
        "customdata": [f"{percent(c - width / 2)} to {percent(c + width / 2)}" for c in centres],
        "marker": {"color": ["var(--gain)" if value > 0.0 else "var(--loss)" for value in centres], "opacity": 0.75},
        "hovertemplate": "%{customdata}: %{y} sessions<extra></extra>",
    }
    risk = value_at_risk(returns)
    layout = layout_of() | {
        "xaxis": axis_of("Daily return, days of exactly zero left out", tickformat="~%"),
        "yaxis": axis_of("Sessions"),
        "bargap": 0.0,
        "showlegend": False,
        "shapes": [_upright(finite(risk))],
        "annotations": [_note(finite(risk), f"5 % of days below {percent(risk)}")],
    }
    return {"data": [bars], "layout": layout}


def turnover_figure(result: BacktestResult) -> Figure:
    """Return the money traded per month over equity."""
    months = monthly_turnover(result)
    bars = {
        "type": "bar",
        "x": [f"{month}-15" for month, _ in months],
        "y": [finite(value) for _, value in months],
        "customdata": [month for month, _ in months],
        "marker": {"color": "var(--accent)", "opacity": 0.75},
        "hovertemplate": "%{customdata}: %{y:.1%}<extra></extra>",
    }
    layout = layout_of() | {
        "xaxis": time_axis([month for month, _ in months]),
        "yaxis": axis_of("Traded / equity", tickformat="~%"),
        "showlegend": False,
    }
    return {"data": [bars], "layout": layout}


def reason_figure(trades: pl.DataFrame) -> Figure:
    """Return net P&L by what ended the trades, the largest gain on top."""
    buckets = by_exit_reason(trades)[::-1]
    places = list(range(len(buckets)))
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": places,
        "x": [finite(bucket.pnl_net) for bucket in buckets],
        **_of_buckets(buckets, [bucket.pnl_net for bucket in buckets]),
    }
    layout = layout_of() | {
        "xaxis": axis_of("Net P&amp;L", zeroline=True),
        "yaxis": axis_of(
            tickvals=places, ticktext=[f"{text(b.label)} ({count(b.trades)})" for b in buckets], showgrid=False
        ),
        "height": 120 + 26 * len(buckets),
        "bargap": 0.35,
    }
    return {"data": [bars], "layout": layout}


def bucket_figure(buckets: Sequence[Bucket], name: str) -> Figure:
    """Return the mean net return of trades in buckets of what was known when they were decided."""
    places = list(range(len(buckets)))
    bars = {
        "type": "bar",
        "x": places,
        "y": [finite(bucket.mean_return) for bucket in buckets],
        **_of_buckets(buckets, [bucket.mean_return for bucket in buckets]),
    }
    layout = layout_of() | {
        "xaxis": axis_of(
            f"{text(name)} at decision, from",
            tickvals=places,
            ticktext=[text(bucket.label.split(" to ")[0]) for bucket in buckets],
            showgrid=False,
        ),
        "yaxis": axis_of("Mean net return per trade", tickformat="~%", zeroline=True),
        "bargap": 0.3,
    }
    return {"data": [bars], "layout": layout}


def _of_buckets(buckets: Sequence[Bucket], values: Sequence[float]) -> Figure:
    told = [
        f"{text(b.label)}<br>{count(b.trades)} trades, {count(b.gains)} with a gain<br>"
        f"mean net return {percent(b.mean_return)}<br>net P&amp;L {money(b.pnl_net)}"
        for b in buckets
    ]
    return {
        "customdata": told,
        "marker": {"color": ["var(--gain)" if value > 0.0 else "var(--loss)" for value in values], "opacity": 0.85},
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _upright(x: float | int | None) -> Figure:
    line = {"color": "var(--text)", "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _note(x: float | int | None, words: str) -> Figure:
    place = {"x": x, "y": 1, "yref": "paper", "yanchor": "top", "xanchor": "right", "xshift": -6}
    return {**place, "text": words, "showarrow": False, "font": {"color": "var(--muted)", "size": 11}}
