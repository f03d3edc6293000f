"""What the checks of outputs warn about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import polars as pl
import pytest

from ml4t_backtest import PolarsDataFeed
from ml4t_backtest.data.data_quality import FindingCode
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.pipeline.output_checks import bars_drift, findings_outcome, run_drift, traded

BARS = pl.DataFrame(
    {"timestamp": [datetime(2024, 1, day, 21, tzinfo=UTC) for day in (2, 3, 4)], "symbol": ["A"] * 3},
    schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
)
RUN = {"config_hash": "same", "total_return": 0.10, "num_trades": 100}


def test_bars_that_are_gone_are_counted_and_the_first_is_named() -> None:
    found = bars_drift(BARS, BARS[2:])
    assert (found.passed, found.violations, found.is_warning) == (False, 2, True)
    assert found.text == "2 of 3 bars are gone; first: A 2024-01-02T21:00:00+00:00"


@pytest.mark.parametrize(("before", "text"), [(None, "nothing was prepared before"), (BARS[:1], "+2 bars")])
def test_bars_that_are_new_are_no_drift(before: pl.DataFrame | None, text: str) -> None:
    found = bars_drift(before, BARS)
    assert (found.passed, found.text) == (True, text)


@pytest.mark.parametrize(
    ("now", "drifted"),
    [
        ({"total_return": 0.149}, False),
        ({"total_return": 0.151}, True),
        ({"total_return": 0.049}, True),
        ({"num_trades": 120}, False),
        ({"num_trades": 121}, True),
        ({"num_trades": 79}, True),
        ({"total_return": 0.9, "config_hash": "another"}, False),
    ],
)
def test_a_run_drifts_by_five_points_of_return_or_a_fifth_of_its_trades(now: dict[str, Any], drifted: bool) -> None:
    found = run_drift(RUN, RUN | now)
    assert (found.passed, found.is_warning) == (not drifted, True)


def test_the_first_run_has_nothing_to_drift_from() -> None:
    assert run_drift(None, RUN).passed


def test_a_run_without_trades_is_a_warning() -> None:
    assert (traded(pl.DataFrame()).passed, traded(pl.DataFrame()).is_warning) == (False, True)
    assert traded(pl.DataFrame({"trade_id": [1]})).passed


def test_what_was_found_in_data_fails_with_its_counts_and_examples() -> None:
    # The price of S0000 stands still from the sixth bar on.
    bars = random_bars(2, 60).drop(pl.selectors.starts_with("prediction", "decision"))
    frozen = bars.filter(symbol="S0000").row(5, named=True)
    still = (pl.col("symbol") == "S0000") & (pl.col("timestamp") >= frozen["timestamp"])
    names = ("open", "high", "low", "close", "volume")
    bars = bars.with_columns(pl.when(still).then(pl.lit(frozen[name])).otherwise(name).alias(name) for name in names)
    feed = PolarsDataFeed(bars, validation="paranoid", accept=get_args(FindingCode))
    found = findings_outcome("asset_data", "paranoid", feed.data_quality, bars.height)
    assert (found.passed, found.is_warning) == (False, True)
    # Of its 60 bars all but the first five and the last repeat in a later one.
    assert found.text.startswith("DQ-REPEAT: 54 in 1 symbol; ")
    assert found.violations == 54
