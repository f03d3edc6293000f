"""A sweep in a few lines, for a person at a terminal."""

from __future__ import annotations

import json

import polars as pl

from ml4t_backtest.reporting.formats import percent, ratio
from ml4t_backtest.reporting.metrics import sharpe_ratio
from ml4t_backtest.sweep.honesty import honesty_of
from ml4t_backtest.sweep.run import SweepResult
from ml4t_backtest.sweep.selection import total_return

COLUMNS = ("chosen", "objective", "tested", "values")
_SHOWN = 10


def summary_rows(result: SweepResult) -> list[list[str]]:
    """Return what was chosen: the best variants, or with splits the one of each fold and what became of it."""
    return _fold_rows(result) if result.folds else _best_rows(result)


def summary_lines(result: SweepResult) -> list[str]:
    """Return how much was tried, what failed, and what the tests in a row earned."""
    failed = result.trials.filter(pl.col("status") == "failed")
    lines = [repr(result)]
    honesty = honesty_of(result)
    if honesty is not None:
        where = "out of sample" if result.folds else "the best, chosen with hindsight"
        returns = honesty.returns
        sharpe = ratio(sharpe_ratio(returns))
        lines.append(f"{where}: {percent(total_return(returns))} in {len(returns)} sessions, Sharpe {sharpe}")
        lines += [f"{label}: {value} ({meaning})" for label, value, meaning in honesty.told()]
    lines += [f"failed  {error}" for error in failed["error"].unique(maintain_order=True).head(_SHOWN)]
    return lines


def told_values(result: SweepResult, variant: int) -> str:
    """Return what a variant's parameters are, by the last part of their keys."""
    parameters = result.sweep.variants[variant].parameters
    return ", ".join(f"{key.split('.')[-1]} {json.dumps(value)}" for key, value in parameters.items())


def _best_rows(result: SweepResult) -> list[list[str]]:
    best = result.ranking[:_SHOWN]
    return [[str(variant), ratio(score), "", told_values(result, variant)] for variant, score in best]


def _fold_rows(result: SweepResult) -> list[list[str]]:
    chosen = result.judgement.scores.filter("is_chosen")
    columns = chosen.select("fold", "variant", "in_sample", "out_of_sample").iter_rows()
    return [
        [fold, ratio(inside), ratio(outside), told_values(result, number)] for fold, number, inside, outside in columns
    ]
