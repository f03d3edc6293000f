"""How long an account on credit can be left alone.

Between fills positions and cash are constant. Over some slices ahead the account is therefore never worse off than with
every long position at its lowest close and every short one at its highest. Where that leaves it clear of a margin call,
nobody has to value it slice by slice; where it may not, each slice is looked at as it comes.
"""

from __future__ import annotations

import sys

import numpy as np

from ml4t_backtest.core.chunk import Floats
from ml4t_backtest.core.market import Market
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.portfolio.ledger import Ledger

# Until something changes.
_ALWAYS = sys.maxsize
# How many slices are looked over at once: few after a change, more while it stays calm.
_FEWEST, _MOST, _GROWTH = 4, 4096, 4
# Of all that is added up: far more than rounding can come to, far less than anybody's margin.
_ROUNDING = 1e-9


class Watch:
    """Says when an account must be looked at again, as long as nobody trades."""

    def __init__(self, market: Market, ledger: Ledger, account: Account) -> None:
        self._market = market
        self._ledger = ledger
        self._account = account
        self._slices = _FEWEST
        # Up to where it is calm, and how often the ledger had changed when that was found.
        self._until, self._changes = 0, 0

    def enter(self) -> None:
        """Begin a chunk."""
        self._until, self._slices = 0, _FEWEST

    def calm_until(self) -> int:
        """Return the first slice of the chunk at whose close something may have to be closed: the present one or later.

        The closes of the present slice are the last prices. What is returned holds until cash or holdings change.
        """
        if not (self._account.allows_short or self._ledger.is_overdrawn):
            return _ALWAYS
        now = self._market.index
        if self._changes != self._ledger.changes:
            self._slices = _FEWEST
        elif now < self._until:
            return self._until
        # What waits to be paid is priced only where the least that can be left of the cash is not enough.
        self._until = self._calm_with(self._ledger.least_cash)
        if self._until <= now:
            self._until = self._calm_with(self._ledger.cash)
        self._changes = self._ledger.changes
        return self._until

    def _calm_with(self, cash: float) -> int:
        held, now, chunk = self._ledger.quantities, self._market.index, self._market.chunk
        if self._account.excess(cash, 0.0, 0.0) > 0.0 and not np.minimum.reduce(held, initial=0.0) < 0.0:
            return _ALWAYS
        # A symbol that is not held may have no price yet.
        marks = np.where(held == 0.0, 0.0, self._market.marks())
        end = min(now + 1 + self._slices, chunk.num_slices)
        if self._is_clear(cash, held, *self._extremes(marks, now + 1, end)):
            self._slices = min(_GROWTH * self._slices, _MOST)
            return end
        self._slices = _FEWEST
        return now + 1 if self._is_clear(cash, held, marks, marks) else now

    def _extremes(self, marks: Floats, first: int, end: int) -> tuple[Floats, Floats]:
        """Return per symbol its lowest and its highest last price from now on to the end of some slices."""
        chunk, lows, highs = self._market.chunk, marks.copy(), marks.copy()
        rows = slice(chunk.first_rows[first], chunk.first_rows[end])
        symbol_ids, closes = chunk.symbol_ids[rows], chunk.prices["close"][rows]
        np.minimum.at(lows, symbol_ids, closes)
        np.maximum.at(highs, symbol_ids, closes)
        return lows, highs

    def _is_clear(self, cash: float, held: Floats, lows: Floats, highs: Floats) -> bool:
        """Return whether the account is clear of a margin call at the worst of the prices that are possible."""
        longs = float(np.add.reduce(np.maximum(held, 0.0) * lows))
        shorts = float(np.add.reduce(np.maximum(-held, 0.0) * highs))
        return self._account.excess(cash, longs, shorts) > _ROUNDING * (abs(cash) + longs + shorts)
