"""The summary says how old signals are when they are traded on."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestEngine, DataPreparer, PolarsDataFeed, Strategy
from ml4t_backtest.reporting.summary import summary_rows

DAYS = [date(2024, 1, day) for day in (8, 9, 10, 11, 12)]


class Follow(Strategy):
    """Buys a share whenever there is a new signal."""

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
        if asset_batch["signal_is_new"][0]:
            self.buy("A", 1)


@pytest.mark.parametrize(
    ("rule", "decide_at", "hours"),
    [
        # Closed at 16:00, filled at 9:30 the next session.
        ("market_close", "close", "17.50"),
        # Known at 9:30, decided on at 16:00, filled at 9:30 the next session.
        ("market_open", "close", "24.00"),
        ("next_day", "close", "24.00"),
        # Known at an open and filled there.
        ("market_open", "next_open", "0.00"),
        ("next_day", "next_open", "0.00"),
    ],
)
def test_the_summary_prints_the_median_time_from_known_to_fill(rule: Any, decide_at: Any, hours: str) -> None:
    prices = dict.fromkeys(("open", "high", "low", "close"), [10.0] * 5)
    bars = pl.DataFrame({"timestamp": DAYS, "symbol": ["A"] * 5, **prices, "volume": [1e4] * 5})
    signals = pl.DataFrame({"timestamp": DAYS[1:3], "symbol": ["A"] * 2, "signal": [1.0, 2.0]})
    preparer = DataPreparer(decide_at=decide_at).add_prices(bars, bar_label="session")
    prepared = preparer.add_signals(signals, valid_from=rule).prepare()
    result = BacktestEngine(PolarsDataFeed(prepared.asset_data, signal_columns=["signal"]), Follow()).run()
    assert dict(summary_rows(result))["Hours from signal known to fill, median"] == hours
