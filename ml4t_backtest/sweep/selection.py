"""Choosing on one part of time and looking at another: what was best, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from ml4t_backtest.reporting.metrics import annual_return, max_drawdown, sharpe_ratio, sortino_ratio
from ml4t_backtest.sweep.schema import Objective
from ml4t_backtest.sweep.windows import DatedFold, Window

# Per variant and window, None for the whole span, its sessions and daily returns; nothing where the trial failed.
Returns = Mapping[tuple[int, Window | None], tuple[Sequence[date], Sequence[float]]]


def growth(returns: Sequence[float]) -> list[float]:
    """Return what 1 has become after each of returns in a row.

    What has fallen to 0 or below stays there: without that, two ruins would multiply to a gain.

    >>> growth([0.5, -0.5]), growth([-3.0, -3.0])
    ([1.5, 0.75], [-2.0, -2.0])
    """
    so_far, grown = 1.0, []
    for value in returns:
        so_far = so_far * (1.0 + value) if so_far > 0.0 else so_far
        grown.append(so_far)
    return grown


def total_return(returns: Sequence[float]) -> float:
    """Return the compound growth of returns in a row.

    >>> total_return([0.5, -0.5])
    -0.25
    """
    return growth(returns)[-1] - 1.0 if returns else 0.0


def calmar_ratio(returns: Sequence[float]) -> float | None:
    """Return the annual return over the deepest fall; None where there is no fall, or less than a month."""
    equity = [1.0, *growth(returns)]
    deepest, annual = max_drawdown(equity), annual_return(equity[-1], len(returns))
    return annual / -deepest if annual is not None and deepest < 0.0 else None


OBJECTIVES: Mapping[Objective, Callable[[Sequence[float]], float | None]] = {
    "sharpe_ratio": sharpe_ratio,
    "sortino_ratio": sortino_ratio,
    "calmar_ratio": calmar_ratio,
    "total_return": total_return,
}


@dataclass(frozen=True)
class Judgement:
    """What folds say of variants.

    Attributes:
        scores: One row per fold and variant: `fold, variant, in_sample, out_of_sample, is_chosen`.
        stitched: Daily returns of what was chosen, tests only: `path, fold, variant, session, daily_return`, by path
            and session. Where a session is tested in several folds, the first time belongs to path 1, the second to
            path 2, and so on: each path is one whole history.
    """

    scores: pl.DataFrame
    stitched: pl.DataFrame


def judge(folds: Sequence[DatedFold], variants: int, returns: Returns, objective: Objective) -> Judgement:
    """Choose the best variant of each fold by its training alone, and look at its tests.

    Of equal ones the first is chosen; a variant without a figure is never chosen. Where nothing can be chosen, a fold
    has no tests.

    Args:
        folds: Parts of time.
        variants: Number of variants.
        returns: What they earned.
        objective: Figure to choose by.
    """
    scores, stitched = [], []
    seen: Counter[Window] = Counter()
    for fold in folds:
        inside = [score(returns, variant, fold.train, objective) for variant in range(variants)]
        outside = [score(returns, variant, fold.test, objective) for variant in range(variants)]
        chosen = best_of(inside)
        for variant in range(variants):
            scores.append((fold.name, variant, inside[variant], outside[variant], variant == chosen))
        for window in fold.test:
            seen[window] += 1
            if chosen is not None and (earned := returns.get((chosen, window))) is not None:
                rows = zip(*earned, strict=True)
                stitched += [(seen[window], fold.name, chosen, session, value) for session, value in rows]
    return Judgement(
        pl.DataFrame(scores, schema=_SCORES, orient="row"),
        pl.DataFrame(stitched, schema=_STITCHED, orient="row").sort("path", "session", maintain_order=True),
    )


def returns_of(trials: pl.DataFrame) -> Returns:
    """Return sessions and daily returns of trials that were completed, by variant and window.

    Those of a ruined account end with its ruin, see `outlived`.

    Args:
        trials: Columns `variant, first_session, last_session, sessions, daily_returns`.
    """
    columns = ("variant", "first_session", "last_session", "sessions", "daily_returns")
    return {
        (variant, None if first is None else (first, last)): (sessions, [value or 0.0 for value in values])
        for variant, first, last, sessions, values in trials.select(columns).iter_rows()
    }


def outlived(returns: Returns) -> Returns:
    """Return the same where a ruined account goes on, with returns of 0, as long as another one in the same window.

    So that each session is there for all of them: a ruin is no reason not to compare.
    """
    longest: dict[Window | None, Sequence[date]] = {}
    for (_, window), (sessions, _) in returns.items():
        longest[window] = max(longest.get(window, ()), sessions, key=len)
    return {
        (variant, window): (longest[window], [*values, *[0.0] * (len(longest[window]) - len(values))])
        if _is_ruined(values) and longest[window][: len(sessions)] == sessions
        else (sessions, values)
        for (variant, window), (sessions, values) in returns.items()
    }


def best_of(scores: Sequence[float | None]) -> int | None:
    """Return the first of the greatest scores; None where there is none.

    >>> best_of([None, 1.0, 2.0, 2.0])
    2
    """
    known = [(score, -number) for number, score in enumerate(scores) if score is not None]
    return -max(known)[1] if known else None


def score(returns: Returns, variant: int, windows: Sequence[Window | None], objective: Objective) -> float | None:
    """Return the figure over windows in a row; None where one of them was not lived through."""
    parts = [returns.get((variant, window)) for window in windows]
    if any(part is None for part in parts):
        return None
    return OBJECTIVES[objective]([value for part in parts if part is not None for value in part[1]])


def _is_ruined(returns: Sequence[float]) -> bool:
    return bool(returns) and returns[-1] <= -1.0


_SCORES = {
    "fold": pl.String(),
    "variant": pl.Int64(),
    "in_sample": pl.Float64(),
    "out_of_sample": pl.Float64(),
    "is_chosen": pl.Boolean(),
}
_STITCHED = {
    "path": pl.Int64(),
    "fold": pl.String(),
    "variant": pl.Int64(),
    "session": pl.Date(),
    "daily_return": pl.Float64(),
}
