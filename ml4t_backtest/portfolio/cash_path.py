"""How the cash went in a chunk: a pure function of what the journal says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml4t_backtest.core.chunk import Chunk, Floats
from ml4t_backtest.core.fill import CashFlow, JournalEntry
from ml4t_backtest.core.fill_table import FillTable, placed_events


def cash_over(chunk: Chunk, cash: float, entries: Sequence[JournalEntry], fills: FillTable) -> Floats:
    """Return the cash after each slice of a chunk, taken step by step as the ledger takes it: the same bits.

    Args:
        chunk: The chunk.
        cash: Cash before it.
        entries: What happened in it, in order.
        fills: The fills among the entries.
    """
    slices, paid, charged = fills.slice_index, fills.quantity * fills.price, fills.commission
    flows = [(place, entry) for place, entry in placed_events(entries) if isinstance(entry, CashFlow)]
    if flows:
        places, events = zip(*flows, strict=True)
        order = np.argsort(np.concatenate([fills.place, places]), kind="stable")
        slices = np.concatenate([slices, [event.slice_index for event in events]])[order]
        paid = np.concatenate([paid, [-event.amount for event in events]])[order]
        charged = np.concatenate([charged, np.zeros(len(events))])[order]
    after = np.concatenate([[cash], cash_after(cash, paid, charged)])
    # What a slice ends with is what its last step, or one before it, left.
    last: Floats = after[np.searchsorted(slices, np.arange(chunk.num_slices), side="right")]
    return last


def cash_after(cash: float, paid: Floats, charged: Floats) -> Floats:
    """Return the cash after each step, what was paid and what was charged taken one after the other."""
    steps = np.empty(1 + 2 * len(paid))
    steps[0], steps[1::2], steps[2::2] = cash, paid, charged
    # `accumulate` goes from left to right, as the ledger does fill by fill: the same bits.
    after: Floats = np.subtract.accumulate(steps)[2::2]
    return after
