"""Positions that one fill opens and the next one closes, both at an open: their trades by arithmetic on columns.

Each column is the formula of `trade_tracker` for this case, term by term, so that it gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.chunk import Chunk, Integers
from ml4t_backtest.core.columns import coded
from ml4t_backtest.core.fill_table import PHASE_CODES, FillTable
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.core.record_schemas import EXIT_REASONS, SIDES, TRADE_STATUSES
from ml4t_backtest.execution.carried import Carried

# Where among the entries of the journal a trade's exit stands; only until the rows of a chunk are in order.
PLACE = "place"
INSTANTS = ("decision_timestamp", "entry_timestamp", "exit_decision_timestamp", "exit_timestamp")
# Beside the published columns: where the rows seen at decision, entry and exit stand in the run.
REFERENCES = ("decision_slice", "decision_row", "entry_row", "exit_row")
_PUBLISHED: dict[str, Any] = {name: column.dtype.type for name, column in schemas.trades_schema().columns.items()}
TRADE_TYPES: dict[str, Any] = (
    {PLACE: pl.Int64, "symbol_id": pl.Int64}
    | {name: kind for name, kind in _PUBLISHED.items() if name not in ("trade_id", "symbol")}
    | dict.fromkeys(REFERENCES, pl.Int64)
)
_MICROSECONDS_PER_DAY = 86_400_000_000
_AT_OPEN = PHASE_CODES["open"]


def plain_positions(fills: FillTable, touched: Sequence[int]) -> tuple[Integers, Integers, Integers]:
    """Return the fills that open such positions, aligned with these those that close them, and those left open.

    Where only fills change a position, the next one closes it if it is for as many shares, at the same open even.

    Args:
        fills: Fills in the order they happened.
        touched: Symbols to whose positions something else happened; none of theirs is such a position.
    """
    order = np.argsort(fills.symbol_id, kind="stable")
    symbol_ids, before, quantity = fills.symbol_id[order], fills.before[order], fills.quantity[order]
    plain = (fills.phase[order] == _AT_OPEN) & np.isnan(fills.stop_loss[order]) & np.isnan(fills.take_profit[order])
    if touched:
        plain &= ~np.isin(symbol_ids, touched)
    opens, same = plain & (before == 0.0), symbol_ids[1:] == symbol_ids[:-1]
    pair = opens[:-1] & plain[1:] & same & (quantity[1:] == -quantity[:-1])
    return order[:-1][pair], order[1:][pair], order[opens & np.append(~same, True)[: len(order)]]


def round_trip_rows(chunk: Chunk, begun: Carried, entered: Integers, left: Integers) -> pl.DataFrame:
    """Return the trades of positions that were opened and closed, types as TRADE_TYPES.

    Args:
        chunk: The chunk they were closed in.
        begun: Its fills and those before.
        entered: Which of them opened the positions.
        left: Aligned with these, which closed them.
    """
    fills = begun.fills
    quantity, entry_price, entry_raw = np.abs(fills.quantity[entered]), fills.price[entered], fills.raw_price[entered]
    side = np.sign(fills.quantity[entered])
    last = chunk.places(fills.row[left] - fills.first_row)
    highest, lowest = begun.extremes(chunk, entered, last)
    exit_raw = fills.raw_price[left]
    highest = np.maximum(np.maximum(highest, entry_raw), exit_raw)
    lowest = np.minimum(np.minimum(lowest, entry_raw), exit_raw)
    favorable = side * (np.where(side > 0.0, highest, lowest) / entry_raw - 1.0)
    adverse = side * (np.where(side > 0.0, lowest, highest) / entry_raw - 1.0)
    gross = side * (exit_raw - entry_raw) * quantity
    entry_costs = fills.commission[entered] + fills.slippage[entered]
    cost = entry_costs + fills.commission[left] + fills.slippage[left]
    net = gross - cost
    nothing, never = np.zeros(len(entered)), pl.repeat(None, len(entered), dtype=pl.Float64, eager=True)
    by_strategy = fills.exit_reason[left] == EXIT_REASONS.index("signal")
    columns = {
        PLACE: fills.place[left],
        "symbol_id": fills.symbol_id[entered],
        "position_id": fills.position_id[entered],
        "side": coded(np.where(side > 0.0, 0, 1), SIDES),
        "status": pl.repeat(TRADE_STATUSES[0], len(entered), dtype=pl.Enum(TRADE_STATUSES), eager=True),
        "decision_timestamp": fills.decided[entered],
        "entry_timestamp": fills.timestamp[entered],
        "entry_price": entry_price,
        "entry_quantity": quantity,
        "entry_commission": fills.commission[entered],
        "entry_slippage": fills.slippage[entered],
        "exit_decision_timestamp": pl.select(
            pl.when(pl.Series(by_strategy)).then(pl.Series(fills.decided[left]))
        ).to_series(),
        "exit_timestamp": fills.timestamp[left],
        "exit_price": fills.price[left],
        "exit_quantity": quantity,
        "exit_commission": fills.commission[left],
        "exit_slippage": fills.slippage[left],
        "exit_reason": coded(fills.exit_reason[left], EXIT_REASONS),
        "pnl_gross": gross,
        "dividends": nothing,
        "borrow_fees": nothing,
        "total_cost": cost,
        "pnl_net": net,
        "pnl_percent": net / (entry_price * quantity),
        "holding_period_bars": begun.bars[entered] + last - begun.first_places(chunk, entered),
        "holding_period_days": (fills.timestamp[left] - fills.timestamp[entered]) / _MICROSECONDS_PER_DAY,
        "stop_loss_level": never,
        "take_profit_level": never,
        "max_favorable_excursion": favorable * entry_raw * quantity,
        "max_adverse_excursion": adverse * entry_raw * quantity,
        "max_favorable_pct": favorable,
        "max_adverse_pct": adverse,
        "ambiguous_bar": np.zeros(len(entered), dtype=bool),
        "pnl_net_pessimistic": net,
        "pnl_net_optimistic": net,
        "decision_slice": fills.decision_slice[entered],
        "decision_row": fills.decision_row[entered],
        "entry_row": fills.row[entered],
        "exit_row": fills.row[left],
    }
    return with_datetimes(pl.DataFrame(columns))


def with_datetimes(trades: pl.DataFrame) -> pl.DataFrame:
    """Return trades with their instants as datetimes, columns in the order of TRADE_TYPES."""
    stamps = pl.from_epoch(pl.col(*INSTANTS), time_unit="us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)
    return trades.with_columns(stamps).select(*TRADE_TYPES)
