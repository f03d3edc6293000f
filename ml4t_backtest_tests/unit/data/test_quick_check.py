"""The quick answer is never another than the full one, however a bar is spoilt."""

from __future__ import annotations

from typing import Any

import pandera.errors
import polars as pl
import pytest

from ml4t_backtest.core.schemas import asset_data_schema
from ml4t_backtest.data.quick_check import QuickCheck
from ml4t_backtest.data.synthetic import random_bars
from ml4t_backtest.data.validation import find_violations

SCHEMA = asset_data_schema(("prediction",), ())
NAN, INF = float("nan"), float("inf")
NUMBERS = ("open", "high", "low", "close", "volume", "prediction")
MOMENTS = ("timestamp", "open_instant", "decision_instant", "prediction_available_at")


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars(2, 10).select(list(SCHEMA.columns))


def spoilt(bars: pl.DataFrame, row: int, **values: Any) -> pl.DataFrame:
    here = pl.int_range(pl.len()) == row
    return bars.with_columns(pl.when(here).then(value).otherwise(name).alias(name) for name, value in values.items())


def pandera_accepts(part: pl.DataFrame) -> bool:
    """Return what pandera says of the rules; its echo of a NaN as a null in a column that may be null is none."""
    try:
        SCHEMA.validate(part, lazy=True)
    except pandera.errors.SchemaErrors:
        return False
    return True


def both(part: pl.DataFrame, quick: QuickCheck | None = None) -> tuple[bool, bool]:
    """Return the quick answer and the full one, which is pandera's where no key repeats."""
    assert bool(find_violations(part, SCHEMA, keys=False)) is not pandera_accepts(part)
    return (quick or QuickCheck(SCHEMA)).holds(part), not find_violations(part, SCHEMA)


def test_clean_bars_hold(bars: pl.DataFrame) -> None:
    assert both(bars) == (True, True)


@pytest.mark.parametrize("value", [NAN, INF, -INF, None, 0.0, -1.0, 1e-9, 1e15, 1e16, 50.0], ids=str)
@pytest.mark.parametrize("column", NUMBERS)
def test_one_odd_number_in_one_column(bars: pl.DataFrame, column: str, value: float | None) -> None:
    """Also in the first and in the last row, and also after parts that held."""
    quick = QuickCheck(SCHEMA)
    assert quick.holds(bars)
    for row in (0, 7, bars.height - 1):
        part = spoilt(bars, row, **{column: value})
        quickly, fully = both(part, quick)
        assert quickly == fully
        assert quickly == QuickCheck(SCHEMA).holds(part)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0, -1.0, 1e15, 50.0], ids=str)
@pytest.mark.parametrize(
    "columns",
    [("open", "close"), ("open", "high"), ("low", "close"), ("high", "low"), ("open", "high", "low", "close")],
)
def test_one_odd_number_in_several_columns(bars: pl.DataFrame, columns: tuple[str, ...], value: float) -> None:
    quickly, fully = both(spoilt(bars, 7, **dict.fromkeys(columns, value)))
    assert quickly == fully
    assert not quickly or value == 50.0


@pytest.mark.parametrize("column", NUMBERS)
def test_every_value_of_a_column_is_nan_or_null(bars: pl.DataFrame, column: str) -> None:
    for value in (NAN, None):
        part = bars.with_columns(pl.lit(value, dtype=pl.Float64).alias(column))
        quickly, fully = both(part)
        assert quickly == fully == (column == "prediction" and value is None)


@pytest.mark.parametrize("micros", [-1, 1, None])
@pytest.mark.parametrize("column", MOMENTS)
def test_one_moment_that_is_a_little_off(bars: pl.DataFrame, column: str, micros: int | None) -> None:
    moment = None if micros is None else pl.col(column) + pl.duration(microseconds=micros)
    quickly, fully = both(spoilt(bars, 7, **{column: moment}))
    assert quickly == fully


def test_numbers_beyond_those_that_held_are_asked_about_again(bars: pl.DataFrame) -> None:
    quick = QuickCheck(SCHEMA)
    high = dict.fromkeys(("open", "high", "low", "close"), 9e14)
    assert quick.holds(spoilt(bars, 3, **high))
    assert quick.holds(bars)
    assert not quick.holds(spoilt(bars, 3, **{**high, "high": 1e15}))
    assert not quick.holds(spoilt(bars, 3, volume=-1.0))
    assert quick.holds(bars)


@pytest.mark.parametrize("column", [*NUMBERS, *MOMENTS, "prediction_is_new"])
def test_a_column_of_another_type_or_none_at_all(bars: pl.DataFrame, column: str) -> None:
    assert both(bars.drop(column)) == (False, False)
    assert both(bars.with_columns(pl.col(column).cast(pl.String))) == (False, False)


def test_a_schema_without_rules_is_kept(bars: pl.DataFrame) -> None:
    """What is left of a schema where every column was found wrong before."""
    nothing = SCHEMA.remove_columns(list(SCHEMA.columns))
    nothing.checks = []
    assert find_violations(bars.select("close"), nothing) == []
