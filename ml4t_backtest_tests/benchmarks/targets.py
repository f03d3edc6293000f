"""What the engine is meant to reach, as ratios of one run, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from benchmarks.markdown import spread, table
from benchmarks.side_by_side import Measurement, ratios

What = Literal["run", "whole process", "memory"]


@dataclass(frozen=True)
class Target:
    """One of them.

    Attributes:
        work: Name of the work.
        task: Name of the task.
        ours: `ours` or `ours-symbol`.
        other: The engine it is compared with.
        at_least: How many times as fast (or as small) ours is to be, at least.
        what: Which figures are compared.
    """

    work: str
    task: str
    ours: str
    other: str
    at_least: float
    what: What = "run"

    def told(self) -> str:
        """Return it as words."""
        mode = "batch" if self.ours == "ours" else "per-symbol"
        if self.other == "decode":
            return f"{self.work}, task {self.task}, {mode}: at most {1.0 / self.at_least:g} x the time of decoding"
        return f"{self.work}, task {self.task}, {mode}, {self.what}: at least {self.at_least:g} x {self.other}"

    def measured(self, ours: Measurement, other: Measurement) -> list[float] | None:
        """Return how many times as fast (or as small) ours was, pair by pair, ascending; None where nothing tells."""
        if self.what == "run":
            return ratios(ours, other)
        figure = "peak_mb" if self.what == "memory" else "wall"
        pairs = zip(ours.whole, other.whole, strict=False)
        return sorted(theirs[figure] / mine[figure] for mine, theirs in pairs) or None


TARGETS = (
    Target("W2", "0", "ours", "vectorbt", 3.0),
    Target("W2", "0.01", "ours", "vectorbt", 1.3),
    Target("W2", "0.1", "ours", "vectorbt", 1.0),
    Target("W1", "0.01", "ours", "vectorbt", 1.5),
    Target("W3", "0.01", "ours", "vectorbt", 1.0),
    Target("W3", "0.01", "ours", "vectorbt", 3.0, "whole process"),
    Target("W3", "0.01", "ours", "vectorbt", 3.0, "memory"),
    Target("W3", "0", "ours", "decode", 0.5),
    Target("S", "0.01", "ours", "backtrader", 3.0),
    Target("W2", "0", "ours-symbol", "ml4t", 5.0),
    Target("W2", "0.01", "ours-symbol", "ml4t", 7.0),
    Target("W2", "0.1", "ours-symbol", "ml4t", 10.0),
    Target("W1", "0.01", "ours-symbol", "ml4t", 7.0),
    Target("W3", "0.01", "ours-symbol", "ml4t", 7.0),
    Target("S", "0.01", "ours-symbol", "backtrader", 10.0),
    Target("S", "0.01", "ours-symbol", "backtesting", 3.0),
)
# Megabytes that W3 may hold at most.
W3_MEMORY_MB = 1_000.0


def verdicts(pieces: Sequence[dict[str, Any]]) -> str:
    """Return a table of all targets with what was measured: the median of the pairs, their spread, met or not."""
    rows = [_row(target, pieces) for target in TARGETS]
    return table(["target", "measured", "least to most", "by cpu", "met"], [*rows, _memory_row(pieces)])


def measurements_of(pieces: Sequence[dict[str, Any]], work: str, task: str, other: str) -> dict[str, Measurement]:
    """Return the measurements of one comparison by engine; empty where it was not made."""
    for piece in pieces:
        found = {each["engine"]: Measurement(**each) for each in piece["measurements"]}
        if (piece["work"], piece["task"]) == (work, task) and other in found:
            return found
    return {}


def _row(target: Target, pieces: Sequence[dict[str, Any]]) -> list[str]:
    found = measurements_of(pieces, target.work, target.task, target.other)
    measured = target.measured(found[target.ours], found[target.other]) if target.ours in found else None
    if not measured:
        return [target.told(), "not measured", "", "", ""]
    middle = median(measured)
    met = "yes" if middle >= target.at_least else "**no**"
    by_cpu = ratios(found[target.ours], found[target.other], "cpu") if target.what == "run" else []
    shown = [[1.0 / each for each in row] if target.other == "decode" else row for row in (measured, by_cpu)]
    cpu = f"{median(shown[1]):.2f}" if by_cpu else ""
    return [target.told(), f"{median(shown[0]):.2f} x", spread(shown[0]), cpu, met]


def _memory_row(pieces: Sequence[dict[str, Any]]) -> list[str]:
    told = f"W3: under {W3_MEMORY_MB:,.0f} MB"
    peaks = [
        took["peak_mb"]
        for piece in pieces
        if piece["work"] == "W3"
        for each in piece["measurements"]
        if each["engine"] == "ours"
        for took in each["whole"]
    ]
    if not peaks:
        return [told, "not measured", "", "", ""]
    met = "yes" if max(peaks) < W3_MEMORY_MB else "**no**"
    return [told, f"{max(peaks):,.0f} MB", f"{min(peaks):,.0f} to {max(peaks):,.0f}", "", met]
