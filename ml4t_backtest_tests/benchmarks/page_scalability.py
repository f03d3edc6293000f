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
FAR_MEMORY_GB = 64


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
_HEAD = (
    *("point", "rows", "slices", "median", "spread", "cpu", "Mbar/s", "cpu us per slice"),
    *("peak MB", "records MB", "stored MB"),
)


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
        markdown.seconds(point["cpu"]),
        markdown.rate(point["rows"], point["seconds"]),
        f"{point['cpu'] / point['slices'] * 1e6:,.1f}",
        f"{point['peak_mb']:,.0f}",
        f"{point['records_mb']:,.1f}",
        f"{point['stored_mb']:,.1f}",
    ]


def _growth(name: str, points: Sequence[dict[str, Any]]) -> str:
    rows, times = [each["rows"] for each in points], [each["cpu"] for each in points]
    fitted, last = exponent(rows, times), exponent(rows[-2:], times[-2:])
    verdict = "linear or better" if max(fitted, last) <= LINEAR else "**faster than the rows**"
    memory = slope(rows[-2:], [each["peak_mb"] for each in points[-2:]]) * 1e6
    records = slope(rows[-2:], [each["records_mb"] for each in points[-2:]]) * 1e6
    told = (
        f"Time (cpu) grows as rows to the power of {fitted:.2f} over all points and {last:.2f} between the last two "
        f"(at most {LINEAR} is the aim): {verdict}. Between the last two memory grows by {memory:.0f} MB per million "
        f"rows, of which the records that are kept are {records:.0f} MB."
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
    most, orders = months[-1], ORDER_RATE * FAR_ROWS
    times = FAR_ROWS / most["rows"]
    records = orders * most["records_mb"] / max(most["fills"], 1) / 2**10
    chunk = most["peak_mb"] - most["records_mb"]
    told = [
        ["opening: every row checked, one process", markdown.seconds(times * most["opening_cpu"])],
        ["running, one process", markdown.seconds(times * most["cpu"])],
        ["storage of the bars", f"{times * most['stored_mb'] / 2**10:,.0f} GB"],
        ["memory of a process with a chunk of the default size", f"{chunk / 2**10:,.2f} GB"],
        [f"memory of the records of {orders:,.0f} orders", f"{records:,.0f} GB"],
    ]
    breaks = "the records" if records > FAR_MEMORY_GB else "patience: everything fits"
    return (
        f"{FAR_SYMBOLS:,} symbols x {FAR_YEARS} years of minutes are {FAR_ROWS / 1e9:.1f} billion bars. From the last "
        f"point of the months above ({most['symbols']} symbols; wider slices cost less per row, so that the times are "
        f"upper bounds; seconds of all threads):\n\n{markdown.table(['what', 'by extrapolation'], told)}\n\nWhat "
        f"breaks first, with {FAR_MEMORY_GB} GB of memory: {breaks}. A chunk has as many slices as have a certain "
        "number of bars, so that more symbols do not make it larger; records are kept in memory to the end of the "
        "run, so that a run of this size has to be cut into spans of time or sets of symbols, which also spreads it "
        "over processes."
    )


def _pictures(series: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    def lines(figure: str) -> dict[str, list[tuple[float, float]]]:
        return {
            f"more {name}": [(each["rows"], each[figure]) for each in series[name]] for name in ("symbols", "months")
        }

    return {
        "scalability_time.svg": log_log("Time of a run", "rows", "seconds of all threads", lines("cpu")),
        "scalability_memory.svg": log_log("Peak memory of the process", "rows", "MB", lines("peak_mb")),
    }
