"""The engines that are measured: how each is started, what it is asked, and what its answers are held against."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parity.environments import Environment

from benchmarks.measured import Measured
from benchmarks.works import CAPITAL, COMMISSION, SLIPPAGE, Facts, Work

HERE = Path(__file__).parent
TESTS, ROOT = HERE.parent, HERE.parents[1]


@dataclass(frozen=True)
class Engine:
    """An engine in one of its ways of working.

    Attributes:
        name: As asked for on the command line.
        runner: Script under `runners/`.
        environment: Where it is installed; None for ours, which runs in this interpreter's.
        options: What its runner is told beside the work.
    """

    name: str
    runner: str
    environment: Environment | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def make(self) -> None:
        """Make its environment unless it is there."""
        if self.environment is not None:
            self.environment.make()

    def start(self) -> Measured:
        """Start its process."""
        python = sys.executable if self.environment is None else self.environment.interpreter
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if self.environment is None:
            variables["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(TESTS)))
        return Measured([python, "-W", "ignore", str(HERE / "runners" / self.runner)], variables)

    def load(self, process: Measured, work: Work) -> dict[str, Any]:
        """Let it load a work."""
        words = {"feed": FEEDS.get(work.name, {}), "stream": work.name in STREAMED}
        return process.ask(
            "load", bars=str(work.bars), symbols=work.symbols, minutes=work.minutes, **words, **self.options
        )

    def run(self, process: Measured, work: Work, facts: Facts, rate: str) -> dict[str, Any]:
        """Let it run the strategy at an order rate."""
        words: dict[str, Any] = {"strategy": "noise", "profile": None, "t": facts.thresholds[rate]}
        costs = {"capital": CAPITAL, "commission": COMMISSION, "slippage": SLIPPAGE}
        return process.ask("run", **{**words, **costs, **self.options})


# How our feed is opened: a chunk of some hundred thousand rows each.
FEEDS = {"W1": {"chunk": "2y"}, "S": {"chunk": "1y"}}
# Works that ours leaves on disk, where every peer holds all in memory.
STREAMED = ("W3",)


def _peer(
    name: str, requirements: Path | None = None, python: tuple[str, ...] = ("python3.12", "python3.13")
) -> Engine:
    wanted = requirements or TESTS / "parity" / "requirements" / f"{name}.txt"
    return Engine(name, f"run_{name.replace('-', '_')}.py", Environment(name, wanted, python))


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("ours", "run_ours.py", options={"mode": "batch"}),
        Engine("ours-symbol", "run_ours.py", options={"mode": "symbol"}),
        _peer("vectorbt"),
    )
}
