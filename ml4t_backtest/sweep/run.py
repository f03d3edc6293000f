"""Runs a sweep: what the ledger knows is taken from it, the rest is run and put on record as it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import polars as pl

from ml4t_backtest.core.argument_types import checked_arguments_but
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.runner import OUTPUT_ROOT
from ml4t_backtest.sweep.loading import Sweep, load_sweep
from ml4t_backtest.sweep.search import searched
from ml4t_backtest.sweep.selection import OBJECTIVES, Judgement, Returns, judge, outlived, returns_of
from ml4t_backtest.sweep.spaces import Optuna
from ml4t_backtest.sweep.trial import Trial
from ml4t_backtest.sweep.trial_ledger import TrialLedger
from ml4t_backtest.sweep.trial_runner import LEDGER, SWEEPS, Progress, TrialRunner
from ml4t_backtest.sweep.windows import DatedFold, Window, dated_folds, sessions_of_slices, windows_of
from ml4t_backtest.sweep.workers import Rows

__all__ = ["LEDGER", "SWEEPS", "Progress", "SweepResult", "run_sweep"]


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep.

    Attributes:
        sweep: What was run.
        folds: Parts of time; one without a name where the sweep has no splits.
        trials: Rows of the ledger, one per trial that was completed or failed now, with its `variant` in front.
        rerun: Number of trials that were run now; the others were on record.
        tried: Number of variants that were ever completed on this data, those of other sweeps included.
        other_sharpes: Sharpe ratio per session of those that are none of this sweep's.

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
    other_sharpes: tuple[float, ...]

    @cached_property
    def returns(self) -> Returns:
        """Sessions and daily returns of what was completed, by variant and window; None stands for the whole span.

        A ruined account has no returns any more: they are 0.
        """
        return outlived(returns_of(self.trials.filter(pl.col("status") == "completed")))

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

    @cached_property
    def distinct(self) -> dict[int, tuple[list[date], list[float]]]:
        """The same without repetition: of variants that differ in nothing, as draws by chance may, the first."""
        hashes = dict(self.trials.select("variant", "variant_hash").iter_rows())
        firsts: dict[str, int] = {}
        for variant in self.tested:
            firsts.setdefault(hashes[variant], variant)
        return {variant: self.tested[variant] for variant in firsts.values()}

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
        BacktestError: Many trials in a row kill their workers, or the disk is full.

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
    runner = TrialRunner(loaded.name, output_root, workers, executor, on_progress or _silent)
    folds = _folds(loaded, runner)
    if isinstance(loaded.config.space, Optuna):
        loaded = searched(loaded, loaded.config.space, folds, runner)
    trials = runner.trials(loaded, loaded.variants, [*windows_of(folds)] or [None])
    runner.run(trials)
    return SweepResult(
        loaded,
        tuple(folds),
        _table(trials, runner.ledger, runner.rows),
        len(runner.rows),
        runner.tried(),
        runner.other_sharpes(trials[: len(loaded.variants)]),
    )


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def _folds(sweep: Sweep, runner: TrialRunner) -> list[DatedFold]:
    split, first = sweep.config.splits, sweep.variants[0].config
    return [] if split is None else dated_folds(split, sessions_of_slices(first, runner.prepared(first)))


def _table(trials: Sequence[Trial], ledger: TrialLedger, rows: Rows) -> pl.DataFrame:
    """Return a row per trial, in the order of the plan: what is on record, and what failed now."""
    plan = pl.DataFrame(
        {"variant": [trial.variant for trial in trials], "trial": [trial.key for trial in trials]},
        schema={"variant": pl.Int64, "trial": pl.String},
    )
    failed = [row["trial"] for row in rows if row["status"] == "failed"]
    on_record = ledger.read()
    done = on_record.filter(pl.col("status") == "completed").unique("trial", keep="first", maintain_order=True)
    # What failed before may have failed for another reason.
    broken = on_record.filter(pl.col("status") == "failed", pl.col("trial").is_in(failed))
    latest = broken.unique("trial", keep="last", maintain_order=True).join(done, on="trial", how="anti")
    return plan.join(pl.concat([done, latest]), on="trial", how="inner", maintain_order="left")
