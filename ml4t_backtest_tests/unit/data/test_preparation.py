"""Prepared in parts or at once: the same tables to the bit, the same refusals, nothing of the future in the past."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from one_answer import FIRST, SYMBOLS, tables
from polars.testing import assert_frame_equal

from ml4t_backtest import DataPreparer, SignalTimingError
from ml4t_backtest.data import preparation as preparation_module
from ml4t_backtest.data import scratch
from ml4t_backtest.data.prepared import PreparedData, publish_prepared, read_prepared
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.scratch import ROW, Workplace
from ml4t_backtest.data.store.storage import POINTER, Layout, current_version, publish, read_manifest, read_table

RAW = tables()
SIZES = (37, 300, 600)
# Every kind of state that a cut could lose: windows, recursions, sums, extremes over a past of any length.
INDICATORS = ["sma:30", "ema:12", "kama:10", "rsi:7", "macd", "atr:5", "obv", "sar", "bollinger:15", "adx:7", "roc:3"]
ACTIONS = pl.DataFrame(
    {
        "symbol": ["CCC", "AA"],
        "ex_date": [date(2024, 1, 30), date(2024, 2, 1)],
        "kind": ["split", "dividend"],
        "value": [2.0, 0.35],
    }
)
MEMBERS = pl.DataFrame(
    {"symbol": SYMBOLS, "start": [FIRST] * 5, "end": [None, None, date(2024, 1, 30), None, None]},
    schema_overrides={"end": pl.Date},
)


def preparer(prices: pl.DataFrame = RAW.prices, fast: pl.DataFrame = RAW.fast) -> DataPreparer:
    return (
        DataPreparer()
        .add_prices(prices, freq="10m")
        .add_signals(RAW.daily, freq="1d", valid_from="market_open", latency="7m")
        .add_signals(fast, names=["fast", "spread"], max_age="2d")
        .add_context(RAW.context, names=["fear"])
        .add_indicators(INDICATORS)
        .add_corporate_actions(ACTIONS, adjustment="none")
        .add_universe(MEMBERS)
    )


@pytest.fixture(scope="module")
def at_once() -> PreparedData:
    """Prepared as one group of symbols and one batch."""
    return preparer().prepare()


@pytest.fixture(params=SIZES)
def in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Hold so many rows at once: fewer than a symbol has, than two have, than all."""
    monkeypatch.setattr(scratch, "ROWS_AT_ONCE", request.param)
    return int(request.param)


def test_in_parts_the_same_tables_come_out_to_the_bit(in_parts: int, at_once: PreparedData) -> None:
    prepared = preparer().prepare()
    for name, table in at_once.tables().items():
        assert_frame_equal(prepared.tables()[name], table, check_exact=True)
    assert prepared.content_hash == at_once.content_hash
    assert prepared.asset_data["ema_12"].drop_nulls().len() > 800


def test_in_parts_the_same_version_is_published(in_parts: int, at_once: PreparedData, tmp_path: Path) -> None:
    own = preparer()
    files = own.validate_and_save(tmp_path / "bars", tmp_path / "context")
    months = [file for file in files.manifest.files if file.startswith("asset_data/")]
    assert (len(months) > 2) == (in_parts < RAW.prices.height)
    for name, table in at_once.tables().items():
        assert_frame_equal(read_prepared(tmp_path / "bars", tmp_path / "context").tables()[name], table)
    assert files.content_hash == at_once.content_hash
    facts = {"adjustment": "none", "calendar": "XNYS"}
    again = publish_prepared(
        at_once, tmp_path / "again", tmp_path / "context", inputs=files.manifest.inputs, facts=facts
    )
    assert again.facts["table_hashes"] == files.manifest.facts["table_hashes"]
    assert again.inputs == files.manifest.inputs


def test_the_future_changes_nothing_in_the_past_of_any_part(in_parts: int, at_once: PreparedData) -> None:
    """Prices and signals from January 31 on are others; up to then every prepared value stays as it was."""
    cut = datetime(2024, 1, 31, tzinfo=UTC)
    later = pl.col("timestamp") > cut
    prices = RAW.prices.with_columns(
        pl.when(later).then(pl.col(name) * 1.25).otherwise(name) for name in ("open", "high", "low", "close", "volume")
    )
    other = [pl.when(later).then(1.0 - pl.col(name)).otherwise(name).alias(name) for name in ("fast", "spread")]
    fast = RAW.fast.with_columns(other)
    changed = preparer(prices, fast).prepare().asset_data
    assert_frame_equal(changed.filter(~later), at_once.asset_data.filter(~later), check_exact=True)
    assert not changed.filter(later)["ema_12"].equals(at_once.asset_data.filter(later)["ema_12"])


