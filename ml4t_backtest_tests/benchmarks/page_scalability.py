"""`SCALABILITY_RESULTS.md`: growth of time and memory, where it bends, and what twenty billion bars would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import markdown
from benchmarks.charts import log_log
from benchmarks.results import timed

# 10,000 symbols, 20 years of 252 sessions of 390 minutes.
FAR_SYMBOLS, FAR_YEARS, FAR_MINUTES = 10_000, 20, 252 * 390
FAR_ROWS = FAR_SYMBOLS * FAR_YEARS * FAR_MINUTES
ORDER_RATE = 0.01
LINEAR = 1.05
_MONTH_MINUTES = 21 * 390


def page(size: str) -> tuple[str, dict[str, str]]:
    """Return the page of a size, and its pictures by file name."""
    measured = timed(f"scalability-{size}")
    parts = [
        "# How time and memory grow, measured",
        f"Written by `python -m benchmarks.report` ({size} size). {markdown.measured_on(measured)}",
        "1 % orders, batch mode, read from disk chunk by chunk. Memory is that of the process tree when it had loaded "
        "and run once; `idle` is what it holds before it opens any data.",
    ]
    if not measured:
        return "\n\n".join(parts) + "\n", {}
    series = {name: points_of(measured, name) for name in ("symbols", "months", "bars")}
    for name, points in series.items():
        parts += [f"## {_TITLES[name]}", markdown.table(_HEAD, (_line(each) for each in points))]
        parts += [_growth(name, points)] if name != "bars" else []
    parts += ["![time](scalability_time.svg)", "![memory](scalability_memory.svg)"]
    parts += ["## Twenty billion bars", _far(series["months"])]
    return "\n\n".join(parts) + "\n", _pictures(series)


_TITLES = {"symbols": "More symbols", "months": "More months of minutes", "bars": "Bars of another length"}
_HEAD = ("point", "rows", "slices", "median", "spread", "Mbar/s", "us per slice", "peak MB", "records MB", "stored MB")


def points_of(measured: Sequence[dict[str, Any]], series: str) -> list[dict[str, Any]]:
    """Return the points of a series, each with its median and spread."""
    return [
        {**each["extra_info"], "seconds": each["stats"]["median"], "spread": each["stats"]["iqr"]}
        for each in measured
        if each["extra_info"]["series"] == series
    ]


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return b of the power law y = a x^b that fits best on logarithmic axes."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return b of the line y = a + b x that fits best."""
    return float(np.polyfit(xs, ys, 1)[0])


def _line(point: dict[str, Any]) -> list[str]:
    return [
        f"{point['point']}",
        f"{point['rows']:,}",
        f"{point['slices']:,}",
        markdown.seconds(point["seconds"]),
        markdown.seconds(point["spread"]),
        markdown.rate(point["rows"], point["seconds"]),
        f"{point['seconds'] / point['slices'] * 1e6:,.1f}",
        f"{point['peak_mb']:,.0f}",
        f"{point['records_mb']:,.1f}",
        f"{point['stored_mb']:,.1f}",
    ]


def _growth(name: str, points: Sequence[dict[str, Any]]) -> str:
    rows, times = [each["rows"] for each in points], [each["seconds"] for each in points]
    fitted, last = exponent(rows, times), exponent(rows[-2:], times[-2:])
    verdict = "linear or better" if max(fitted, last) <= LINEAR else "**faster than the rows**"
    memory = slope(rows, [each["peak_mb"] for each in points]) * 1e6
    records = slope(rows, [each["records_mb"] for each in points]) * 1e6
    told = (
        f"Time grows as rows to the power of {fitted:.2f} over all points and {last:.2f} between the last two "
        f"(at most {LINEAR} is the aim): {verdict}. Memory grows by {memory:.0f} MB per million rows, of which the "
        f"records that are kept are {records:.0f} MB."
    )
    return f"{told} {_BENDS[name]}"


_BENDS = {
    "symbols": "Where it bends: a slice has a price of its own, whatever its width (calls into Polars and NumPy, "
    "and the strategy's own); below some hundred symbols that price is most of the time, so that time grows more "
    "slowly than rows there.",
    "months": "Here each row adds the same: slices of one width, one after the other, and chunks that are let go. What "
    "is left to grow is the records.",
}


def _far(months: Sequence[dict[str, Any]]) -> str:
    """Return what the far size would take, by the measured slopes."""
    most = months[-1]
    orders = ORDER_RATE * FAR_ROWS
    time = FAR_ROWS * most["seconds"] / most["rows"]
    stored = FAR_ROWS * most["stored_mb"] / most["rows"] / 2**10
    records = orders * most["records_mb"] / max(most["fills"], 1) / 2**10
    # What one chunk costs: the peak of a single month above the idle process.
    first = months[0]
    per_row = (first["peak_mb"] - first["idle_mb"] - first["records_mb"]) / first["rows"]
    month, day = (FAR_SYMBOLS * minutes * per_row / 2**10 for minutes in (_MONTH_MINUTES, 390))
    breaks = "the records" if records > month else "the chunk of a month"
    told = [
        ["time, one process", markdown.seconds(time)],
        ["storage of the bars", f"{stored:,.0f} GB"],
        ["memory of a chunk of a month", f"{month:,.0f} GB"],
        ['memory of a chunk of a day (`chunk="1d"`)', f"{day:,.1f} GB"],
        [f"memory of the records of {orders:,.0f} orders", f"{records:,.0f} GB"],
    ]
    return (
        f"{FAR_SYMBOLS:,} symbols x {FAR_YEARS} years of minutes are {FAR_ROWS / 1e9:.1f} billion bars. From slopes "
        f"of the series above ({most['symbols']} symbols; wider slices cost less per row, so that the time is an upper "
        f"bound):\n\n{markdown.table(['what', 'by extrapolation'], told)}\n\nWhat breaks first: {breaks}. A smaller "
        "`chunk` brings the memory of the data down; records are kept in memory to the end of the run, so that a run "
        "of this size has to be cut into spans of time or sets of symbols, which also spreads it over processes."
    )


def _pictures(series: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    def lines(figure: str) -> dict[str, list[tuple[float, float]]]:
        return {
            f"more {name}": [(each["rows"], each[figure]) for each in series[name]] for name in ("symbols", "months")
        }

    return {
        "scalability_time.svg": log_log("Time of a run", "rows", "seconds", lines("seconds")),
        "scalability_memory.svg": log_log("Peak memory of the process", "rows", "MB", lines("peak_mb")),
    }
