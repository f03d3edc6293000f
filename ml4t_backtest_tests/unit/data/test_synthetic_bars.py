"""Made-up bars: the same every time, on real sessions, and fit for a feed as they are."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import ConfigError, PolarsDataFeed
from ml4t_backtest.core.schemas import asset_data_schema
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.data.validation import find_violations


@pytest.mark.parametrize("minutes", [False, True])
def test_bars_keep_every_rule_of_prepared_data(minutes: bool) -> None:
    bars = random_bars(3, 5, minutes=minutes, seed=1)
    assert find_violations(bars, asset_data_schema(("prediction",), ())) == []
    assert bars.select("timestamp", "symbol").equals(bars.select("timestamp", "symbol").sort("timestamp", "symbol"))


def test_the_seed_decides() -> None:
    assert_frame_equal(random_bars(2, 3, seed=7), random_bars(2, 3, seed=7), check_exact=True)
    assert not random_bars(2, 3, seed=7).equals(random_bars(2, 3, seed=8))


def test_daily_bars_close_with_their_session() -> None:
    bars = random_bars(1, 2)
    assert bars["timestamp"].dt.strftime("%Y-%m-%dT%H:%M").to_list() == ["2020-01-02T21:00", "2020-01-03T21:00"]
    assert bars["open_instant"].dt.strftime("%H:%M").to_list() == ["14:30", "14:30"]


def test_a_session_has_390_minutes_and_a_half_day_210() -> None:
    # 2020-01-02 is session 1, and 2020-11-27, the day after Thanksgiving, is session 230 of that year.
    bars = random_bars(1, 230, minutes=True)
    lengths = bars.group_by(pl.col("timestamp").dt.date(), maintain_order=True).len()["len"]
    assert lengths[0] == 390
    assert lengths[-1] == 210


def test_a_feed_takes_them_as_prepared() -> None:
    feed = PolarsDataFeed(random_bars(2, 4), signal_columns=["prediction"])
    assert len(feed) == 4
    assert feed.notes == ()


def test_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="a symbol and a session"):
        random_bars(0, 5)
