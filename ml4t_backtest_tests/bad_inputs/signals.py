"""Section D: signals."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any

import polars as pl

from bad_inputs.case import Accepted, Attempts, Case, Flagged, Found, Refused
from bad_inputs.doors import FEED, PREPARER, RUN
from bad_inputs.good import Mutation, World, daily, intraday
from bad_inputs.keys import renamed
from bad_inputs.spoil import accepted, cell_case, changed, data_case, declared, together
from ml4t_backtest import ConfigError, PolarsDataFeed, SignalTimingError

_SYMBOL, _STAMP = pl.col("symbol"), pl.col("timestamp")
SIGNAL_ROW = 181
DECLARED_SIGNALS = (PREPARER, RUN, "command line")


def _value_case(id: str, defect: str, column: str, value: Any, code: str, **options: Any) -> Case:
    return cell_case(id, defect, "signals", column, value, code, **options)


def _of(column: pl.Expr, *tables: str) -> Mutation:
    return together(*(changed(table, lambda frame: frame.with_columns(column)) for table in tables or ("signals",)))


def _opposite(frame: pl.DataFrame) -> pl.DataFrame:
    """Return signals of which one row stands there twice, saying the opposite."""
    again = frame[SIGNAL_ROW : SIGNAL_ROW + 1].with_columns(prediction=1 - pl.col("prediction"))
    return pl.concat([frame[: SIGNAL_ROW + 1], again, frame[SIGNAL_ROW + 1 :]])


def joined_case(id: str, defect: str, world: World, late: pl.Expr, says: Sequence[str]) -> Case:
    """Return a case of signals that came joined to the bars, one of them known after its bar."""
    prices, signals = world.tables["prices"], world.tables["signals"].select("timestamp", "symbol", "prediction")
    joined = prices.join(signals, on=["timestamp", "symbol"], how="left", maintain_order="left")
    known = pl.when(pl.int_range(pl.len()) == SIGNAL_ROW).then(late).otherwise(_STAMP)
    spoiled = joined.with_columns(prediction=pl.col("prediction").fill_null(0.5), prediction_available_at=known)

    def trial(folder: Path, level: str) -> Attempts:
        path = folder / "prices.parquet"
        spoiled.write_parquet(path)
        options: Any = {"frequency": world.declared["frequency"], "validation": level}
        return {FEED: lambda: PolarsDataFeed(path, signal_columns=["prediction"], **options)}

    found = Found("E-SG-TIMING", "prices.parquet", SIGNAL_ROW, "prediction_available_at", count=1)
    return Case(id, defect, trial, Refused([found], SignalTimingError, says))


def _fewer(world: World) -> World:
    """Return signals of which 97 % are of ten years before."""
    rows = pl.int_range(pl.len())
    early = pl.when(rows % 34 == 0).then(_STAMP).otherwise(_STAMP - timedelta(days=3_653))
    return world.with_table("signals", world.tables["signals"].with_columns(timestamp=early))


def _ending(frame: pl.DataFrame) -> pl.DataFrame:
    """Return signals that end in April, while bars go on."""
    return frame.filter(datetime(2024, 5, 1, tzinfo=UTC) > _STAMP)


def _two_files(world: World, folder: Path) -> list[dict[str, Any]]:
    paths = [folder / "one.parquet", folder / "two.parquet"]
    for path in paths:
        world.tables["signals"].write_parquet(path)
    return [{"path": str(path), "names": ["prediction"], "available_at": "market_close"} for path in paths]


def _two_sources(folder: Path, level: str) -> Attempts:
    """Try two files of signals with the same column."""
    from bad_inputs.doors import write_config
    from ml4t_backtest import DataPreparer, run_backtest

    world = daily()
    sources, paths = _two_files(world, folder), world.write(folder)
    config = write_config(world.declaring(signals=sources), {**paths, "signals": ""}, folder, level)
    preparer = DataPreparer().add_prices(paths["prices"])
    for source in sources:
        preparer.add_signals(source["path"], names=["prediction"], valid_from="market_close")
    return {PREPARER: preparer.prepare, RUN: lambda: run_backtest(config)}


VALUES = [
    _value_case("SG001", "NaN signal", "prediction", nan, "E-SG-NAN", shown="nan"),
    _value_case("SG002", "infinite signal", "prediction", float("inf"), "E-SG-INF", shown="inf"),
    data_case(
        "SG003",
        "two signals of one key that say the opposite",
        changed("signals", _opposite),
        Refused([Found("E-KEY-DUP", "signals.parquet", SIGNAL_ROW + 1, count=1)], says=(f"row {SIGNAL_ROW} ",)),
    ),
    data_case(
        "SG015",
        "a signal that is true or false",
        _of((pl.col("prediction") > 0.5).alias("prediction")),
        Refused([Found("E-SC-DTYPE", "signals.parquet", column="prediction")], says=("Boolean",)),
    ),
    data_case(
        "SG015b",
        "a signal that is text",
        _of(pl.lit("BUY").alias("prediction")),
        Refused([Found("E-SC-DTYPE", "signals.parquet", 0, "prediction", "BUY")], says=("String",)),
    ),
    data_case(
        "SG017",
        "confidence 1.7 where 0 to 1 is declared",
        together(
            changed(
                "signals",
                lambda frame: frame.with_columns(
                    confidence=pl.when(pl.int_range(pl.len()) == SIGNAL_ROW).then(1.7).otherwise("confidence")
                ),
            ),
            declared(signals={"ranges": {"confidence": [0.0, 1.0]}}),
        ),
        Refused([Found("E-SG-RANGE", "signals.parquet", SIGNAL_ROW, "confidence", "1.7", 1)]),
        doors=DECLARED_SIGNALS,
    ),
    data_case(
        "SG018",
        "no signals at all",
        changed("signals", lambda frame: frame.clear()),
        Refused([Found("E-DS-EMPTY", "signals.parquet")]),
    ),
    data_case(
        "SG018b",
        "no signals at all, and that is allowed",
        together(changed("signals", lambda frame: frame.clear()), declared(signals={"allow_empty": True})),
        Accepted(),
        doors=(PREPARER, RUN),
    ),
]

TIMING = [
    joined_case(
        "SG004",
        "a signal that is known after the bar it stands on",
        daily(),
        _STAMP + timedelta(minutes=15),
        ("prediction_available_at", "2024-03-28T20:15:00Z", "2024-03-28T20:00:00Z"),
    ),
    joined_case(
        "SG005",
        "a signal of a day, known at its close, used on its morning",
        intraday(),
        _STAMP.dt.truncate("1d") + timedelta(hours=21),
        ("T21:00:00Z",),
    ),
    data_case(
        "SG006",
        "a rule of availability that does not exist",
        declared(signals={"available_at": "market_noon"}),
        Refused(error=ConfigError, says=("market_open", "market_close", "next_day")),
    ),
    data_case(
        "SG007",
        "signals that begin after the prices",
        changed("signals", lambda frame: frame.filter(datetime(2024, 2, 15, tzinfo=UTC) <= _STAMP)),
        Accepted(),
    ),
    data_case(
        "SG014",
        "signals in no order",
        changed("signals", lambda frame: frame.sample(fraction=1.0, shuffle=True, seed=3)),
        accepted(),
    ),
]

MATCHES = [
    data_case(
        "SG008",
        "signals for a symbol that has no prices",
        changed(
            "signals",
            lambda frame: pl.concat([frame, frame.filter(_SYMBOL == "AAA").with_columns(symbol=pl.lit("DDD"))]),
        ),
        Flagged("E-SG-ORPHAN", "DDD", 124),
    ),
    data_case(
        "SG010", "signals of which 3 % are about a session with a bar", _fewer, Flagged("DQ-MATCH", shows="3.0 %")
    ),
    data_case(
        "SG011",
        "signals of which the last is older than is allowed",
        together(changed("signals", _ending), declared(signals={"max_age": "5d"})),
        Flagged("E-SG-STALE", "BBB"),
        doors=(PREPARER, RUN),
    ),
    data_case(
        "SG011b",
        "signals that end two months before the prices",
        changed("signals", _ending),
        Flagged("E-SG-STALE", "BBB"),
    ),
    data_case(
        "SG012",
        "a signal called like a column of the bars",
        together(
            changed("signals", lambda frame: frame.rename({"prediction": "close"})),
            declared(signals={"names": ["close"]}),
        ),
        Refused(error=ValueError, says=("close",)),
    ),
    Case(
        "SG013", "two signals of one name", _two_sources, Refused(error=ValueError, says=("E-SC-COLLIDE", "prediction"))
    ),
    data_case(
        "SG019",
        "signals whose symbol has a blank that the prices' has not",
        together(renamed("BR K"), changed("prices", lambda frame: frame.with_columns(_SYMBOL.replace("BR K", "BRK")))),
        Refused([Found("E-KEY-WS", "signals.parquet", 1, "symbol", "BR K", 124)], says=("BRK",)),
    ),
    data_case(
        "SG019b",
        "signals whose symbol has a blank behind it",
        changed("signals", lambda frame: frame.with_columns(_SYMBOL.replace("BBB", "BBB "))),
        Refused([Found("E-KEY-WS", "signals.parquet", 1, "symbol", "BBB ", 124)]),
    ),
]

CASES: list[Case] = [*VALUES, *TIMING, *MATCHES]
