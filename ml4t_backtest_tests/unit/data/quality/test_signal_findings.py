"""What signals show beside their bars."""

from __future__ import annotations

import polars as pl
import pytest

from ml4t_backtest import DataPreparer
from ml4t_backtest.data.synthetic import random_bars

BARS = random_bars(2, 100).select("timestamp", "symbol", "open", "high", "low", "close", "volume")
SESSIONS = BARS["timestamp"].unique().sort()


def found(bars: pl.DataFrame, signals: pl.DataFrame) -> list[str]:
    preparer = DataPreparer().add_prices(bars, freq="1d").add_signals(signals, valid_from="market_close")
    return preparer.prepare().source_quality["what"].to_list()


def test_predictions_of_a_longer_span_than_the_bars_are_no_doubt() -> None:
    scores = BARS.select("timestamp", "symbol", score=pl.lit(1.0))
    # 10 of 100 sessions have bars, and each of these has its predictions.
    assert found(BARS.filter(pl.col("timestamp") >= SESSIONS[90]), scores) == []


@pytest.mark.parametrize("shown", [0, 4])
def test_predictions_of_another_span_are_even_where_a_few_sessions_have_some(shown: int) -> None:
    """Of 10 sessions with bars `shown` have a prediction, of 90 predictions as many are about one of them."""
    about = SESSIONS[: 90 + shown]
    late = BARS.filter(pl.col("timestamp") >= SESSIONS[90])
    scores = BARS.filter(pl.col("timestamp").is_in(about.implode())).select("timestamp", "symbol", score=pl.lit(1.0))
    assert "DQ-MATCH" in found(late, scores)


def test_the_names_of_other_symbols_are_still_a_doubt() -> None:
    scores = BARS.select("timestamp", symbol=pl.col("symbol") + "x", score=pl.lit(1.0))
    assert "DQ-MATCH" in found(BARS, scores)
