"""What a sweep's best result is worth, given how much was tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml4t_backtest.reporting.formats import MISSING, count, percent, ratio
from ml4t_backtest.reporting.metrics import SESSIONS_PER_YEAR, sharpe_ratio
from ml4t_backtest.reporting.sharpe_statistics import (
    SharpeEstimate,
    deflated_sharpe_ratio,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_estimate,
)
from ml4t_backtest.sweep.overfitting import BLOCKS, Overfitting, probability_of_overfitting
from ml4t_backtest.sweep.run import SweepResult

_FEWEST_BLOCKS = 4
# Blocks of a month at least: a Sharpe ratio of fewer sessions says nothing.
_SESSIONS_PER_BLOCK = 21


@dataclass(frozen=True)
class Honesty:
    """The figures.

    Attributes:
        returns: Daily returns that are judged: the tests in a row, or those of the best variant.
        tried: Variants that were ever tried on this data.
        probability_of_skill: Probability that the true Sharpe ratio is above 0, as if nothing else had been tried.
        deflated: The same, above what the best of so many variants would show without skill; None where only one of
            them shows how far they lie apart.
        track_record: Sessions after which a Sharpe ratio like this one would be above 0 with 95 %; None where it is not
            positive.
        overfitting: What choosing the best variant is worth; None where there are too few variants or sessions.
    """

    returns: Sequence[float]
    tried: int
    probability_of_skill: float | None
    deflated: float | None
    track_record: float | None
    overfitting: Overfitting | None

    def told(self) -> list[tuple[str, str, str]]:
        """Return label, value and meaning of each figure."""
        years = MISSING if self.track_record is None else ratio(self.track_record / SESSIONS_PER_YEAR)
        pbo = self.overfitting
        return [
            ("Variants tried", count(self.tried), "on this data, in all sweeps on record"),
            ("Deflated Sharpe ratio", percent(self.deflated), "probability of skill, given so many variants"),
            ("Probability of skill", percent(self.probability_of_skill), "had nothing else been tried"),
            (
                "Probability of overfitting",
                percent(None if pbo is None else pbo.probability),
                "how often the best in one half of time is below the median in the other; 50 % is blind choice",
            ),
            ("Minimum track record", f"{years} years", f"for 95 %; there are {ratio(self.years)}"),
        ]

    @property
    def years(self) -> float:
        """Length of the record, in years of 252 sessions."""
        return len(self.returns) / SESSIONS_PER_YEAR


def honesty_of(result: SweepResult) -> Honesty | None:
    """Return what the result of a sweep is worth; None where nothing was completed.

    With splits the tests in a row are judged; of several paths the one with the median Sharpe ratio. The number of
    variants and their spread are those of the ledger: other sweeps over the same data count.
    """
    returns = judged_returns(result)
    if not returns:
        return None
    estimate = sharpe_estimate(returns)
    return Honesty(
        returns,
        result.tried,
        None if estimate is None else probabilistic_sharpe_ratio(estimate),
        None if estimate is None else _deflated(result, estimate),
        None if estimate is None else minimum_track_record_length(estimate),
        _overfitting(result),
    )


def _deflated(result: SweepResult, estimate: SharpeEstimate) -> float | None:
    """Return the deflated Sharpe ratio; None where much was tried and the spread of all that is not known."""
    found = (sharpe_estimate(values) for _, values in result.distinct.values())
    spread = [*(each.sharpe for each in found if each is not None), *result.other_sharpes]
    if result.tried > 1 and len(spread) < 2:
        return None
    return deflated_sharpe_ratio(estimate, spread, float(result.tried))


def judged_returns(result: SweepResult) -> list[float]:
    """Return the daily returns that the sweep comes to; empty where there are none."""
    if not result.folds:
        best = next((variant for variant, score in result.ranking if score is not None), None)
        return [] if best is None else list(result.tested[best][1])
    paths = result.judgement.stitched.partition_by("path", maintain_order=True)
    histories = [path["daily_return"].to_list() for path in paths]
    ranked = sorted(histories, key=lambda values: (sharpe_ratio(values) or 0.0, len(values)))
    return ranked[(len(ranked) - 1) // 2] if ranked else []


def _overfitting(result: SweepResult) -> Overfitting | None:
    columns = [values for _, values in result.distinct.values()]
    sessions = min((len(values) for values in columns), default=0)
    if len(columns) < 2 or any(len(values) != sessions for values in columns):
        return None
    blocks = min(BLOCKS, sessions // _SESSIONS_PER_BLOCK // 2 * 2)
    if blocks < _FEWEST_BLOCKS:
        return None
    table = np.array(columns, dtype=np.float64).T
    return probability_of_overfitting(table, blocks=blocks) if math.isfinite(table.sum()) else None
