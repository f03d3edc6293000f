"""What a worker does: a few trials over the same data and span, riding one pass over it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.engine import BacktestEngine
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.one_pass import run_together
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.runner import engine_of, feed_of
from ml4t_backtest.sweep.shared_data import SharedData
from ml4t_backtest.sweep.trial import Trial

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Trials that share data and span.

    Attributes:
        sweep: Name of the sweep.
        data: Where the data lies, or the data itself where no process is left.
        trials: What to run.
    """

    sweep: str
    data: SharedData | PreparedData
    trials: tuple[Trial, ...]


def run_task(task: Task) -> list[Row]:
    """Run the trials of a task and return their rows for the ledger.

    A trial that fails by a fault of the user's is a row too. The time it took is an equal part of the whole.
    """
    began = time.perf_counter()
    outcomes = _outcomes(task)
    each = (time.perf_counter() - began) / len(task.trials)
    return [_row(task.sweep, trial, outcome, each) for trial, outcome in zip(task.trials, outcomes, strict=True)]


def run_task_on(data: PreparedData, task: Task) -> list[Row]:
    """Run a task over data that came to the worker by itself."""
    return run_task(replace(task, data=data))


def singly(task: Task) -> list[Task]:
    """Return a task for each of the trials of one."""
    return [replace(task, trials=(trial,)) for trial in task.trials]


def lost_rows(task: Task) -> list[Row]:
    """Return the rows of trials that ended with the process they ran in."""
    death = BacktestError("the process it ran in died: it was killed, ran out of memory, or native code crashed")
    return [_row(task.sweep, trial, death, 0.0) for trial in task.trials]


def _outcomes(task: Task) -> Sequence[BacktestResult | BacktestError]:
    data = task.data.open() if isinstance(task.data, SharedData) else task.data
    try:
        feed = feed_of(task.trials[0].config, data)
    except BacktestError as error:
        return [error] * len(task.trials)
    built: list[BacktestEngine | BacktestError] = []
    for trial in task.trials:
        try:
            built.append(engine_of(trial.config, data, feed=feed))
        except BacktestError as error:
            built.append(error)
    lived = iter(run_together([engine for engine in built if isinstance(engine, BacktestEngine)]))
    return [next(lived) if isinstance(each, BacktestEngine) else each for each in built]


def _row(sweep: str, trial: Trial, outcome: BacktestResult | BacktestError, seconds: float) -> Row:
    first, last = trial.span or (None, None)
    row: Row = {
        "trial": trial.key,
        "sweep": sweep,
        "parameters": trial.written_parameters(),
        "seed": trial.seed,
        "first_session": first,
        "last_session": last,
        "config_hash": trial.config_hash,
        "variant_hash": trial.variant_hash,
        "data_hash": trial.data_hash,
        "code_hash": trial.code_hash,
        "finished": datetime.now(UTC),
        "duration_seconds": seconds,
    }
    if isinstance(outcome, BacktestError):
        return {**row, "status": "failed", "error": f"{type(outcome).__name__}: {outcome}"}
    daily = outcome.daily_returns
    figures = {name: None if value is None else float(value) for name, value in outcome.metrics.items()}
    returns = daily["daily_return"].to_list()
    return {**row, "status": "completed", "sessions": daily["session"].to_list(), "daily_returns": returns, **figures}
