"""Runs trials that are not on record yet, and puts each on record as it is finished."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from typing import Any

from ml4t_backtest.config.loader import config_hash
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.prepared import PreparedFiles
from ml4t_backtest.dataset_stages import prepared_dataset
from ml4t_backtest.reporting.sharpe_statistics import sharpe_estimate
from ml4t_backtest.sweep.loading import Sweep, Variant
from ml4t_backtest.sweep.shared_data import share
from ml4t_backtest.sweep.trial import Trial
from ml4t_backtest.sweep.trial_ledger import TrialLedger
from ml4t_backtest.sweep.trial_task import Task
from ml4t_backtest.sweep.windows import Window
from ml4t_backtest.sweep.workers import Rows, run_here, run_in, run_in_processes

SWEEPS = "sweeps"
LEDGER = "ledger"
_SHARED = "shared"
# More riders share the data better; fewer lose less when a worker is lost, and show progress sooner.
_MOST_RIDERS = 32

Progress = Callable[[int, int], None]


class TrialRunner:
    """The data, the ledger and the workers of one sweep.

    Attributes:
        ledger: Where the trials are on record.
        rows: Rows of the trials that were run here.
    """

    def __init__(
        self, sweep: str, output_root: str | Path, workers: int, executor: Executor | None, tell: Progress
    ) -> None:
        self.ledger = TrialLedger(Path(output_root) / SWEEPS / LEDGER)
        self.rows: Rows = []
        self._sweep, self._output_root = sweep, output_root
        self._workers, self._executor, self._tell = workers, executor, tell
        self._prepared: dict[str, PreparedFiles] = {}

    def prepared(self, config: BacktestConfig) -> PreparedFiles:
        """Return the prepared data of a backtest, which is prepared once."""
        key = config_hash(config.dataset)
        if key not in self._prepared:
            self._prepared[key] = prepared_dataset(config.dataset, self._output_root)
        return self._prepared[key]

    def trials(self, sweep: Sweep, variants: Sequence[Variant], windows: Sequence[Window | None]) -> list[Trial]:
        """Return each variant over each window; None is the whole span of the backtest."""
        planned = []
        for window in windows:
            for number, variant in enumerate(variants):
                config = variant.config if window is None else sweep.over(variant, *map(str, window))
                data = self.prepared(config).content_hash
                planned.append(Trial(number, variant.parameters, variant.seed, window, config, data))
        return planned

    def run(self, trials: Sequence[Trial], *, before: int = 0, total: int | None = None) -> None:
        """Run what is not on record of some trials.

        Args:
            trials: What is asked for.
            before: Trials that were told of as done before these.
            total: Trials that are told of in all; None for these.
        """
        missing = self._missing(trials)
        done, whole = before + len(trials) - len(missing), len(trials) if total is None else total
        self._tell(done, whole)
        for finished in self._work(list(self._tasks(missing))):
            self.ledger.add(finished)
            self.rows += finished
            self._known.update(row["trial"] for row in finished if row["status"] == "completed")
            done += len(finished)
            self._tell(done, whole)
        self.ledger.compact()

    def tried(self) -> int:
        """Return how many variants were ever completed on the data of this sweep."""
        return self.ledger.tried([each.content_hash for each in self._prepared.values()])

    def other_sharpes(self, trials: Sequence[Trial]) -> tuple[float, ...]:
        """Return the Sharpe ratio per session of every other variant that was ever completed on the data of trials."""
        known = [each.content_hash for each in self._prepared.values()]
        others = self.ledger.returns_of_others(known, {trial.variant_hash for trial in trials})
        estimates = map(sharpe_estimate, others)
        return tuple(each.sharpe for each in estimates if each is not None)

    @cached_property
    def _known(self) -> set[str]:
        """Trials that are completed; what others complete meanwhile is run here too, and counts once."""
        return self.ledger.completed_trials()

    def _missing(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials that are not known, each key once."""
        left: dict[str, Trial] = {}
        for trial in trials:
            if trial.key not in self._known:
                left.setdefault(trial.key, trial)
        return list(left.values())

    def _tasks(self, trials: Sequence[Trial]) -> Iterator[Task]:
        """Yield trials that can ride together, in as many tasks as keep all workers busy."""
        groups: dict[tuple[Any, ...], list[Trial]] = {}
        for trial in trials:
            groups.setdefault(_ride(trial.config), []).append(trial)
        busy = math.ceil(len(trials) / (2 * self._workers)) if self._workers > 1 else _MOST_RIDERS
        riders = max(1, min(_MOST_RIDERS, busy))
        shared = Path(self._output_root) / SWEEPS / _SHARED
        for group in groups.values():
            data = share(self.prepared(group[0].config), shared)
            for first in range(0, len(group), riders):
                yield Task(self._sweep, data, tuple(group[first : first + riders]))

    def _work(self, tasks: Sequence[Task]) -> Iterator[Rows]:
        if self._executor is not None:
            return run_in(self._executor, tasks)
        if self._workers > 1 and len(tasks) > 1:
            return run_in_processes(tasks, self._workers)
        return run_here(tasks)


def _ride(config: BacktestConfig) -> tuple[Any, ...]:
    """Return what a feed is made from: configurations that say the same of it can share one."""
    span = config.backtest
    told = (span.start, span.end, span.warm_up_days, config.data.validation, config.data.accept)
    return (config_hash(config.dataset), *told)
