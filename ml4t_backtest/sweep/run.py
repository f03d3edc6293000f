"""Runs a sweep: what the ledger knows is taken from it, the rest is run and put on record as it is finished."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.config.loader import config_hash
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core.argument_types import checked_arguments_but
from ml4t_backtest.data.prepared import PreparedFiles
from ml4t_backtest.dataset_stages import prepared_dataset
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.runner import OUTPUT_ROOT
from ml4t_backtest.sweep.loading import Sweep, load_sweep
from ml4t_backtest.sweep.selection import OBJECTIVES, Judgement, Returns, judge
from ml4t_backtest.sweep.shared_data import share
from ml4t_backtest.sweep.trial import Trial
from ml4t_backtest.sweep.trial_ledger import TrialLedger
from ml4t_backtest.sweep.trial_task import Task
from ml4t_backtest.sweep.windows import DatedFold, Window, dated_folds, sessions_of_slices, windows_of
from ml4t_backtest.sweep.workers import Rows, run_here, run_in, run_in_processes

SWEEPS = "sweeps"
LEDGER = "ledger"
_SHARED = "shared"
# More riders share the data better; fewer lose less when a worker is lost, and show progress sooner.
_MOST_RIDERS = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep.

    Attributes:
        sweep: What was run.
        folds: Parts of time; one without a name where the sweep has no splits.
        trials: Rows of the ledger, one per trial that was completed or failed now, with its `variant` in front.
        rerun: Number of trials that were run now; the others were on record.
        tried: Number of variants that were ever completed on this data, those of other sweeps included.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     result = run_sweep("thresholds", output_root=folder)
    >>> result.judgement.scores.filter("is_chosen")["variant"].to_list()
    [0, 6, 6, 6, 6, 6, 3]
    """

    sweep: Sweep
    folds: tuple[DatedFold, ...]
    trials: pl.DataFrame
    rerun: int
    tried: int

    @cached_property
    def returns(self) -> Returns:
        """Sessions and daily returns of what was completed, by variant and window; None stands for the whole span.

        A ruined account has no returns any more: they are 0.
        """
        done = self.trials.filter(pl.col("status") == "completed")
        columns = ("variant", "first_session", "last_session", "sessions", "daily_returns")
        return {
            (variant, None if first is None else (first, last)): (sessions, [value or 0.0 for value in values])
            for variant, first, last, sessions, values in done.select(columns).iter_rows()
        }

    @cached_property
    def judgement(self) -> Judgement:
        """What the folds say: scores in and out of sample, and the tests of what was chosen, in a row."""
        return judge(self.folds, len(self.sweep.variants), self.returns, self.sweep.config.sweep.objective)

    @cached_property
    def ranking(self) -> list[tuple[int, float | None]]:
        """Variants with their objective over all that they are judged by, the best first.

        Without splits that is the whole span, with them all tests together: to look at, not to choose by.
        """
        objective = OBJECTIVES[self.sweep.config.sweep.objective]
        known = [(variant, objective(values)) for variant, (_, values) in self.tested.items()]
        return sorted(known, key=lambda each: (each[1] is None, -(each[1] or 0.0), each[0]))

    @cached_property
    def tested(self) -> dict[int, tuple[list[date], list[float]]]:
        """Per variant that went through all of it: sessions and returns of every test once, or of the whole span."""
        tests = sorted({window for fold in self.folds for window in fold.test})
        windows: list[Window | None] = [*tests] if tests else [None]
        found = {}
        for variant in range(len(self.sweep.variants)):
            parts = [self.returns.get((variant, window)) for window in windows]
            whole = [part for part in parts if part is not None]
            if len(whole) == len(windows):
                sessions = [session for part in whole for session in part[0]]
                found[variant] = (sessions, [value for part in whole for value in part[1]])
        return found

    def __repr__(self) -> str:
        failed = self.trials.filter(pl.col("status") == "failed").height
        return (
            f"SweepResult({len(self.sweep.variants)} variants, {len(self.folds)} folds, {self.trials.height} trials, "
            f"{self.rerun} run now, {failed} failed)"
        )


