"""Many defects in one file, and in several: all of them are said at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf, nan
from typing import Any

import polars as pl

from bad_inputs.case import COMMAND_LINE, Case, Found, Refused
from bad_inputs.doors import RUN
from bad_inputs.good import Mutation
from bad_inputs.spoil import cell, changed, data_case, together

# Row, column, value, code: each spoils another row of the prices.
SPOILED: tuple[tuple[int, str, Any, str], ...] = (
    (20, "close", None, "E-PX-NULL"),
    (40, "high", nan, "E-PX-NAN"),
    (60, "low", -inf, "E-PX-INF"),
    (80, "volume", -1, "E-PX-NEGVOL"),
    (100, "volume", 2**63 - 1, "E-PX-VOLMAX"),
    (120, "close", 1e308, "E-PX-RANGE"),
    (140, "symbol", None, "E-KEY-NULL"),
    (160, "symbol", "", "E-KEY-EMPTY"),
    (180, "symbol", "AAA ", "E-KEY-WS"),
    (200, "symbol", "A\tA", "E-KEY-CHAR"),
    (220, "symbol", "x" * 100, "E-KEY-LEN"),
    (240, "timestamp", None, "E-TS-NULL"),
    (260, "timestamp", datetime(2061, 1, 3, 21, tzinfo=UTC), "E-TS-RANGE"),
)


def _cells(*spoiled: tuple[int, str, Any, str]) -> Mutation:
    return together(*(cell("prices", row, column, value) for row, column, value, _ in spoiled))


def _shapes(frame: pl.DataFrame) -> pl.DataFrame:
    """Return bars of which one has its high below its low, one closes above its high, and one stands there twice."""
    row = pl.int_range(pl.len())
    upside_down = pl.when(row == 280).then("low").otherwise("high").alias("high")
    other = pl.when(row == 280).then("high").otherwise("low").alias("low")
    beyond = pl.when(row == 300).then(pl.col("high") + 1).otherwise("close").alias("close")
    spoiled = frame.with_columns(upside_down, other, beyond)
    return pl.concat([spoiled, spoiled[320:321]])


def _found(*spoiled: tuple[int, str, Any, str]) -> list[Found]:
    return [Found(code, "prices.parquet", row, column, count=1) for row, column, _, code in spoiled]


def _each(change: Callable[[pl.DataFrame], pl.DataFrame], *more: Mutation) -> Mutation:
    return together(*more, changed("prices", change))


CASES: list[Case] = [
    data_case(
        "AT01",
        "thirteen spoiled cells",
        _cells(*SPOILED),
        Refused([*_found(*SPOILED), Found("E-PX-OUTSIDE")]),
    ),
    data_case(
        "AT02",
        "bars of impossible shapes, one of them twice",
        changed("prices", _shapes),
        Refused(
            [
                Found("E-PX-HILO", "prices.parquet", 280, count=1),
                Found("E-PX-OUTSIDE", "prices.parquet", 300, count=1),
                Found("E-KEY-DUP", "prices.parquet", 372, count=1),
            ]
        ),
    ),
    data_case(
        "AT03",
        "a column of text, and spoiled cells in others",
        _each(lambda frame: frame.with_columns(pl.col("open").cast(pl.String)), _cells(*SPOILED[1:4], *SPOILED[-2:])),
        Refused([Found("E-SC-DTYPE", "prices.parquet", column="open"), *_found(*SPOILED[1:4], *SPOILED[-2:])]),
    ),
    data_case(
        "AT04",
        "a column is missing, and cells of others are spoiled",
        _each(lambda frame: frame.drop("open"), _cells(*SPOILED[1:4], *SPOILED[-1:])),
        Refused([Found("E-SC-MISSING", "prices.parquet", column="open"), *_found(*SPOILED[1:4], *SPOILED[-1:])]),
    ),
    data_case(
        "AT05",
        "timestamps as text, and spoiled cells in others",
        _each(lambda frame: frame.with_columns(pl.col("timestamp").dt.strftime("%F")), _cells(*SPOILED[1:4])),
        Refused([Found("E-SC-DTYPE", "prices.parquet", column="timestamp"), *_found(*SPOILED[1:4])]),
    ),
    data_case(
        "AT06",
        "prices, signals and context are spoiled",
        together(
            cell("prices", 40, "high", nan),
            cell("signals", 50, "prediction", inf),
            cell("context", 60, "vix", nan),
        ),
        Refused(
            [
                Found("E-PX-NAN", "prices.parquet", 40, "high", count=1),
                Found("E-SG-INF", "signals.parquet", 50, "prediction", count=1),
                Found("E-SG-NAN", "context.parquet", 60, "vix", count=1),
            ]
        ),
        doors=(RUN, COMMAND_LINE),
    ),
]
