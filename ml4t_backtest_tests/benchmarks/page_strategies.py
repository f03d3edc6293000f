"""`STRATEGY_RESULTS.md`: what strategies cost in both modes, beside what the issue had claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import markdown
from benchmarks.results import kept, timed

# Task -> events per second that were claimed: no orders, 1 %, 10 %.
CLAIMS = {"0": (100_000, None), "0.01": (50_000, 100_000), "0.1": (10_000, 30_000)}
CLAIMED_MEMORY_MB = 2_000.0
_NOTES = """\
`0`, `0.01`, `0.1`: the share of bars with an order, of a strategy that buys 100 shares when flat and `p > t` and closes
when long and `p < -t`. `hold`: buys each symbol once. `top25`: the 25 highest predictions, rebalanced on each slice.
`brackets`: up to 25 positions, each with a stop 2 % below and a target 3 % above its entry. The data is in memory;
every record is on. Spread: the distance between the quartiles of the rounds; cpu: the seconds of all threads. Events
per second are those by the wall.
"""


def page(size: str) -> str:
    """Return the page of a size, `quick` or `full`."""
    measured = timed(f"strategies-{size}")
    pieces = [piece for piece in kept("peers") if piece["size"] == size and piece["work"] == "W3"]
    parts = [
        "# What strategies cost, measured",
        f"Written by `python -m benchmarks.report` ({size} size). {markdown.measured_on(measured)}",
        _NOTES,
        markdown.table(_HEAD, (_line(each) for each in measured)) if measured else "",
        "## The original claims",
        markdown.table(["claim, events per second on W2", "batch mode", "per-symbol mode"], _claims(measured)),
        _memory(pieces),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_HEAD = ("work, task, mode", "bars", "fills", "median", "spread", "cpu", "events/s", "us per bar")


def _line(each: dict[str, Any]) -> list[str]:
    extra, middle = each["extra_info"], each["stats"]["median"]
    return [
        f"{extra['work']}, {extra['task']}, {extra['mode']}",
        f"{extra['rows']:,}",
        f"{extra['fills']:,}",
        markdown.seconds(middle),
        markdown.seconds(each["stats"]["iqr"]),
        markdown.seconds(extra["cpu"]),
        f"{extra['rows'] / middle:,.0f}",
        f"{middle / extra['rows'] * 1e6:.3f}",
    ]


def _claims(measured: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [_told(task, least, most), *(_against(measured, task, mode, least) for mode in ("batch", "symbol"))]
        for task, (least, most) in CLAIMS.items()
    ]


def _told(task: str, least: int, most: int | None) -> str:
    what = "no orders" if task == "0" else f"{float(task):.0%} orders"
    return f"{what}: more than {least:,}" if most is None else f"{what}: {least:,} to {most:,}"


def _against(measured: Sequence[dict[str, Any]], task: str, mode: str, least: int) -> str:
    for each in measured:
        extra = each["extra_info"]
        if (extra["work"], extra["task"], extra["mode"]) == ("W2", task, mode):
            events = extra["rows"] / each["stats"]["median"]
            return f"{events:,.0f}, {'met' if events > least else '**not met**'}"
    return "not measured"


def _memory(pieces: Sequence[dict[str, Any]]) -> str:
    held = {
        each["engine"]: max(took["peak_mb"] for took in each["whole"])
        for piece in pieces
        for each in piece["measurements"]
        if each["whole"] and each["engine"] in ("ours", "ours-symbol")
    }
    if not held:
        return "Memory of W3 (claim: under 2 GB for 24 million bars): not measured."
    told = "; ".join(f"{name} {peak:,.0f} MB" for name, peak in held.items())
    met = "met" if max(held.values()) < CLAIMED_MEMORY_MB else "**not met**"
    return f"Memory of W3 (claim: under 2 GB for 24 million bars), whole process: {told}: {met}."
