"""The fills of a chunk as columns: what records and trades are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ml4t_backtest.core.chunk import Chunk, Floats, Integers
from ml4t_backtest.core.fill import CashFlow, Doubt, Fill, JournalEntry, OpenFills, PlainFills, SplitEvent
from ml4t_backtest.core.record_schemas import EXIT_REASONS, FILL_PHASES

PHASE_CODES = {phase: code for code, phase in enumerate(FILL_PHASES)}
REASON_CODES = {reason: code for code, reason in enumerate(EXIT_REASONS)}
_AT_OPEN, _BY_SIGNAL = PHASE_CODES["open"], REASON_CODES["signal"]
_INTEGERS = (
    "fill_id",
    "order_id",
    "position_id",
    "symbol_id",
    "slice_index",
    "timestamp",
    "instant",
    "row",
    "decided",
    "decision_slice",
    "decision_row",
)
_FLOATS = ("quantity", "before", "raw_price", "price", "commission", "slippage")


@dataclass(frozen=True)
class FillTable:
    """Fills in the order they happened; a column is what the field of `Fill` is, with these exceptions.

    Attributes:
        first_row: Number of rows of all chunks before, by which rows of the run and of the chunk differ.
        place: Where among all entries of the journal it stands.
        phase: Index in FILL_PHASES.
        exit_reason: Index in EXIT_REASONS.
        stop_loss: NaN for none.
        take_profit: NaN for none.
        is_plain: Whether it filled a plain market order whole, of which nothing else is on record.
    """

    first_row: int
    place: Integers
    fill_id: Integers
    order_id: Integers
    position_id: Integers
    symbol_id: Integers
    slice_index: Integers
    timestamp: Integers
    instant: Integers
    phase: Integers
    row: Integers
    decided: Integers
    decision_slice: Integers
    decision_row: Integers
    quantity: Floats
    before: Floats
    raw_price: Floats
    price: Floats
    commission: Floats
    slippage: Floats
    exit_reason: Integers
    stop_loss: Floats
    take_profit: Floats
    is_plain: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.fill_id)

    def part(self, which: Integers) -> FillTable:
        """Return some of the fills."""
        return FillTable(self.first_row, **{name: getattr(self, name)[which] for name in _COLUMNS})

    def followed_by(self, later: FillTable) -> FillTable:
        """Return these fills and those of a later chunk, as a table of that chunk."""
        columns = {name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in _COLUMNS}
        return FillTable(later.first_row, **columns)

    def fill(self, index: int) -> Fill:
        """Return one fill as an object."""
        same = {name: getattr(self, name).item(index) for name in (*_INTEGERS, *_FLOATS)}
        stop, target = self.stop_loss.item(index), self.take_profit.item(index)
        return Fill(
            **same,
            phase=FILL_PHASES[self.phase.item(index)],  # type: ignore[arg-type]
            exit_reason=EXIT_REASONS[self.exit_reason.item(index)],
            stop_loss=None if stop != stop else stop,
            take_profit=None if target != target else target,
        )


_COLUMNS = tuple(field.name for field in fields(FillTable) if field.name != "first_row")


def no_fills() -> FillTable:
    """Return a table without rows."""
    return FillTable(0, place=np.empty(0, dtype=np.int64), **_of_singles([]))


def fill_table(entries: Sequence[JournalEntry], chunk: Chunk, first_row: int) -> FillTable:
    """Return the fills among the entries of a chunk's journal.

    Args:
        entries: What happened, in order.
        chunk: The chunk it happened in.
        first_row: Number of rows before it in the run.
    """
    parts = list(_parts(entries, chunk, first_row)) or [_of_singles([])]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return FillTable(first_row, place=_places(entries), **joined)


def _parts(entries: Sequence[JournalEntry], chunk: Chunk, first_row: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the columns of runs of plain and of single fills, in their order."""
    singles: list[Fill] = []
    for entry in entries:
        if isinstance(entry, Fill):
            singles.append(entry)
        elif isinstance(entry, OpenFills):
            if singles:
                yield _of_singles(singles)
                singles = []
            yield _of_plain(entry, chunk, first_row)
    if singles:
        yield _of_singles(singles)


def _of_plain(fills: OpenFills, chunk: Chunk, first_row: int) -> dict[str, npt.NDArray[Any]]:
    per_slice = np.array(fills.slices, dtype=np.int64)
    slices, decided, decision_slices = np.repeat(per_slice[:, :3], per_slice[:, 3], axis=0).T
    plain, total = PlainFills(*map(np.concatenate, zip(*fills.columns, strict=True))), len(slices)
    return {
        "fill_id": fills.first_fill_id + np.arange(total),
        "order_id": plain.order_ids,
        "position_id": plain.position_ids,
        "symbol_id": plain.symbol_ids,
        "slice_index": slices,
        "timestamp": chunk.timestamps[slices],
        "instant": chunk.opened[plain.rows],
        "phase": np.full(total, _AT_OPEN),
        "row": first_row + plain.rows,
        "decided": decided,
        "decision_slice": decision_slices,
        "decision_row": plain.decision_rows,
        "quantity": plain.quantities,
        "before": plain.before,
        "raw_price": plain.raw_prices,
        "price": plain.prices,
        "commission": plain.commissions,
        "slippage": np.abs(plain.prices - plain.raw_prices) * np.abs(plain.quantities),
        "exit_reason": np.full(total, _BY_SIGNAL),
        "stop_loss": np.full(total, np.nan),
        "take_profit": np.full(total, np.nan),
        "is_plain": np.ones(total, dtype=bool),
    }


def _of_singles(fills: Sequence[Fill]) -> dict[str, npt.NDArray[Any]]:
    whole = {name: np.array([getattr(fill, name) for fill in fills], dtype=np.int64) for name in _INTEGERS}
    floats = {name: np.array([getattr(fill, name) for fill in fills], dtype=np.float64) for name in _FLOATS}
    return (
        whole
        | floats
        | {
            "phase": np.array([PHASE_CODES[fill.phase] for fill in fills], dtype=np.int64),
            "exit_reason": np.array([REASON_CODES[fill.exit_reason] for fill in fills], dtype=np.int64),
            "stop_loss": np.array([fill.stop_loss for fill in fills], dtype=np.float64),
            "take_profit": np.array([fill.take_profit for fill in fills], dtype=np.float64),
            "is_plain": np.zeros(len(fills), dtype=bool),
        }
    )


def _places(entries: Sequence[JournalEntry]) -> Integers:
    """Return for every fill its place among all entries, each fill of a block counted."""
    widths = [len(entry) if isinstance(entry, OpenFills) else 1 for entry in entries]
    is_fill = [isinstance(entry, (Fill, OpenFills)) for entry in entries]
    return np.flatnonzero(np.repeat(np.array(is_fill, dtype=bool), widths))


def placed_events(entries: Sequence[JournalEntry]) -> list[tuple[int, SplitEvent | CashFlow | Doubt]]:
    """Return what happened besides fills, with its place among all entries."""
    place, events = 0, []
    for entry in entries:
        if isinstance(entry, (SplitEvent, CashFlow, Doubt)):
            events.append((place, entry))
        place += len(entry) if isinstance(entry, OpenFills) else 1
    return events
