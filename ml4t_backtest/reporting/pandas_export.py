"""Results as pandas objects, made when somebody asks: all tables, and what quantstats and pyfolio-reloaded take.

Nothing here is imported with the package; pandas needs pyarrow to take over Polars frames (`pip install pyarrow`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.data.sources import collect
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.reporting.benchmark import benchmark_level

if TYPE_CHECKING:
    import pandas as pd

    from ml4t_backtest.reporting.result import BacktestResult

# Of equity: what rounding may leave between positions put together from fills and those that were recorded.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class PyfolioInputs:
    """What pyfolio's tear sheets take.

    Attributes:
        returns: Daily returns, indexed by session at midnight UTC.
        positions: Market value per symbol and `cash`, by session; None where no bars were given.
        transactions: `amount` (negative for sells), `price` and `symbol` of every fill, by its instant.
    """

    returns: pd.Series
    positions: pd.DataFrame | None
    transactions: pd.DataFrame


def pandas_tables(result: BacktestResult) -> dict[str, pd.DataFrame]:
    """Return every table of a result as a pandas frame."""
    return {name: _to_pandas(frame) for name, frame in result.tables().items()}


def daily_series(result: BacktestResult, benchmark: str | None = None) -> pd.Series:
    """Return daily returns by session, as quantstats takes them (`quantstats.reports.html(daily_series(result))`).

    Args:
        result: What a run produced.
        benchmark: Context column with a level: its returns instead of the run's, for the argument `benchmark` there.

    Raises:
        ConfigError: There is no such column, or it holds no numbers.
    """
    sessions = result.daily_returns["session"]
    if benchmark is None:
        values, name = result.daily_returns["daily_return"].to_list(), "strategy"
    else:
        level = benchmark_level(result.daily_returns, benchmark)
        values, name = [None, *(_growth(before, now) for before, now in pairwise(level))][: len(level)], benchmark
    frame = pl.DataFrame({"session": sessions.cast(pl.Datetime("us")), name: pl.Series(values, dtype=pl.Float64)})
    return _to_pandas(frame.drop_nulls()).set_index("session")[name]


def pyfolio_inputs(result: BacktestResult, bars: pl.DataFrame | pl.LazyFrame | None = None) -> PyfolioInputs:
    """Return what pyfolio's tear sheets take.

    Args:
        result: What a run produced.
        bars: What it ran over (`timestamp`, `symbol`, `close`), for the positions.

    Raises:
        BacktestError: Positions put together from the fills are not those of the run: a split changed them.
    """
    returns = daily_series(result)
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    traded = result.fills.select(
        pl.col("fill_instant").alias("date"),
        (sign * pl.col("quantity")).alias("amount"),
        "price",
        pl.col("symbol").cast(pl.String),
    )
    return PyfolioInputs(
        returns=returns.tz_localize("UTC"),
        positions=None if bars is None else _positions(result, bars),
        transactions=_to_pandas(traded).set_index("date"),
    )


def _positions(result: BacktestResult, bars: pl.DataFrame | pl.LazyFrame) -> pd.DataFrame:
    """Return market values at the end of sessions: shares held x the last close so far."""
    ends = result.daily_returns.select("timestamp", "session").sort("timestamp")
    symbols = result.fills["symbol"].cast(pl.String).unique().sort().to_list()
    closes = collect(
        bars.lazy()
        .select("timestamp", pl.col("symbol").cast(pl.String), pl.col("close").cast(pl.Float64))
        .filter(pl.col("symbol").is_in(symbols))
    ).sort("timestamp")
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    fills = result.fills.select(
        "timestamp", pl.col("symbol").cast(pl.String), (sign * pl.col("quantity")).alias("quantity")
    )
    values = {}
    for symbol in symbols:
        held = fills.filter(pl.col("symbol") == symbol).with_columns(pl.col("quantity").cum_sum())
        marked = ends.join_asof(held.select("timestamp", "quantity"), on="timestamp").join_asof(
            closes.filter(pl.col("symbol") == symbol).select("timestamp", "close"), on="timestamp"
        )
        values[symbol] = marked.select((pl.col("quantity") * pl.col("close")).fill_null(0.0)).to_series()
    cash = ends.join_asof(result.portfolio_states.select("timestamp", "cash", "positions_value"), on="timestamp")
    frame = ends.select("session").with_columns(**values, cash=cash["cash"])
    _require_recorded(frame, symbols, cash["positions_value"], result)
    return _to_pandas(frame.with_columns(pl.col("session").cast(pl.Datetime("us", "UTC")))).set_index("session")


def _require_recorded(frame: pl.DataFrame, symbols: list[str], recorded: pl.Series, result: BacktestResult) -> None:
    together = frame.select(pl.sum_horizontal(symbols).alias("value")).to_series() if symbols else recorded * 0.0
    differing = (together - recorded).abs() > _TOLERANCE * max(1.0, result.initial_capital)
    if differing.any():
        first = frame["session"].filter(differing)[0]
        raise BacktestError(
            f"positions put together from fills are not those of the run from {first} on: a split, or a position that "
            "was settled, changed them; leave out `bars` for returns and transactions alone"
        )


def _growth(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now / before - 1.0


def _to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    try:
        return frame.to_pandas()
    except ModuleNotFoundError as error:
        raise BacktestError("pandas takes over Polars frames by way of pyarrow: pip install pyarrow") from error
