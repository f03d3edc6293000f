"""Tables, numbers and circumstances as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))


def rate(rows: float, seconds: float) -> str:
    """Return millions of bars per second."""
    return f"{rows / seconds / 1e6:.2f}"


def seconds(value: float) -> str:
    """Return a time in the unit that reads best."""
    if value < 1.0:
        return f"{value * 1e3:,.1f} ms"
    if value < 300.0:
        return f"{value:,.1f} s"
    return f"{value / 3600.0:,.1f} h" if value >= 7200.0 else f"{value / 60.0:,.0f} min"


def spread(values: Sequence[float]) -> str:
    """Return the least and the greatest of some values."""
    return f"{min(values):.2f} to {max(values):.2f}"


def measured_on(pieces: Iterable[dict[str, Any]]) -> str:
    """Return on what, with what, when and under which load the pieces were measured."""
    found = list(pieces)
    if not found:
        return "Nothing was measured yet."
    machine, versions = found[-1]["machine"], found[-1]["versions"]
    loads = [each["load_average"] for each in found]
    moments = sorted(each["measured_at"] for each in found)
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}"
    return (
        f"{where}; {packages}. "
        f"Measured {moments[0]} to {moments[-1]} at load averages of {min(loads)} to {max(loads)} on these cores: "
        "what else ran then makes seconds longer, ratios of neighbouring runs hardly, and seconds of all threads (cpu) "
        "least of all."
    )