def test_a_value_seen_too_early_is_refused_in_whatever_part(
    in_parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A join that shows the last bar of all a value of the day after: one bar of 939, in the last batch."""
    stamp, symbol = RAW.prices.select("timestamp", "symbol").row(-1)

    def leaking(bars: pl.DataFrame, sources: Any) -> pl.DataFrame:
        joined = join(bars, sources)
        last = (pl.col("timestamp") == stamp) & (pl.col("symbol") == symbol)
        moment = pl.when(last).then(pl.col("timestamp") + timedelta(days=1)).otherwise("fast_available_at")
        return joined.with_columns(moment.alias("fast_available_at"))

    join = preparation_module.join_signals
    monkeypatch.setattr(preparation_module, "join_signals", leaking)
    own = preparer()
    for attempt in (own.prepare, lambda: own.validate_and_save(tmp_path / "bars", tmp_path / "context")):
        with pytest.raises(SignalTimingError) as caught:
            attempt()
        (violation,) = caught.value.violations
        assert (violation.code, violation.count, violation.column) == ("E-SG-TIMING:fast", 1, "fast_available_at")
        assert violation.key == f"{symbol} {stamp.isoformat()}"
        assert violation.row == RAW.prices.height - 1
    # Nothing is published, not even the context, and nothing is left in between.
    assert not (tmp_path / "bars" / POINTER).exists()
    assert not (tmp_path / "context").exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_findings_do_not_depend_on_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spike of a symbol and a revised signal are told with the same words and the same row of the source."""
    row = pl.int_range(pl.len())
    spiked = RAW.prices.with_columns(close=pl.when(row == 500).then(pl.col("close") * 1.5).otherwise("close"))
    spiked = spiked.with_columns(high=pl.max_horizontal("high", "close"))
    revised = RAW.fast[700:701].with_columns(pl.col("available_at") + timedelta(hours=2), fast=0.123)
    signals = pl.concat([RAW.fast, revised])
    told = []
    for size in (37, 300, 10_000):
        monkeypatch.setattr(scratch, "ROWS_AT_ONCE", size)
        own = preparer(spiked, signals)
        told.append(own.validate_and_save(tmp_path / f"b{size}", tmp_path / f"c{size}").data_quality)
    assert {"DQ-SPIKE", "DQ-REVISED", "DQ-GAP"} <= set(told[0]["what"])
    assert_frame_equal(told[0], told[1])
    assert_frame_equal(told[0], told[2])


def test_a_finding_names_the_row_of_the_price_source(monkeypatch: pytest.MonkeyPatch) -> None:
    row = pl.int_range(pl.len())
    spiked = RAW.prices.with_columns(close=pl.when(row == 500).then(pl.col("close") * 1.5).otherwise("close"))
    spiked = spiked.with_columns(high=pl.max_horizontal("high", "close"))
    for size in (37, 10_000):
        monkeypatch.setattr(scratch, "ROWS_AT_ONCE", size)
        inspector = Inspector.at_level("standard", "XNYS")
        assert inspector is not None
        own = preparer(spiked)
        with Workplace() as workplace:
            made = preparation_module.Preparation(own._tables(), own._recipe, workplace, inspector=inspector)
            list(made.batches())
        (spike,) = (finding for finding in inspector.findings if finding.what == "DQ-SPIKE")
        assert spike.row == 500


def test_signals_of_symbols_without_bars_are_checked_and_give_no_bar(in_parts: int, violations_of: Any) -> None:
    orphan = RAW.fast.filter(pl.col("symbol") == "AA").with_columns(symbol=pl.lit("AB"))
    prepared = preparer(fast=pl.concat([RAW.fast, orphan])).prepare()
    assert "AB" not in set(prepared.asset_data["symbol"])
    twice = pl.concat([RAW.fast, orphan, orphan[:1]])
    (violation,) = violations_of(preparer, RAW.prices, twice)
    assert (violation.code, violation.row) == ("E-KEY-DUP", RAW.fast.height + orphan.height)


def test_prepared_bars_carry_no_number_of_a_row(at_once: PreparedData) -> None:
    assert ROW not in at_once.asset_data.columns


def test_several_parts_of_a_month_are_read_in_their_order(tmp_path: Path) -> None:
    stamps = [datetime(2024, 1, 2, 15, tzinfo=UTC) + timedelta(days=day) for day in range(40)]
    whole = pl.DataFrame({"timestamp": stamps, "symbol": "A"})
    layout = Layout(by_month=("t",))
    parts = (whole.slice(first, 3) for first in range(0, 40, 3))
    made = publish(tmp_path, "d", {"t": parts}, kind="test", layout=layout)
    # January 2 to 31 are 30 days in 10 parts; the tenth ends with the 31st, so that February has 4 of its own.
    names = [file.removeprefix("t/") for file in made.files]
    assert [name for name in names if "month=02" in name] == [
        "year=2024/month=02/part.parquet",
        *(f"year=2024/month=02/part_{number:04d}.parquet" for number in (2, 3, 4)),
    ]
    version = current_version(tmp_path, "d")
    assert_frame_equal(read_table(version, read_manifest(version), "t"), whole)
    assert publish(tmp_path, "d", {"t": whole}, kind="test", layout=layout).content_hash == made.content_hash
