"""What was to be seen when trades were decided, entered and left.

During the run, records keep row numbers only. At the end of a chunk the rows they point to are gathered in one step;
at the end of the run they are joined to the trades as `decision_NAME`, `entry_NAME` and `exit_NAME`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.fill import Fill, LedgerEvent
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.core.orders import Order
from ml4t_backtest.execution.trade_tracker import REFERENCES

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
        self._bars: list[pl.DataFrame] = []
        self._contexts: dict[int, dict[str, Any]] = {}

    def keep(self, chunk: Chunk, first_row: int, orders: Sequence[Order], events: Sequence[LedgerEvent]) -> None:
        """Gather the rows of a chunk that its new orders and its fills point to."""
        fills = [event for event in events if isinstance(event, Fill)]
        pointed = [order.decision_row for order in orders] + [fill.row for fill in fills]
        rows = np.unique([row for row in pointed if row >= first_row]).astype(np.int64)
        if self._columns and rows.size:
            bars = chunk.frame.select(*self._columns, *self._known)[rows - first_row]
            self._bars.append(bars.insert_column(0, pl.Series(_ROW, rows)))
        if self._context_columns:
            stamps = [order.decision_slice for order in orders] + [event.timestamp for event in events]
            for stamp in stamps:
                index = int(np.searchsorted(chunk.timestamps, stamp))
                self._contexts[stamp] = chunk.context_at(index)

    def complete(self, trades: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
        """Return trades with symbols by name, the columns of the schema, and what was to be seen at each moment."""
        names = pl.Series(symbols, dtype=pl.String)
        trades = trades.with_columns(names.gather(trades["symbol_id"]).alias("symbol"))
        published = [*schemas.trades_schema().columns]
        trades = trades.select(*published, *REFERENCES).with_columns(pl.col("trade_id").cast(pl.Int64))
        for moment, row in (("decision", "decision_row"), ("entry", "entry_row"), ("exit", "exit_row")):
            trades = self._join_bars(trades, moment, row)
        stamp = pl.from_epoch("decision_slice", time_unit="us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)
        trades = trades.with_columns(stamp)
        for moment, at in (("decision", "decision_slice"), ("entry", "entry_timestamp"), ("exit", "exit_timestamp")):
            trades = self._join_context(trades, moment, at)
        return trades.drop(REFERENCES)

    def median_lag_hours(self, fills: Sequence[Fill]) -> float | None:
        """Return the median time from the newest signal a decision saw to its fill; None where there is none."""
        if not self._known:
            return None
        known = self._all_bars().select(_ROW, pl.max_horizontal(self._known).alias("known"))
        schema = {_ROW: pl.Int64, "filled": pl.Int64}
        pairs = pl.DataFrame([(fill.decision_row, fill.instant) for fill in fills], schema=schema, orient="row")
        lags = pairs.join(known, on=_ROW, how="inner", maintain_order="left")
        hours = lags.select((pl.col("filled") - pl.col("known").cast(pl.Int64)) / _MICROSECONDS_PER_HOUR)
        median = hours.to_series().drop_nulls().median()
        return float(median) if isinstance(median, float) else None

    def _all_bars(self) -> pl.DataFrame:
        if self._bars:
            return pl.concat(self._bars).unique(_ROW, keep="first", maintain_order=True)
        types = dict.fromkeys(self._columns, pl.Float64) | dict.fromkeys(self._known, UTC_MICROSECONDS)
        return pl.DataFrame(schema={_ROW: pl.Int64, **types})

    def _join_bars(self, trades: pl.DataFrame, moment: str, row: str) -> pl.DataFrame:
        if not self._columns:
            return trades
        bars = self._all_bars().select(_ROW, *self._columns)
        shown = bars.rename({name: f"{moment}_{name}" for name in self._columns})
        return trades.join(shown, left_on=row, right_on=_ROW, how="left", maintain_order="left")

    def _join_context(self, trades: pl.DataFrame, moment: str, at: str) -> pl.DataFrame:
        if not self._context_columns:
            return trades
        columns = {name: [context.get(name) for context in self._contexts.values()] for name in self._context_columns}
        stamps = pl.Series(_SLICE, list(self._contexts), dtype=pl.Int64).cast(pl.Datetime("us"))
        contexts = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).insert_column(
            0, stamps.dt.replace_time_zone("UTC")
        )
        shown = contexts.rename({name: f"{moment}_{name}" for name in self._context_columns})
        return trades.join(shown, left_on=at, right_on=_SLICE, how="left", maintain_order="left")
