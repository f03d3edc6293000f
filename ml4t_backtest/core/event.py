"""What a per-symbol strategy is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """One bar of one symbol, complete and known at `timestamp`.

    Attributes:
        timestamp: Close of the bar, UTC.
        symbol: Instrument.
        data: open, high, low, close (account currency per share) and volume (shares).
        signals: Signal name -> value known at the decision (None where there is none); NAME_is_new tells whether
            this is the first bar that shows it.
        indicators: Indicator name -> value, from prices up to this bar.
        context: Context name -> value known at the decision.
    """

    timestamp: datetime
    symbol: str
    data: Mapping[str, float]
    signals: Mapping[str, Any]
    indicators: Mapping[str, float | None]
    context: Mapping[str, Any]

    @property
    def open(self) -> float:
        """First price of the bar."""
        return self.data["open"]

    @property
    def high(self) -> float:
        """Highest price of the bar."""
        return self.data["high"]

    @property
    def low(self) -> float:
        """Lowest price of the bar."""
        return self.data["low"]

    @property
    def close(self) -> float:
        """Last price of the bar."""
        return self.data["close"]

    @property
    def volume(self) -> float:
        """Shares traded in the bar."""
        return self.data["volume"]

    def __repr__(self) -> str:
        return f"MarketEvent({self.symbol} {self.timestamp:%Y-%m-%d %H:%M} close={self.close:g} {dict(self.signals)})"
