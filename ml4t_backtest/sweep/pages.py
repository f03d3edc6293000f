"""A sweep as figures and Markdown, for a page that shows Markdown, and how far it is, for a log that is read."""

from __future__ import annotations

import polars as pl

from ml4t_backtest.pipeline.pages import markdown_table, picture, sparkline
from ml4t_backtest.reporting.metrics import SESSIONS_PER_YEAR, sharpe_ratio
from ml4t_backtest.sweep.honesty import Honesty, honesty_of
from ml4t_backtest.sweep.run import Progress, SweepResult
from ml4t_backtest.sweep.selection import growth, total_return
from ml4t_backtest.sweep.summary import COLUMNS, summary_rows

_WHOLE = 100


def sweep_figures(result: SweepResult) -> dict[str, float]:
    """Return how much was tried and what it is worth, by name; what cannot be said is left out.

    With splits return and Sharpe ratio are those of the tests in a row, else those of the best, with hindsight.
    """
    failed = result.trials.filter(pl.col("status") == "failed").height
    counts = {"variants": len(result.sweep.variants), "trials": result.trials.height, "failed": failed}
    honesty = honesty_of(result)
    figures = {**counts, "run_now": result.rerun, **({} if honesty is None else _worth(honesty))}
    return {name: value for name, value in figures.items() if value is not None}


def sweep_pages(result: SweepResult) -> dict[str, str]:
    """Return what to look at of a sweep, title to Markdown."""
    pages = {"chosen": markdown_table(COLUMNS, summary_rows(result))}
    honesty = honesty_of(result)
    if honesty is None:
        return pages
    title = "tests in a row" if result.folds else "the best, with hindsight"
    worth = markdown_table(("", "", "meaning"), honesty.told())
    return {"what it is worth": worth, title: picture(sparkline([1.0, *growth(honesty.returns)]), title), **pages}


def at_each_percent(tell: Progress) -> Progress:
    """Return a progress that is told when another whole percent is done, so that the log of a long sweep stays short.

    >>> heard = []
    >>> progress = at_each_percent(lambda done, total: heard.append(done))
    >>> for done in range(1001):
    ...     progress(done, 1000)
    >>> len(heard), heard[:3], heard[-1]
    (101, [0, 10, 20], 1000)
    """
    last = -1

    def told(done: int, total: int) -> None:
        nonlocal last
        percent = _WHOLE * done // total
        if percent > last:
            last = percent
            tell(done, total)

    return told


def _worth(honesty: Honesty) -> dict[str, float | None]:
    track, pbo = honesty.track_record, honesty.overfitting
    return {
        "total_return": total_return(honesty.returns),
        "sharpe_ratio": sharpe_ratio(honesty.returns),
        "variants_tried": honesty.tried,
        "deflated_sharpe_ratio": honesty.deflated,
        "probability_of_skill": honesty.probability_of_skill,
        "probability_of_overfitting": None if pbo is None else pbo.probability,
        "minimum_track_record_years": None if track is None else track / SESSIONS_PER_YEAR,
    }
