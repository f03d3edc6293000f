"""Orders that fill at the close they were decided at need signals and context that are known before it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestEngine, PolarsDataFeed, Strategy
from ml4t_backtest.errors import SignalTimingError

DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)]
# New York closes at 21:00 UTC in January.
BEFORE_CLOSE, CLOSE = datetime(2024, 1, 3, 20, 59, tzinfo=UTC), datetime(2024, 1, 3, 21, tzinfo=UTC)


class BuyOnce(Strategy):
    def on_market_data(self, event: Any) -> None:
        if not self.get_position(event.symbol):
            self.buy(event.symbol, quantity=1)


def bars() -> pl.DataFrame:
    prices = {name: [10.0, 11.0, 12.0] for name in ("open", "high", "low", "close")}
    return pl.DataFrame({"timestamp": DAYS, "symbol": ["A"] * 3, **prices, "volume": [1.0] * 3})


def engine_on(feed: PolarsDataFeed, **options: Any) -> BacktestEngine:
    return BacktestEngine(feed, BuyOnce(), fill_at="same_close", **options)


def signals_at(moment: datetime) -> pl.DataFrame:
    return pl.DataFrame({"timestamp": [DAYS[1]], "symbol": ["A"], "score": [1.0], "available_at": [moment]})


def test_a_signal_known_a_minute_before_the_close_is_fine() -> None:
    feed = PolarsDataFeed(
        bars(), signals_data=signals_at(BEFORE_CLOSE), signal_columns=["score"], bar_label="session", frequency="1d"
    )
    result = engine_on(feed).run()
    # Bought at the first close, 10, and noted; there was no signal yet.
    assert result.fills["raw_price"].to_list() == [10.0]
    assert "fill_at same_close: orders fill at the close they were decided at" in result.facts["notes"]


def test_a_signal_known_at_the_close_itself_is_refused_with_its_place() -> None:
    feed = PolarsDataFeed(
        bars(), signals_data=signals_at(CLOSE), signal_columns=["score"], bar_label="session", frequency="1d"
    )
    with pytest.raises(SignalTimingError, match="score fills at a close") as caught:
        engine_on(feed)
    (violation,) = caught.value.violations
    assert (violation.code, violation.column, violation.count) == ("E-SG-TIMING", "score_available_at", 1)
    assert violation.key == "A 2024-01-03 21:00:00+00:00"
    assert BacktestEngine(feed, BuyOnce()).run().fills["raw_price"].to_list() == [11.0]


def test_a_signal_that_says_nothing_about_its_time_counts_as_known_at_the_close() -> None:
    feed = PolarsDataFeed(bars().with_columns(score=1.0), signal_columns=["score"], bar_label="session", frequency="1d")
    with pytest.raises(SignalTimingError, match=r"\(3 found\)"):
        engine_on(feed)


@pytest.mark.parametrize(("rule", "refused"), [("market_close", True), ("market_open", False)])
def test_context_is_held_to_the_same(rule: str, refused: bool) -> None:
    context = pl.DataFrame({"timestamp": DAYS, "vix": [20.0, 21.0, 22.0]})
    feed = PolarsDataFeed(
        bars(),
        context_data=context,
        context_columns=["vix"],
        context_available_at=rule,
        bar_label="session",
        frequency="1d",
    )
    if refused:
        with pytest.raises(SignalTimingError, match="E-SG-TIMING context_data: vix"):
            engine_on(feed)
    else:
        assert engine_on(feed).run().fills.height == 1


def test_decisions_at_the_next_open_cannot_fill_at_the_close_before() -> None:
    feed = PolarsDataFeed(bars(), bar_label="session", frequency="1d", decide_at="next_open")
    with pytest.raises(SignalTimingError, match="decided on after it"):
        engine_on(feed)


def test_what_lies_outside_the_traded_span_does_not_matter() -> None:
    feed = PolarsDataFeed(
        bars(),
        signals_data=signals_at(CLOSE),
        signal_columns=["score"],
        bar_label="session",
        frequency="1d",
        end=DAYS[0],
    )
    assert engine_on(feed).run().fills["raw_price"].to_list() == [10.0]


def test_a_profile_that_fills_at_the_close_asks_the_same() -> None:
    feed = PolarsDataFeed(bars().with_columns(score=1.0), signal_columns=["score"], bar_label="session", frequency="1d")
    with pytest.raises(SignalTimingError):
        BacktestEngine(feed, BuyOnce(), profile="vectorbt@1.2")
    assert BacktestEngine(feed, BuyOnce(), profile="vectorbt@1.2", fill_at="next_open").run().fills.height == 1
