"""What was to be seen when trades were decided, entered and left.

During the run, records keep row numbers only. At the end of a chunk the rows they point to are gathered in one step;
at the end of the run they are looked up for the trades as `decision_NAME`, `entry_NAME` and `exit_NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.chunk import Chunk, Integers
from ml4t_backtest.core.fill_table import FillTable
from ml4t_backtest.core.instants import UTC_MICROSECONDS, instants
from ml4t_backtest.execution.round_trips import REFERENCES

_ROW = "row"
_SLICE = "slice"
_MICROSECONDS_PER_HOUR = 3_600_000_000


class SeenRows:
    """Bars and contexts that orders and fills point to."""

    def __init__(self, signals: Sequence[str], indicators: Sequence[str], context_columns: Sequence[str]) -> None:
        """Choose what is kept.

        Args:
            signals: Signal columns; when their values became known is kept too.
            indicators: Indicator columns.
            context_columns: Context columns.
        """
        self._columns = [*signals, *indicators]
        self._known = [f"{name}_available_at" for name in signals]
        self._context_columns = list(context_columns)
        numbers, moments = dict.fromkeys(self._columns, pl.Float64), dict.fromkeys(self._known, UTC_MICROSECONDS)
        self._bars = [pl.DataFrame(schema={_ROW: pl.Int64, **numbers, **moments})]
        self._contexts = [pl.DataFrame(schema={_SLICE: pl.Int64, **dict.fromkeys(context_columns, pl.Float64)})]

    def keep(self, chunk: Chunk, decision_rows: Sequence[int], fills: FillTable) -> None:
        """Gather the rows of a chunk that its new orders and its fills point to, and its contexts.

        Args:
            chunk: The chunk.
            decision_rows: Rows on which orders were decided that have not filled, counted over the run.
            fills: Its fills.
        """
        pointed = np.concatenate([np.array(decision_rows, dtype=np.int64), fills.decision_row, fills.row])
        if self._columns and len(pointed):
            rows = _marked(pointed - fills.first_row, len(chunk.symbol_ids))
            bars = chunk.frame.select(*self._columns, *self._known)[rows]
            self._bars.append(bars.insert_column(0, pl.Series(_ROW, rows + fills.first_row)))
        if self._context_columns and chunk.context is not None:
            contexts = chunk.context_frame(self._context_columns)
            self._contexts.append(contexts.insert_column(0, pl.Series(_SLICE, chunk.timestamps)))

    def complete(self, trades: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
        """Return trades with symbols by name, the columns of the schema, and what was to be seen at each moment."""
        names = pl.Series(symbols, dtype=pl.String)
        trades = trades.with_columns(names.gather(trades["symbol_id"]).alias("symbol"))
        published = [*schemas.trades_schema().columns]
        trades = trades.select(*published, *REFERENCES).with_columns(pl.col("trade_id").cast(pl.Int64))
        bars = pl.concat(self._bars).select(_ROW, *self._columns)
        for moment in ("decision", "entry", "exit"):
            trades = _with_shown(trades, moment, trades[f"{moment}_row"], bars)
        contexts = pl.concat(self._contexts)
        for moment, at in (("decision", "decision_slice"), ("entry", "entry_timestamp"), ("exit", "exit_timestamp")):
            stamps = trades[at] if trades[at].dtype == pl.Int64 else instants(trades[at])
            trades = _with_shown(trades, moment, stamps, contexts)
        return trades.drop(REFERENCES)

    def median_lag_hours(self, decision_rows: Integers, filled: pl.Series) -> float | None:
        """Return the median time from the newest signal a decision saw to its fill; None where there is none.

        Args:
            decision_rows: Per fill, the row of its decision, counted over the run.
            filled: Its instant, a datetime.
        """
        if not self._known:
            return None
        known = pl.concat(self._bars).select(_ROW, pl.max_horizontal(self._known).cast(pl.Int64).alias("known"))
        seen = known["known"].gather(_found(known[_ROW], pl.Series(decision_rows)))
        median = ((instants(filled) - seen) / _MICROSECONDS_PER_HOUR).drop_nulls().median()
        return float(median) if isinstance(median, float) else None


def _marked(places: Integers, number: int) -> Integers:
    """Return which of `number` places are named, ascending, each once; negative ones are none."""
    named = np.zeros(number, dtype=bool)
    named[places[places >= 0]] = True
    return np.flatnonzero(named)


def _found(keys: pl.Series, wanted: pl.Series) -> pl.Series:
    """Return where ascending keys hold what is wanted; null where they do not."""
    if keys.is_empty():
        return pl.repeat(None, len(wanted), dtype=pl.UInt32, eager=True)
    places = keys.search_sorted(wanted.fill_null(keys[0])).clip(0, len(keys) - 1)
    return pl.select(pl.when(keys.gather(places) == wanted).then(places)).to_series()


def _with_shown(trades: pl.DataFrame, moment: str, keys: pl.Series, values: pl.DataFrame) -> pl.DataFrame:
    """Add to trades what `values`, by its ascending first column, has for their keys."""
    if values.width == 1:
        return trades
    places = _found(values.to_series(0), keys)
    return trades.with_columns(
        column.gather(places).alias(f"{moment}_{column.name}") for column in values.get_columns()[1:]
    )
