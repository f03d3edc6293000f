"""What the checks of outputs warn about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from ml4t_backtest import PolarsDataFeed, load_config
from ml4t_backtest.config import BacktestConfig
from ml4t_backtest.data.quality.data_quality import FindingCode
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.pipeline.output_checks import bars_drift, findings_outcome, freshness_outcome, run_drift, traded

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


def config_of(folder: Path, dataset: str = "", reporting: str = "") -> BacktestConfig:
    file = folder / "mine.yaml"
    file.write_text(
        f"data: {{source: {{name: mine, adjustment: none, prices: {{path: bars.parquet}}{dataset}}}}}\n"
        f"strategy: {{path: ml4t_backtest.strategy.library.BuyAndHold}}\nreporting: {{{reporting}}}\n"
    )
    return load_config(file)


def test_a_run_without_trades_is_a_warning_unless_none_are_allowed_for(tmp_path: Path) -> None:
    none, one = pl.DataFrame(), pl.DataFrame({"trade_id": [1]})
    config = config_of(tmp_path)
    assert (traded(config, none).passed, traded(config, none).is_warning) == (False, True)
    assert traded(config, one).passed
    allowed = traded(config_of(tmp_path, reporting="allow_no_trades: true"), none)
    assert (allowed.passed, allowed.text) == (True, "no trades: nothing was bought or sold")


@pytest.mark.parametrize(
    ("now", "allowed", "behind"),
    [
        # The newest bar is of Thursday, 4 January 2024; Friday's close is at 21:00 UTC and counts half an hour later.
        ("2024-01-05T21:29", 0, 0),
        ("2024-01-05T21:30", 0, 1),
        ("2024-01-08T20:00", 0, 1),
        ("2024-01-08T20:00", 1, 0),
        # Monday 15 January was a holiday: 5, 8, 9, 10, 11, 12 and 16 January.
        ("2024-01-16T23:00", 6, 7),
        ("2024-01-16T23:00", 7, 0),
    ],
)
def test_bars_are_late_by_the_sessions_that_closed_since(now: str, allowed: int, behind: int, tmp_path: Path) -> None:
    dataset = config_of(tmp_path, f", max_sessions_behind: {allowed}").dataset
    found = freshness_outcome(dataset, BARS, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found.passed, found.violations, found.is_warning) == (behind == 0, behind, True)
    if behind:
        assert found.text == (
            f"{behind} sessions of XNYS closed after the newest bar, 2024-01-04T21:00:00+00:00; "
            f"max_sessions_behind is {allowed}"
        )


def test_data_that_is_not_continued_is_not_asked_to_be_fresh(tmp_path: Path) -> None:
    found = freshness_outcome(config_of(tmp_path).dataset, BARS, datetime(2034, 1, 1, tzinfo=UTC))
    assert (found.passed, found.text) == (True, "not asked: the data set sets no max_sessions_behind")


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
