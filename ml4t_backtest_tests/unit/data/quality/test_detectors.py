"""Each planted defect is found under its code, and clean data gives no finding at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted_defects import (
    DEEP,
    DEFECTS,
    FOUND,
    HOUR,
    SCHEMA,
    known_before,
    of_symbol,
    scaled,
    spike,
    twice,
    two_for_one,
    without,
    zero_volume,
)

from ml4t_backtest import ConfigError, DataValidationError, PolarsDataFeed
from ml4t_backtest.core.schemas import data_quality_schema
from ml4t_backtest.data.checked_bars import check_bars, inspect_bars
from ml4t_backtest.data.quality.data_quality import findings_frame, summarize
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quality.series_detectors import late_revisions
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.data.validation import validate


@pytest.fixture(scope="module")
def daily() -> pl.DataFrame:
    """Three symbols on 120 sessions from 2020-01-02; symbol S0001 stands on rows 1, 4, 7, ..."""
    return random_bars(3, 120).select(list(SCHEMA.columns))


@pytest.fixture(scope="module")
def minutes() -> pl.DataFrame:
    """Three symbols on six sessions of 390 minutes."""
    return random_bars(3, 6, minutes=True).select(list(SCHEMA.columns))


def quality(bars: pl.DataFrame, *, level: str = "paranoid", at_once: int = 1_000_000, **known: Any) -> pl.DataFrame:
    inspector = Inspector(level, "XNYS", accept=FOUND, **known)
    check_bars(bars.lazy(), SCHEMA, file="p.parquet", at_once=at_once, inspector=inspector)
    return inspector.data_quality


@pytest.fixture(params=["daily", "minutes"])
def clean(request: pytest.FixtureRequest) -> pl.DataFrame:
    return request.getfixturevalue(request.param)


def test_clean_bars_give_no_finding(clean: pl.DataFrame) -> None:
    found = quality(clean)
    assert found.filter(pl.col("severity") != "note").is_empty(), found.to_dicts()


def test_symbols_that_begin_or_end_midway_give_no_finding(clean: pl.DataFrame) -> None:
    rows = of_symbol(clean)
    assert quality(without(clean, [*rows[:20], *rows[-20:]])).filter(pl.col("severity") != "note").is_empty()


@pytest.mark.parametrize(
    ("code", "data", "defect", "count"), DEFECTS, ids=lambda each: str(getattr(each, "__name__", each))
)
def test_a_planted_defect_is_found(
    code: str, data: str, defect: Callable[..., pl.DataFrame], count: int | None, request: pytest.FixtureRequest
) -> None:
    found = quality(defect(request.getfixturevalue(data)))
    mine = found.filter(pl.col("what") == code)
    assert mine.height >= 1, found.to_dicts()
    if count is not None:
        assert mine["count"].to_list()[-1] == count
    assert mine["meaning"][0]


@pytest.mark.parametrize(
    ("code", "data", "defect", "count"), DEFECTS, ids=lambda each: str(getattr(each, "__name__", each))
)
def test_what_is_found_depends_on_neither_the_parts_nor_the_order_of_the_rows(
    code: str, data: str, defect: Callable[..., pl.DataFrame], count: int | None, request: pytest.FixtureRequest
) -> None:
    bars = defect(request.getfixturevalue(data))
    whole = quality(bars)
    numbers = [name for name in whole.columns if name != "example"]
    by_symbol = bars.sort("symbol", "timestamp")
    shuffled = bars[np.random.default_rng(1).permutation(bars.height).tolist()]
    for other in (quality(bars, at_once=97), quality(by_symbol, at_once=211), quality(shuffled)):
        assert other.select(numbers).sort(numbers).equals(whole.select(numbers).sort(numbers))


@pytest.mark.parametrize("level", ["standard", "paranoid"])
def test_deep_detectors_look_at_paranoid_only(level: str, daily: pl.DataFrame) -> None:
    codes = set(quality(twice(known_before(daily)), level=level)["what"])
    assert bool(codes.intersection(DEEP)) == (level == "paranoid")


def test_paranoid_refuses_what_it_finds_and_names_file_row_and_hint(daily: pl.DataFrame) -> None:
    inspector = Inspector("paranoid", "XNYS")
    with pytest.raises(DataValidationError) as caught:
        check_bars(spike(daily).lazy(), SCHEMA, file="p.parquet", at_once=100, inspector=inspector)
    (violation,) = caught.value.violations
    assert (violation.code, violation.file, violation.row) == ("DQ-SPIKE", "p.parquet", of_symbol(daily)[50])
    assert violation.key is not None
    assert violation.key.startswith("S0001 2020-")
    assert "accept: ['DQ-SPIKE']" in violation.hint


@pytest.mark.parametrize("level", ["fast", "standard"])
def test_lower_levels_go_on_and_standard_records(level: str, daily: pl.DataFrame) -> None:
    feed = PolarsDataFeed(spike(daily), validation=level)  # type: ignore[arg-type]
    assert feed.data_quality["what"].to_list() == ([] if level == "fast" else ["DQ-SPIKE"])
    validate(feed.data_quality, data_quality_schema(), allow_empty=True)


def test_an_accepted_finding_is_recorded_and_not_refused(daily: pl.DataFrame) -> None:
    feed = PolarsDataFeed(spike(daily), validation="paranoid", accept=["DQ-SPIKE"])
    assert feed.data_quality["what"].to_list() == ["DQ-SPIKE"]
    with pytest.raises(ConfigError, match="DQ-SPIKE"):
        PolarsDataFeed(daily, accept=["DQ-SPIK"])


def test_a_declared_split_is_no_defect(daily: pl.DataFrame) -> None:
    bars = two_for_one(daily)
    day = bars["timestamp"][of_symbol(bars)[50]].date()
    actions = pl.DataFrame({"symbol": ["S0001"], "ex_date": [day], "kind": ["split"], "value": [2.0]})
    feed = PolarsDataFeed(bars, validation="paranoid", corporate_actions=actions)
    assert feed.data_quality.is_empty()


def test_broken_rules_come_before_findings(daily: pl.DataFrame) -> None:
    broken = spike(scaled(daily, -1.0, [7], ["volume"]))
    with pytest.raises(DataValidationError) as caught:
        PolarsDataFeed(broken, validation="paranoid")
    assert [violation.code for violation in caught.value.violations] == ["E-PX-NEGVOL"]


def test_bars_in_memory_are_looked_through_as_they_lie(daily: pl.DataFrame) -> None:
    inspector = Inspector("standard", "XNYS")
    inspect_bars(spike(daily).reverse(), inspector, file=None)
    (finding,) = inspector.findings
    assert (finding.what, finding.row) == ("DQ-SPIKE", daily.height - 1 - of_symbol(daily)[50])


def test_signals_that_nothing_dates_are_a_finding_and_refused_by_paranoid(make_bars: Any) -> None:
    raw = make_bars(score=[0.1, 0.2, 0.3])
    feed = PolarsDataFeed(raw, signal_columns=["score"], bar_label="session")
    assert feed.data_quality["what"].to_list() == ["DQ-ASSUMED"]
    with pytest.raises(DataValidationError, match="DQ-ASSUMED"):
        PolarsDataFeed(raw, signal_columns=["score"], bar_label="session", validation="paranoid")


def test_a_late_revision_is_noted_and_a_repetition_is_not() -> None:
    day, known = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "timestamp": [day] * 4,
            "symbol": ["A", "A", "B", "B"],
            "available_at": [known, known + HOUR, known, known + HOUR],
            "p": [1.0, 2.0, 3.0, 3.0],
        }
    )
    (finding,) = late_revisions(rows, "signals")
    assert (finding.what, finding.count, finding.severity) == ("DQ-REVISED", 1, "note")
    assert "A 2024-01-02" in finding.example


def test_a_summary_has_one_line_per_kind(daily: pl.DataFrame) -> None:
    (line,) = summarize(quality(zero_volume(daily)))
    assert line.startswith("DQ-ZEROVOL: 2 in 1 symbol; ")
    assert summarize(findings_frame(())) == []


def test_coincidences_of_few_ticks_are_noted_only() -> None:
    """Ranges of three ticks: two bars at one level agree by chance, so hundreds of agreements say nothing."""
    rng = np.random.default_rng(3)
    bars = random_bars(1, 6, minutes=True).select(list(SCHEMA.columns))
    low = 100.0 + 0.01 * np.cumsum(rng.integers(-1, 2, bars.height))
    ends = np.round(low[:, None] + 0.01 * rng.integers(0, 3, (bars.height, 2)), 2)
    prices = {"open": ends[:, 0], "high": low + 0.02, "low": low, "close": ends[:, 1]}
    coarse = bars.with_columns(pl.Series(name, np.round(values, 2)) for name, values in prices.items())
    found = quality(coarse).filter(pl.col("what") == "DQ-REPEAT")
    assert found["count"][0] > 100
    assert set(found["severity"]) == {"note"}
