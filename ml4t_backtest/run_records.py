"""The records of a run: what happened in each chunk becomes columns at its end, and tables at the end of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml4t_backtest.core.chunk import Chunk, Floats
from ml4t_backtest.core.fill import CashFlow, JournalEntry, SplitEvent
from ml4t_backtest.core.fill_table import FillTable, fill_table, no_fills, placed_events
from ml4t_backtest.core.market import Market
from ml4t_backtest.execution.desk import Desk
from ml4t_backtest.execution.seen_rows import SeenRows
from ml4t_backtest.execution.trade_tracker import TradeTracker
from ml4t_backtest.portfolio.cash_path import cash_over
from ml4t_backtest.portfolio.state import StateFrequency, StateRecorder
from ml4t_backtest.portfolio.valuation import Changes, Paths, values_over
from ml4t_backtest.reporting import records


@dataclass(frozen=True, slots=True)
class Standing:
    """The account at the beginning of a chunk.

    Attributes:
        cash: Account currency.
        quantities: Signed shares held, by symbol id.
        marks: Last prices, by symbol id.
        first_slice: First slice of the chunk that is traded.
    """

    cash: float
    quantities: Floats
    marks: Floats
    first_slice: int


class RunRecords:
    """Collects the records of a run, chunk by chunk."""

    def __init__(
        self,
        market: Market,
        signals: Sequence[str],
        indicators: Sequence[str],
        context_columns: Sequence[str],
        initial_capital: float,
        state_frequency: StateFrequency,
    ) -> None:
        self._market = market
        self._context_columns = context_columns
        self._states = StateRecorder(initial_capital, state_frequency)
        self._tracker = TradeTracker(market.symbols)
        self._seen = SeenRows(signals, indicators, context_columns)
        self._fills = [records.fills_frame(no_fills(), market.symbols)]
        # Of each fill the row it was decided on, counted over the run.
        self._decision_rows = [no_fills().decision_row]
        self._flows: list[CashFlow] = []
        self._orders = [records.orders_frame([], no_fills(), market.symbols)]

    def read(
        self,
        chunk: Chunk,
        first_row: int,
        begin: Standing,
        desk: Desk,
    ) -> None:
        """Take in a chunk that was lived through.

        Args:
            chunk: The chunk.
            first_row: Number of rows before it in the run.
            begin: The account at its beginning.
            desk: Orders and journal.
        """
        entries = desk.take_entries()
        fills = fill_table(entries, chunk, first_row)
        ended, decision_rows = desk.book.take_records()
        if ended or len(fills):
            self._orders.append(records.orders_frame(ended, fills, self._market.symbols))
        if len(fills):
            self._fills.append(records.fills_frame(fills, self._market.symbols))
            self._decision_rows.append(fills.decision_row)
        self._tracker.read(chunk, entries, fills)
        self._seen.keep(chunk, decision_rows, fills)
        self._flows += [entry for entry in entries if isinstance(entry, CashFlow)]
        if begin.first_slice < chunk.num_slices:
            traded = chunk.tail(begin.first_slice)
            cash = cash_over(chunk, begin.cash, entries, fills)[begin.first_slice :]
            values = values_over(traded, self._paths(begin, entries, fills))
            self._states.record(traded, cash, values, self._context_columns)

    def tables(self, marks: dict[int, float], timestamp: int) -> dict[str, pl.DataFrame]:
        """Return the tables of a result by name.

        Args:
            marks: Last prices of what is still held, by symbol id.
            timestamp: Last slice.
        """
        symbols = self._market.symbols
        states, daily = self._states.frames(self._context_columns)
        return {
            "trades": self._seen.complete(self._tracker.frame(marks, timestamp), symbols),
            "fills": pl.concat(self._fills),
            "orders": pl.concat(self._orders).sort("order_id"),
            "cash_flows": records.cash_flows_frame(self._flows, symbols),
            "portfolio_states": states,
            "daily_returns": daily,
        }

    def median_lag_hours(self) -> float | None:
        """Return the median time from the newest signal a decision saw to its fill; None where there is none."""
        filled = pl.concat(fills["fill_instant"] for fills in self._fills)
        return self._seen.median_lag_hours(np.concatenate(self._decision_rows), filled)

    def _paths(self, begin: Standing, entries: Sequence[JournalEntry], fills: FillTable) -> Paths:
        """Return how the holdings of a chunk went."""
        splits = [(place, event) for place, event in placed_events(entries) if isinstance(event, SplitEvent)]
        changes = _changes(fills, splits)
        quantities, marks = (
            np.append(column, np.full(len(self._market.symbols) - len(column), missing))
            for column, missing in ((begin.quantities, 0.0), (begin.marks, np.nan))
        )
        concerned = quantities != 0.0
        concerned[changes.symbol_ids] = True
        symbol_ids = np.flatnonzero(concerned)
        if not self._market.in_order:
            symbol_ids = np.array(sorted(symbol_ids.tolist(), key=self._market.symbols.__getitem__), dtype=np.int64)
        rescalings = [(split.slice_index, split.symbol_id, split.ratio) for _, split in splits]
        return Paths(
            symbol_ids, quantities[symbol_ids], marks[symbol_ids], changes, rescalings, first_slice=begin.first_slice
        )


def _changes(fills: FillTable, splits: Sequence[tuple[int, SplitEvent]]) -> Changes:
    """Return what was held of a symbol after each fill and split, in the order of the journal."""
    changes = Changes(fills.slice_index, fills.symbol_id, fills.before + fills.quantity)
    if not splits:
        return changes
    places, events = zip(*splits, strict=True)
    order = np.argsort(np.concatenate([fills.place, places]), kind="stable")
    return Changes(
        np.concatenate([changes.slices, [event.slice_index for event in events]])[order],
        np.concatenate([changes.symbol_ids, [event.symbol_id for event in events]])[order],
        np.concatenate([changes.quantities, [event.quantity for event in events]])[order],
    )
