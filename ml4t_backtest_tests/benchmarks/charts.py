"""A picture of lines on two logarithmic axes, as plain SVG that reads on a light and on a dark ground."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
_COLOURS = ("#3b82f6", "#e5534b", "#2da44e", "#bf8700", "#8250df", "#7d8590")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 340, 70, 150, 34, 46
_GREY = "#7d8590"


def log_log(title: str, across: str, up: str, lines: Mapping[str, Points]) -> str:
    """Return the picture.

    Args:
        title: Above it.
        across: What the horizontal axis shows, with its unit.
        up: What the vertical axis shows, with its unit.
        lines: Name -> points with positive coordinates.
    """
    xs = _decades([x for points in lines.values() for x, _ in points])
    ys = _decades([y for points in lines.values() for _, y in points])
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - xs[0]) / (xs[-1] - xs[0])
        above = (math.log10(y) - ys[0]) / (ys[-1] - ys[0])
        return _LEFT + right * width, _TOP + (1.0 - above) * height

    parts = [_text(_LEFT, 20, title, "start", 14), _text(_LEFT + width / 2, _HEIGHT - 8, across, "middle")]
    parts.append(_text(_LEFT, _TOP - 2, up, "end", 11))
    for exponent in xs:
        x, _ = place(10.0**exponent, 10.0 ** ys[0])
        parts += [_rule(x, _TOP, x, _TOP + height), _text(x, _TOP + height + 16, _power(exponent), "middle")]
    for exponent in ys:
        _, y = place(10.0 ** xs[0], 10.0**exponent)
        parts += [_rule(_LEFT, y, _LEFT + width, y), _text(_LEFT - 6, y + 4, _power(exponent), "end")]
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [place(x, y) for x, y in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(_text(_LEFT + width + 8, _TOP + 14 + 18 * number, name, "start", 12, colour))
    frame = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img">\n' + "\n".join(parts) + "\n</svg>\n"


def _decades(values: Sequence[float]) -> list[int]:
    """Return the powers of ten from below the least value to above the greatest."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return list(range(low, max(high, low + 1) + 1))


def _power(exponent: int) -> str:
    value = 10.0**exponent
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.0f} {unit}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str, size: int = 12, colour: str = _GREY) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{_GREY}" stroke-opacity="0.25"/>'
