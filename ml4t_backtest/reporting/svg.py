"""The run as a small static picture: equity above, drawdown below, in plain SVG.

The colours keep their contrast on white and on nearly black, and the ground is transparent: whoever shows the picture
(a web page, a README, an e-mail) decides on the background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ml4t_backtest.reporting.curves import EquityCurve, equity_curve, thinned
from ml4t_backtest.reporting.formats import money, percent
from ml4t_backtest.reporting.result import BacktestResult

_EQUITY, _LOSS, _GREY = "#3b82f6", "#e5534b", "#7d8590"
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 10, 26, 22
_EQUITY_SHARE, _GAP = 0.66, 14
_X_LABEL_WIDTH = 64
_FEWEST_DATES = 3
# How many letters of a label tell a year, month, day, hour, ten minutes and minute; which of them to write.
_UNITS = (
    (4, slice(4)),
    (7, slice(7)),
    (10, slice(5, 10)),
    (13, slice(11, 16)),
    (15, slice(11, 16)),
    (16, slice(11, 16)),
)
# A run without a drawdown still needs an axis.
_LEAST_DEPTH = -0.01


@dataclass(frozen=True)
class _Panel:
    """A rectangle of the picture with the span of values it shows."""

    top: float
    bottom: float
    low: float
    high: float

    def y(self, value: float) -> float:
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)


def equity_svg(result: BacktestResult, width: int = 720, height: int = 260, benchmark: str | None = None) -> str:
    """Return a picture of equity and drawdown as SVG text, a few ten kilobytes at most.

    Args:
        result: The run.
        width: Pixels.
        height: Pixels.
        benchmark: Column of `portfolio_states` to draw beside it, rebased to the initial capital.

    Raises:
        ConfigError: The states have no such column, or it holds no numbers.
    """
    curve = equity_curve(result, benchmark)
    metrics = result.metrics
    caption = f"Equity {money(metrics['final_equity'])} ({percent(metrics['total_return'])})"
    name = f"{caption}, max drawdown {percent(metrics['max_drawdown'])}"
    body = _panels(curve, width, height) if curve.labels else _words(width / 2, height / 2, "no sessions", "middle")
    label = _printable(benchmark) if benchmark and curve.benchmark else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="11"><title>{escape(name)}</title>'
        + _words(_LEFT, 15, caption, "start", _EQUITY)
        + (_words(width - _RIGHT, 15, f"{label} (dotted)", "end") if label else "")
        + body
        + "</svg>\n"
    )


def _panels(curve: EquityCurve, width: int, height: int) -> str:
    """Return the two curves with their axes."""
    split = _TOP + (height - _TOP - _BOTTOM) * _EQUITY_SHARE
    levels = [*curve.equity, *(value for value in curve.benchmark if value is not None)]
    top = _Panel(_TOP, split, *_padded(min(levels), max(levels)))
    below = _Panel(split + _GAP, height - _BOTTOM, min(_LEAST_DEPTH, min(curve.drawdown)), 0.0)
    xs = _places(len(curve.labels), width)
    return "".join(
        [
            *(_grid(top, width, value, _short(value)) for value in _nice_ticks(top.low, top.high, 4)),
            *(_grid(below, width, value, f"{value:.1%}") for value in (0.0, below.low)),
            _area(xs, curve.drawdown, below, width),
            _curve(xs, curve.benchmark, top, width, f'stroke="{_GREY}" stroke-dasharray="2 3"'),
            _curve(xs, curve.drawdown, below, width, f'stroke="{_LOSS}"'),
            _curve(xs, curve.equity, top, width, f'stroke="{_EQUITY}" stroke-width="1.6"'),
            _dates(curve.labels, xs, width, height),
        ]
    )


def _places(size: int, width: int) -> list[float]:
    """Return where each point stands; a single one stands in the middle."""
    span = width - _LEFT - _RIGHT
    return [_LEFT + span * (index / (size - 1) if size > 1 else 0.5) for index in range(size)]


def _curve(xs: Sequence[float], values: Sequence[float | None], panel: _Panel, width: int, stroke: str) -> str:
    known = [(x, value) for x, value in zip(xs, values, strict=False) if value is not None]
    points = _points(known, panel, width)
    if len(known) == 1:
        colour = stroke.split('"')[1]
        return f'<circle cx="{points.split(",")[0]}" cy="{points.split(",")[1]}" r="3" fill="{colour}"/>'
    return f'<polyline fill="none" stroke-linejoin="round" {stroke} points="{points}"/>' if known else ""


def _area(xs: Sequence[float], values: Sequence[float], panel: _Panel, width: int) -> str:
    points = _points(list(zip(xs, values, strict=True)), panel, width)
    closed = f"{xs[0]:.1f},{panel.top:.1f} {points} {xs[-1]:.1f},{panel.top:.1f}"
    return f'<polygon fill="{_LOSS}" fill-opacity="0.22" points="{closed}"/>'


def _points(known: Sequence[tuple[float, float]], panel: _Panel, width: int) -> str:
    """Return the points of a line, no more than the width can show."""
    kept = thinned([value for _, value in known], width)
    return " ".join(f"{known[index][0]:.1f},{panel.y(known[index][1]):.1f}" for index in kept)


def _grid(panel: _Panel, width: int, value: float, label: str) -> str:
    y = panel.y(value)
    line = f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GREY}" stroke-opacity="0.3"/>'
    return line + _words(_LEFT - 6, y + 4, label, "end")


def _dates(labels: Sequence[str], xs: Sequence[float], width: int, height: int) -> str:
    """Return the labels under the time axis, where a year, month, day, hour or minute begins."""
    starts, written = _beginnings(labels)
    room = max(2, (width - _LEFT - _RIGHT) // _X_LABEL_WIDTH)
    shown = starts[:: math.ceil(len(starts) / room)]
    return "".join(_words(xs[i], height - 6, labels[i][written], "middle") for i in shown)


def _beginnings(labels: Sequence[str]) -> tuple[list[int], slice]:
    """Return where the coarsest unit of time with three beginnings begins, and which letters of a label name it."""
    for end, written in _UNITS:
        starts = [i for i in range(1, len(labels)) if labels[i][:end] != labels[i - 1][:end]]
        if len(starts) >= _FEWEST_DATES:
            return starts, written
    return [len(labels) // 2], slice(10)


def _words(x: float, y: float, words: str, anchor: str, colour: str = _GREY) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def _padded(low: float, high: float) -> tuple[float, float]:
    """Return a span with some air around it, also where all values are the same."""
    air = (high - low) * 0.05 or max(abs(high) * 0.01, 1.0)
    return low - air, high + air


def _nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two values: steps of 1, 2, 2.5 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough)
    return [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(value: float) -> str:
    """Write an amount in few letters: 1.25M, 800k, 12."""
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.6g}{letter}"
    return f"{value:.6g}"


def _printable(words: str) -> str:
    """Return a text without control characters, which XML does not allow."""
    return "".join(letter for letter in words if letter.isprintable())
