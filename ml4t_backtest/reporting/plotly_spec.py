"""The pieces of figures as plain Plotly specs: dictionaries with `data` and `layout`, never `plotly.graph_objects`.

A colour is written `var(--gain)`; the page's script puts in the colour of the style sheet, so that charts follow light
and dark. Numbers are finite or None. Texts are HTML-escaped, because Plotly reads a subset of HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

Figure = dict[str, Any]

MOST_CURVE_POINTS = 1_500
_FEW_POINTS = 6
_LABEL_LENGTH = 24


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


def line_of(labels: list[str], values: list[Any], name: str, colour: str) -> Figure:
    """Return a line over labels; `colour` is a name of the style sheet such as `--accent`."""
    return {
        "type": "scatter",
        "mode": "lines" if len(labels) > _FEW_POINTS else "lines+markers",
        "name": name,
        "x": labels,
        "y": values,
        "line": {"color": f"var({colour})", "width": 1.8},
        "hovertemplate": "%{y:,.0f}",
    }


def at(values: Sequence[float | None], positions: Iterable[int]) -> list[float | int | None]:
    """Return the values at some positions, as JSON holds them."""
    return [finite(values[index]) for index in positions]


def layout_of(hovermode: str = "closest") -> Figure:
    """Return what all figures have in common."""
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


def time_axis(labels: Sequence[str], **more: Any) -> Figure:
    """Return an axis of sessions or minutes; under the mouse it names the whole date."""
    minutes = any(":" in label for label in labels[:1])
    pointer: Figure = {"spikecolor": "var(--muted)", "spikethickness": 1, "spikedash": "solid"}
    if len(labels) <= _FEW_POINTS:
        # Between two or three dates a date axis would count hours, around a single one milliseconds.
        return axis_of(type="category", **pointer, **more)
    return axis_of(type="date", hoverformat="%Y-%m-%d %H:%M" if minutes else "%Y-%m-%d", **pointer, **more)


def axis_of(title: str | None = None, **more: Any) -> Figure:
    """Return an axis with a title and whatever else Plotly knows of axes."""
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
