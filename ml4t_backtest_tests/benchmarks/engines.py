"""The engines that are measured: how each is started, what it is asked, and by which rules ours is held against it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from parity.environments import ENVIRONMENTS, make_environment

from benchmarks.measured import Measured
from benchmarks.tasks import Task
from benchmarks.works import CAPITAL, COMMISSION, SLIPPAGE, Work

HERE = Path(__file__).parent
TESTS, ROOT = HERE.parent, HERE.parents[1]
COSTS = {"capital": CAPITAL, "commission": COMMISSION, "slippage": SLIPPAGE}


@dataclass(frozen=True)
class Environment:
    """Where an engine is installed.

    Attributes:
        name: Of its folder.
        requirements: File of what is installed there.
        python: Interpreters it works with, the best first.
    """

    name: str
    requirements: Path
    python: tuple[str, ...] = ("python3.12", "python3.13")

    @property
    def interpreter(self) -> str:
        """Its Python."""
        return str(ENVIRONMENTS / self.name / "bin" / "python")

    def make(self) -> None:
        """Make it unless it is there.

        Raises:
            RuntimeError: None of the interpreters runs here.
        """
        make_environment(ENVIRONMENTS / self.name, self.python, self.requirements.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Engine:
    """An engine in one of its ways of working.

    Attributes:
        name: As asked for on the command line.
        runner: Script under `runners/`.
        environment: Where it is installed; None for ours, which runs in this interpreter's.
        profile: The rules ours follows when it is held against this engine; None for its own.
        rule: The same in words.
        options: What its runner is told beside the work.
    """

    name: str
    runner: str
    environment: Environment | None = None
    profile: str | None = None
    rule: str = "next open"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is our engine."""
        return self.environment is None

    def under(self, profile: str | None) -> Engine:
        """Return our engine with the rules of a profile."""
        return replace(self, profile=profile, options={**self.options, "profile": profile})

    def make(self) -> None:
        """Make its environment unless it is there.

        Raises:
            RuntimeError: None of the interpreters that it works with is to be found.
        """
        if self.environment is not None:
            self.environment.make()

    def start(self) -> Measured:
        """Start its process."""
        python = sys.executable if self.environment is None else self.environment.interpreter
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if self.is_ours:
            variables["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(TESTS)))
        return Measured([python, "-W", "ignore", str(HERE / "runners" / self.runner)], variables)

    def load(self, process: Measured, work: Work) -> dict[str, Any]:
        """Let it load a work."""
        told = {"bars": str(work.bars), "symbols": work.symbols, "minutes": work.minutes}
        return process.ask("load", **told, stream=work.streamed, **self.options)

    def run(self, process: Measured, work: Work, task: Task) -> dict[str, Any]:
        """Let it do a task; a peer whose own words cannot say it replays our orders."""
        tape = None if self.is_ours or not task.needs_tape else str(tape_of(work, task, self.profile))
        return process.ask("run", **task.asked(), **COSTS, last=work.last_symbol, tape=tape, **self.options)


@cache
def tape_of(work: Work, task: Task, profile: str | None) -> Path:
    """Return the file with the orders that our engine gives in a task by the rules of a profile.

    It holds three arrays of one length, in the order given: `slice` and `symbol` (indices from 0), signed `quantity`.
    """
    tape = work.folder / f"tape-{task.name}-{(profile or 'ours').replace('@', '-')}.npz"
    ours = ENGINES["ours"].under(profile)
    with ours.start() as process:
        ours.load(process, work)
        process.ask("tape", **task.asked(), **COSTS, last=work.last_symbol, tape=str(tape), **ours.options)
    return tape


def _peer(name: str, folder: str = "parity", **words: Any) -> Engine:
    python = words.pop("python", ("python3.12", "python3.13"))
    environment = Environment(name, TESTS / folder / "requirements" / f"{name}.txt", python)
    return Engine(name, f"run_{name}.py", environment, **words)


_VECTORBT = _peer("vectorbt", options={"records": False, "brackets": False})
_CLOSING = {"profile": "vectorbt@1.2", "rule": "same close"}
ENGINES = {
    engine.name: engine
    for engine in (
        Engine("ours", "run_ours.py", options={"mode": "batch", "profile": None}),
        Engine("ours-symbol", "run_ours.py", options={"mode": "symbol", "profile": None}),
        Engine("decode", "run_decode.py", rule="nothing fills: the same columns, decoded"),
        _VECTORBT,
        replace(_VECTORBT, name="vectorbt-records", options={"records": True, "brackets": False}),
        replace(_VECTORBT, name="vectorbt-brackets", options={"records": False, "brackets": True}, **_CLOSING),
        _peer("ml4t", "benchmarks"),
        _peer("polarbt", "benchmarks", profile="zipline@3", rule="next close"),
        _peer("backtrader"),
        _peer("zipline", profile="zipline@3", rule="next close"),
        _peer("backtesting", profile="backtesting.py@0.6", rule="next open; slippage on entries only"),
    )
}
