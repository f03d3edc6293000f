"""What is done with a work: a strategy with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.works import LOT, NO_ORDERS, Facts

# What a bracket strategy waits for: 2.3 % of all predictions.
BRACKET_ENTRY = 2.0
STOP, TARGET = 0.02, 0.03
RATE_TASKS = ("0", "0.01", "0.1")
TASKS = (*RATE_TASKS, "hold", "top25", "brackets")


@dataclass(frozen=True)
class Task:
    """A strategy with its numbers.

    Attributes:
        name: An order rate (`0`, `0.01`, `0.1`), `hold` (buy each symbol at its first
            positive prediction), `top25` or `brackets`.
        strategy: `noise`, `top25` or `brackets`.
        enter: Predictions above it buy.
        leave: Predictions below it close.
    """

    name: str
    strategy: str
    enter: float
    leave: float

    @property
    def told(self) -> str:
        """The task in words."""
        words = {"0": "no orders", "hold": "buy and hold", "top25": "top 25, rebalanced", "brackets": "25 brackets"}
        return words.get(self.name) or f"{float(self.name):.0%} orders"

    @property
    def needs_tape(self) -> bool:
        """Whether peers replay our orders: their own words do not say what this strategy does."""
        return self.strategy != "noise"

    def asked(self) -> dict[str, Any]:
        """Return what a runner is told."""
        rule = {"strategy": self.strategy, "enter": self.enter, "leave": self.leave, "lot": LOT}
        return {**rule, "stop": STOP, "target": TARGET}


def task_of(name: str, facts: Facts) -> Task:
    """Return a task on a work of which `facts` are known."""
    if name in RATE_TASKS:
        t = facts.thresholds[name]
        return Task(name, "noise", t, -t)
    if name == "hold":
        return Task(name, "noise", 0.0, -NO_ORDERS)
    if name in ("top25", "brackets"):
        return Task(name, name, BRACKET_ENTRY, -NO_ORDERS)
    raise ValueError(f"no task {name!r}; there are {', '.join(TASKS)}")