@checked_arguments_but("sweep", "executor", "on_progress")
def run_sweep(
    sweep: str | Path | Sweep,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    output_root: str | Path = OUTPUT_ROOT,
    on_progress: Progress | None = None,
) -> SweepResult:
    """Run the trials of a sweep that are not on record yet, and return all of them.

    A trial is known by its configuration, data and code: the same again is taken from the ledger, whichever sweep ran
    it. One that failed is tried again. Killed at any moment, a sweep goes on where it was.

    Args:
        sweep: Name or path of a sweep, or one that is loaded already.
        workers: Processes that share the work; 1 does it here.
        executor: Runs the work in place of own processes: anything with the methods of `concurrent.futures.Executor`.
        output_root: Where prepared data and the ledger lie.
        on_progress: Called with the number of trials that are done, and of all; first before any is run.

    Raises:
        ConfigError: The sweep or its backtest is wrong; all mistakes at once.
        DataValidationError: The data is; all violations at once.
        BacktestError: Workers die again and again, or the disk is full.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     print(run_sweep("thresholds", output_root=folder))
    ...     print(run_sweep("thresholds", output_root=folder))
    SweepResult(9 variants, 7 folds, 126 trials, 126 run now, 0 failed)
    SweepResult(9 variants, 7 folds, 126 trials, 0 run now, 0 failed)
    """
    if workers < 1:
        raise ConfigError(f"workers must be a whole number from 1, got {workers}")
    loaded = sweep if isinstance(sweep, Sweep) else load_sweep(sweep)
    root = Path(output_root) / SWEEPS
    prepared = _prepared(loaded, output_root)
    folds, trials = _plan(loaded, prepared)
    ledger = TrialLedger(root / LEDGER)
    known = ledger.completed([trial.key for trial in trials])
    open_trials = _without(set(known["trial"]), trials)
    told = len(trials) - len(open_trials)
    tell = on_progress or _silent
    tell(told, len(trials))
    rows: Rows = []
    tasks = list(_tasks(loaded.name, open_trials, prepared, root / _SHARED, workers))
    for finished in _run(tasks, workers, executor):
        ledger.add(finished)
        rows += finished
        told += len(finished)
        tell(told, len(trials))
    ledger.compact()
    tried = ledger.tried([each.content_hash for each in prepared.values()])
    return SweepResult(loaded, tuple(folds), _table(trials, ledger, rows), len(rows), tried)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def _prepared(sweep: Sweep, output_root: str | Path) -> dict[str, PreparedFiles]:
    """Return the prepared data of every data set that variants name, by the hash of its configuration."""
    found: dict[str, PreparedFiles] = {}
    for variant in sweep.variants:
        key = config_hash(variant.config.dataset)
        if key not in found:
            found[key] = prepared_dataset(variant.config.dataset, output_root)
    return found


def _plan(sweep: Sweep, prepared: Mapping[str, PreparedFiles]) -> tuple[list[DatedFold], list[Trial]]:
    """Return the folds, and every variant over each of their windows."""
    split = sweep.config.splits
    first = sweep.variants[0].config
    folds: list[DatedFold] = []
    if split is not None:
        folds = dated_folds(split, sessions_of_slices(first, prepared[config_hash(first.dataset)]))
    windows: list[Window | None] = [*windows_of(folds)] or [None]
    trials = []
    for window in windows:
        for number, variant in enumerate(sweep.variants):
            config = variant.config if window is None else sweep.over(variant, *map(str, window))
            data = prepared[config_hash(config.dataset)].content_hash
            trials.append(Trial(number, variant.parameters, variant.seed, window, config, data))
    return folds, trials


def _without(known: set[str], trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that are not known, each key once."""
    left: dict[str, Trial] = {}
    for trial in trials:
        if trial.key not in known:
            left.setdefault(trial.key, trial)
    return list(left.values())


def _tasks(
    sweep: str, trials: Sequence[Trial], prepared: Mapping[str, PreparedFiles], shared: Path, workers: int
) -> Iterator[Task]:
    """Yield trials that can ride together, in as many tasks as keep all workers busy."""
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(_ride(trial.config), []).append(trial)
    busy = math.ceil(len(trials) / (2 * workers)) if workers > 1 else _MOST_RIDERS
    riders = max(1, min(_MOST_RIDERS, busy))
    for group in groups.values():
        data = share(prepared[config_hash(group[0].config.dataset)], shared)
        for first in range(0, len(group), riders):
            yield Task(sweep, data, tuple(group[first : first + riders]))


def _ride(config: BacktestConfig) -> tuple[Any, ...]:
    """Return what a feed is made from: configurations that say the same of it can share one."""
    span = config.backtest
    told = (span.start, span.end, span.warm_up_days, config.data.validation, config.data.accept)
    return (config_hash(config.dataset), *told)


def _run(tasks: Sequence[Task], workers: int, executor: Executor | None) -> Iterator[Rows]:
    if executor is not None:
        return run_in(executor, tasks)
    if workers > 1 and len(tasks) > 1:
        return run_in_processes(tasks, workers)
    return run_here(tasks)


def _table(trials: Sequence[Trial], ledger: TrialLedger, rows: Rows) -> pl.DataFrame:
    """Return a row per trial, in the order of the plan: what is on record, and what failed now."""
    plan = pl.DataFrame(
        {"variant": [trial.variant for trial in trials], "trial": [trial.key for trial in trials]},
        schema={"variant": pl.Int64, "trial": pl.String},
    )
    failed = [row["trial"] for row in rows if row["status"] == "failed"]
    on_record = ledger.read().filter((pl.col("status") == "completed") | pl.col("trial").is_in(failed))
    latest = on_record.sort("status", maintain_order=True).unique("trial", keep="first", maintain_order=True)
    return plan.join(latest, on="trial", how="inner", maintain_order="left")
