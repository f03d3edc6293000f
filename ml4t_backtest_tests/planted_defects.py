"""Defects planted into made-up bars, each by one change: what every detector must find, and nothing may hide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import polars as pl

from ml4t_backtest.core.schemas import asset_data_schema

PRICES = ["open", "high", "low", "close"]
SCHEMA = asset_data_schema((), ())
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
MOMENTS = ("timestamp", "open_instant", "decision_instant")


def of_symbol(bars: pl.DataFrame, number: int = 1) -> Sequence[int]:
    """Return the rows of one symbol, in the order of time."""
    return bars["symbol"].eq(f"S{number:04d}").arg_true().to_list()


def scaled(bars: pl.DataFrame, factor: float, rows: Sequence[int], columns: Sequence[str] = PRICES) -> pl.DataFrame:
    here = pl.int_range(pl.len()).is_in(rows)
    return bars.with_columns(pl.when(here).then(pl.col(name) * factor).otherwise(name) for name in columns)


def shifted(bars: pl.DataFrame, by: timedelta, rows: Sequence[int]) -> pl.DataFrame:
    here = pl.int_range(pl.len()).is_in(rows)
    return bars.with_columns(pl.when(here).then(pl.col(name) + by).otherwise(name) for name in MOMENTS)


def without(bars: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
    return bars.filter(~pl.int_range(pl.len()).is_in(rows))


def copied(bars: pl.DataFrame, columns: Sequence[str], source: int, target: int) -> pl.DataFrame:
    """Return the bars with values of one row written over those of another."""
    here = pl.int_range(pl.len()) == target
    return bars.with_columns(pl.when(here).then(bars[name][source]).otherwise(name).alias(name) for name in columns)


def zero_volume(bars: pl.DataFrame) -> pl.DataFrame:
    return scaled(bars, 0.0, of_symbol(bars)[10:12], ["volume"])


def two_for_one(bars: pl.DataFrame) -> pl.DataFrame:
    rows = of_symbol(bars)
    exact = copied(bars, ["open"], rows[49], rows[50]).with_columns(
        open=pl.when(pl.int_range(pl.len()) == rows[50]).then(bars["close"][rows[49]]).otherwise("open")
    )
    whole = exact.with_columns(high=pl.max_horizontal(*PRICES), low=pl.min_horizontal(*PRICES))
    return scaled(whole, 0.5, rows[50:])


def spike(bars: pl.DataFrame) -> pl.DataFrame:
    return scaled(bars, 1_000.0, of_symbol(bars)[50:51])


def in_cents(bars: pl.DataFrame) -> pl.DataFrame:
    return scaled(bars, 100.0, of_symbol(bars)[50:])


def frozen(bars: pl.DataFrame) -> pl.DataFrame:
    rows = of_symbol(bars)
    here = pl.int_range(pl.len()).is_in(rows[20:80])  # 60 bars
    return bars.with_columns(pl.when(here).then(bars["close"][rows[20]]).otherwise(name).alias(name) for name in PRICES)


def gap(bars: pl.DataFrame) -> pl.DataFrame:
    return without(bars, of_symbol(bars)[30:35])


def outside(bars: pl.DataFrame) -> pl.DataFrame:
    return shifted(bars, timedelta(hours=7), of_symbol(bars)[389:390])


def jitter(bars: pl.DataFrame) -> pl.DataFrame:
    return shifted(bars, timedelta(milliseconds=13), of_symbol(bars)[40:41])


def other_hour(bars: pl.DataFrame) -> pl.DataFrame:
    return shifted(bars, -HOUR, of_symbol(bars))


def at_opens(bars: pl.DataFrame) -> pl.DataFrame:
    return shifted(bars, -MINUTE, of_symbol(bars))


def other_clock(bars: pl.DataFrame) -> pl.DataFrame:
    return shifted(bars, 2 * HOUR, of_symbol(bars))


def other_case(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(pl.col("symbol").replace("S0001", "s0000"))


def through_float32(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(pl.col(*PRICES).cast(pl.Float32).cast(pl.Float64))


def twice(bars: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([bars, bars.filter(pl.col("symbol") == "S0001").with_columns(symbol=pl.lit("COPY"))])


def known_before(bars: pl.DataFrame) -> pl.DataFrame:
    rows = of_symbol(bars)
    for at in range(10, 60, 10):  # five bars hold what comes three bars later
        bars = copied(bars, PRICES, rows[at + 3], rows[at])
    return bars


def reused(bars: pl.DataFrame) -> pl.DataFrame:
    first, later = bars.head(180), bars.tail(180)
    year = 364 * timedelta(days=1)
    moved = later.with_columns(pl.col(name) + year for name in MOMENTS).with_columns(pl.col(*PRICES) * 5.0)
    return pl.concat([first, moved])


Planted = tuple[str, str, Callable[[pl.DataFrame], pl.DataFrame], int | None]
# Code, data it is planted in, defect, count of the finding (None: not looked at).
DEFECTS: tuple[Planted, ...] = (
    ("DQ-ZEROVOL", "daily", zero_volume, 2),
    ("DQ-SPLIT?", "daily", two_for_one, 1),
    ("DQ-SPIKE", "daily", spike, 1),
    ("DQ-SPIKE", "minutes", lambda bars: scaled(bars, 1.3, of_symbol(bars)[50:51]), 1),
    ("DQ-SCALE", "daily", in_cents, 1),
    ("DQ-STALE", "daily", frozen, 1),
    ("DQ-GAP", "daily", gap, 5),
    ("DQ-GAP", "minutes", gap, 5),
    ("DQ-SESSION", "minutes", outside, 1),
    ("DQ-GRID", "minutes", jitter, 1),
    ("DQ-SHIFT", "daily", other_hour, 120),
    ("DQ-LABEL", "minutes", at_opens, 6),
    ("DQ-CLOCK", "minutes", other_clock, None),
    ("DQ-CASE", "daily", other_case, 2),
    ("DQ-F32", "daily", through_float32, 360),
    ("DQ-COPY", "daily", twice, None),
    ("DQ-REPEAT", "daily", known_before, 5),
    ("DQ-REUSE", "daily", reused, None),
)
FOUND = sorted({code for code, *_ in DEFECTS})
DEEP = ("DQ-CLOCK", "DQ-COPY", "DQ-REPEAT")
