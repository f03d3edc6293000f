"""`RESULTS.md`: our engine beside others, the event loop, memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from benchmarks import markdown
from benchmarks.results import kept, timed
from benchmarks.side_by_side import Measurement, ratios
from benchmarks.targets import verdicts
from benchmarks.works import SIZES

_HOW = """\
Every engine is a process of its own in an environment of its own. It loads once, runs once to get warm, and then runs
in turns with ours. The clock of a run goes from loaded data to final equity and fills; loading and whole processes have
columns of their own. Ratios are those of neighbouring runs. Ours has every record on (states of each slice, orders,
fills, trades with excursions and signals); on W3 it reads from disk chunk by chunk during the run, where the peers hold
all in memory beforehand. `vectorbt-records` is vectorbt asked for the equity of each slice and for its trades as well,
which ours has made anyway; the targets are about vectorbt that makes neither.

Data, orders and fills are the same: final equity agrees to the cent and fills in number, checked in every comparison.
Where a peer fills elsewhere than at the next open, ours follows its rule in that comparison, named in the table.
`top25` and `brackets` are tapes of our orders that peers replay. zipline reads arrays in memory instead of its own
files; backtrader's slippage may leave the bar (`slip_out`); backtesting.py runs one symbol after the other.
"""


def page(size: str) -> str:
    """Return the page of a size, `quick` or `full`."""
    pieces = [piece for piece in kept("peers") if piece["size"] == size]
    loop, memory = timed(f"event_loop-{size}"), timed(f"memory-{size}")
    parts = [
        "# How fast it is, measured",
        f"Written by `python -m benchmarks.report` ({size} size). {markdown.measured_on([*pieces, *loop, *memory])}",
        "## Targets",
        verdicts(pieces),
        "## Beside other engines",
        _HOW,
        _works(size),
        *_comparisons(pieces),
        "## The event loop",
        *_groups(loop),
        "## Memory",
        _memory(memory),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _works(size: str) -> str:
    rows = [
        [name, f"{work.symbols:,}", f"{work.sessions:,}", f"{work.minutes} min" if work.minutes else "1 day"]
        for name, work in SIZES[size].items()
    ]
    return markdown.table(["work", "symbols", "sessions", "bar"], rows)


def _comparisons(pieces: Sequence[dict[str, Any]]) -> Iterable[str]:
    for piece in pieces:
        found = [Measurement(**each) for each in piece["measurements"]]
        peer = found[-1]
        yield f"### {piece['work']}, task {piece['task']}, against {peer.engine} {peer.version}"
        agreed = "; ".join(piece["differs"]) or f"equity and fills agree ({found[0].fills} fills)"
        yield f"Fills: {peer.rule}; {agreed}. Load average {piece['load_average']}."
        yield markdown.table(_HEAD, (_line(each, peer) for each in found))


_HEAD = ("engine", "load", "first run", "best", "median", "cpu", "Mbar/s", "x the peer", "by cpu", "whole", "peak MB")


def _line(each: Measurement, peer: Measurement) -> list[str]:
    walls, cpus = ratios(each, peer), ratios(each, peer, "cpu")
    whole = [took["wall"] for took in each.whole]
    peaks = [took["peak_mb"] for took in each.whole]
    return [
        f"{each.engine} {each.version}",
        markdown.seconds(each.load["wall"]),
        markdown.seconds(each.first["wall"]),
        markdown.seconds(min(each.seconds())),
        markdown.seconds(median(each.seconds())),
        markdown.seconds(median(each.seconds("cpu"))),
        f"{each.best_rate / 1e6:.2f}",
        f"{median(walls):.2f} ({markdown.spread(walls)})",
        f"{median(cpus):.2f}",
        markdown.seconds(median(whole)) if whole else "",
        f"{max(peaks):,.0f}" if peaks else "",
    ]


def _groups(loop: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Yield a table per group of benchmarks."""
    for group in dict.fromkeys(each["group"] for each in loop):
        rows = [_timing(each) for each in loop if each["group"] == group]
        yield f"### {group[0].upper()}{group[1:]}"
        yield markdown.table(["what", "rows", "median", "quartiles apart", "cpu", "Mbar/s", ""], rows)


def _timing(each: dict[str, Any]) -> list[str]:
    stats, extra = each["stats"], each["extra_info"]
    said = f"a filter takes {extra['ratio']:,.0f} times as long" if "ratio" in extra else ""
    said = f"{stats['median'] / extra['calls'] * 1e6:,.1f} us a call" if "calls" in extra else said
    return [
        each["name"].removeprefix("test_").replace("_", " "),
        f"{extra['rows']:,}",
        markdown.seconds(stats["median"]),
        markdown.seconds(stats["iqr"]),
        markdown.seconds(extra["cpu"]),
        markdown.rate(extra["rows"], stats["median"]),
        said,
    ]


def _memory(memory: Sequence[dict[str, Any]]) -> str:
    if not memory:
        return "Not measured."
    found = {(each["extra_info"]["columns"], each["extra_info"]["symbols"]): each["extra_info"] for each in memory}
    rows = []
    for columns in dict.fromkeys(columns for columns, _ in found):
        text, enum = found[columns, "string"], found[columns, "enum"]
        saved = 1.0 - enum["frame_mb"] / text["frame_mb"]
        cells = [f"{each[figure]:,.1f}" for figure in ("frame_mb", "held_mb") for each in (text, enum)]
        rows.append([columns, *cells, f"{saved:.0%}"])
    full, needed = found["full", "string"], found["needed", "enum"]
    head = ["columns", "text: frame MB", "Enum: frame MB", "text: held MB", "Enum: held MB", "Enum saves"]
    return markdown.table(head, rows) + (
        f"\n\nA month of bars: the frame's buffers, and what the process held at most while it read and sorted them. "
        f"`needed` against `full` (eight features more), with Enum: {1.0 - needed['frame_mb'] / full['frame_mb']:.0%} "
        "less. Aim: 20 to 30 % less."
    )
