"""Optuna as the one who proposes what is tried next; what came of it is asked of the ledger, not of a store of its own.

The same seed and the same answers give the same proposals. So a search that was killed is not resumed but made again:
what is on record answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest.errors import ConfigError
from ml4t_backtest.sweep.loading import Sweep, Variant
from ml4t_backtest.sweep.selection import returns_of, score
from ml4t_backtest.sweep.spaces import Optuna, Point
from ml4t_backtest.sweep.trial_runner import TrialRunner
from ml4t_backtest.sweep.windows import DatedFold, Window, windows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.distributions import BaseDistribution
    from optuna.study import Study

Scored = Callable[[Sequence[Point]], Sequence[float | None]]
_KEPT = {"trial": pl.String(), "sessions": pl.List(pl.Date()), "daily_returns": pl.List(pl.Float64())}


def searched(sweep: Sweep, space: Optuna, folds: Sequence[DatedFold], runner: TrialRunner) -> Sweep:
    """Return the sweep with the variants that were proposed, in their order, each once.

    With folds the proposals follow from the training of the first one alone: nothing that is tested later is seen.

    Args:
        sweep: The sweep.
        space: Its space.
        folds: Parts of time; none for the whole span.
        runner: Runs its trials.

    Raises:
        ConfigError: Optuna is not installed, or a value that is proposed is none the backtest takes.
    """
    windows: list[Window | None] = [*folds[0].train] if folds else [None]
    search = _Search(sweep, windows, runner, total=len(space) * max(1, len(windows_of(folds))))
    propose(space, search.scored)
    return sweep.with_variants(search.variants.values())


def propose(space: Optuna, scored: Scored) -> None:
    """Let Optuna propose points, `at_once` at a time, and tell it what each came to.

    Args:
        space: Where they lie, how many, and the seed.
        scored: Returns the figures of some points, the greater the better; None where there is none.

    Raises:
        ConfigError: Optuna is not installed.
    """
    study, distributions = _study(space.seed), _distributions(space)
    from optuna.trial import TrialState

    for first in range(0, space.trials, space.at_once):
        asked = [study.ask(distributions) for _ in range(min(space.at_once, space.trials - first))]
        for trial, figure in zip(asked, scored([_point(space, each.params) for each in asked]), strict=True):
            state = TrialState.FAIL if figure is None else TrialState.COMPLETE
            study.tell(trial.number, figure, state)


class _Search:
    """Runs what is proposed. `variants` has what was, by its point: one that is proposed again is no other one."""

    def __init__(self, sweep: Sweep, windows: Sequence[Window | None], runner: TrialRunner, *, total: int) -> None:
        self.variants: dict[str, Variant] = {}
        self._sweep, self._windows, self._runner, self._total = sweep, windows, runner, total
        self._scores: dict[str, float | None] = {}
        self._on_record = runner.ledger.read().filter(pl.col("status") == "completed").select(list(_KEPT))

    def scored(self, points: Sequence[Point]) -> list[float | None]:
        """Return what points come to; each is run once, however often it is proposed."""
        named = {_name(point): point for point in points}
        fresh = {name: self._sweep.variant(point) for name, point in named.items() if name not in self.variants}
        if fresh:
            before = len(self.variants) * len(self._windows)
            self._scores |= dict(zip(fresh, self._run(list(fresh.values()), before), strict=True))
            self.variants |= fresh
        return [self._scores[_name(point)] for point in points]

    def _run(self, variants: Sequence[Variant], before: int) -> list[float | None]:
        trials = self._runner.trials(self._sweep, variants, self._windows)
        ran = len(self._runner.rows)
        self._runner.run(trials, before=before, total=self._total)
        done = [row for row in self._runner.rows[ran:] if row["status"] == "completed"]
        now = pl.DataFrame([{name: row[name] for name in _KEPT} for row in done], schema=_KEPT)
        known = pl.concat([self._on_record.filter(pl.col("trial").is_in([each.key for each in trials])), now])
        plan = pl.DataFrame(
            [(each.key, each.variant, *(each.span or (None, None))) for each in trials],
            schema={"trial": pl.String, "variant": pl.Int64, "first_session": pl.Date, "last_session": pl.Date},
            orient="row",
        )
        returns = returns_of(plan.join(known.unique("trial", keep="first", maintain_order=True), on="trial"))
        objective = self._sweep.config.sweep.objective
        return [score(returns, number, self._windows, objective) for number in range(len(variants))]


def _name(point: Point) -> str:
    """Return what tells points apart; 1 and 1.0 are two."""
    return repr(sorted(point.items()))


def _study(seed: int) -> Study:
    if find_spec("optuna") is None:
        raise ConfigError('space.model optuna needs Optuna: pip install "ml4t-backtest-pipeline[optuna]"')
    import optuna

    with _quiet():
        return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling of a study that nobody can look at."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _distributions(space: Optuna) -> dict[str, BaseDistribution]:
    return {key: _distribution(spec) for key, spec in space.parameters.items()}


def _distribution(spec: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(spec, list):
        # By their numbers: Optuna takes no lists and no mappings as values.
        return CategoricalDistribution(range(len(spec)))
    is_log = spec.get("scale") == "log"
    if spec.get("whole"):
        return IntDistribution(int(spec["low"]), int(spec["high"]), log=is_log)
    return FloatDistribution(float(spec["low"]), float(spec["high"]), log=is_log)


def _point(space: Optuna, drawn: Mapping[str, Any]) -> Point:
    return {key: spec[drawn[key]] if isinstance(spec, list) else drawn[key] for key, spec in space.parameters.items()}
