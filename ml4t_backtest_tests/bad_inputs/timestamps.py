"""Section B: timestamps and the order of rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from bad_inputs.case import Attempts, Case, Flagged, Found, Holds, Refused
from bad_inputs.doors import FEED, PREPARER, by_feed, by_preparer
from bad_inputs.good import Mutation, World, daily, intraday
from bad_inputs.spoil import accepted, cell, cell_case, changed, data_case, declared, like, stored, together
from ml4t_backtest import BacktestResult

_NEW_YORK = "America/New_York"
_STAMP = pl.col("timestamp")
ROW, BAR = 181, 200  # of the daily and of the intraday prices


def _stamps(change: Callable[[pl.Expr], pl.Expr], *tables: str) -> Mutation:
    """Return the mutation that changes the timestamps of tables, prices where none is named."""
    names = tables or ("prices",)
    return together(*(changed(name, lambda frame: frame.with_columns(change(_STAMP))) for name in names))


def _only(symbol: str, change: Callable[[pl.Expr], pl.Expr]) -> Mutation:
    """Return the mutation that changes the timestamps of one symbol."""
    mine = pl.col("symbol") == symbol
    return _stamps(lambda stamp: pl.when(mine).then(change(stamp)).otherwise(stamp).alias("timestamp"))


def _at(row: int, when: datetime) -> Mutation:
    return cell("prices", row, "timestamp", when)


def _one(code: str, row: int | None = ROW, count: int | None = 1, **also: Any) -> Refused:
    return Refused([Found(code, "prices.parquet", row, "timestamp", count=count)], **also)


def _repeated(row: int, **other: float) -> Mutation:
    """Return the mutation that writes a row twice, perhaps with other prices."""

    def spoil(frame: pl.DataFrame) -> pl.DataFrame:
        again = frame[row : row + 1].with_columns(pl.col(name) + more for name, more in other.items())
        return pl.concat([frame[: row + 1], again, frame[row + 1 :]])

    return changed("prices", spoil)


def in_months(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a table as hive does, a folder per month."""
    home = folder / "prices"
    parts = frame.group_by(_STAMP.dt.year().alias("y"), _STAMP.dt.month().alias("m"), maintain_order=True)
    for (year, month), part in parts:
        place = home / f"year={year}" / f"month={month:02d}"
        place.mkdir(parents=True)
        part.write_parquet(place / "part-0.parquet")
    return home


def in_named_months(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a table as one file per month, named by it."""
    home = folder / "prices"
    home.mkdir()
    for (month,), part in frame.group_by(_STAMP.dt.strftime("%Y-%m").alias("m"), maintain_order=True):
        part.write_parquet(home / f"{month}.parquet")
    return home


def in_numbered_months(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a table as one file per month, numbered without zeros."""
    home = folder / "prices"
    home.mkdir()
    for number, (_, part) in enumerate(frame.group_by(_STAMP.dt.strftime("%Y-%m"), maintain_order=True), start=6):
        part.write_parquet(home / f"part-{number}.parquet")
    return home


def in_two(first: slice, second: slice, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame) -> Any:
    """Return how to store a table in two files, `a.parquet` and `b.parquet`, the second one changed."""

    def store(frame: pl.DataFrame, folder: Path) -> Path:
        home = folder / "prices"
        home.mkdir()
        frame[first].write_parquet(home / "a.parquet")
        change(frame[second]).write_parquet(home / "b.parquet")
        return home

    return store


def _with_sorted_claim(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a table in a file whose footer says that it is sorted by time."""
    import pyarrow.parquet as pq

    path = folder / "prices.parquet"
    pq.write_table(frame.to_arrow(), path, sorting_columns=[pq.SortingColumn(0)])
    return path


def _shuffled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sample(fraction=1.0, shuffle=True, seed=7)


def _flagged(folder: Path, level: str) -> Attempts:
    """Try frames in memory; the prices are shuffled and flagged as sorted by time."""
    world = daily()
    lying = _shuffled(world.tables["prices"]).with_columns(_STAMP.set_sorted())
    frames: Any = {**world.tables, "prices": lying}
    return {FEED: lambda: by_feed(world, frames, level), PREPARER: lambda: by_preparer(world, frames, level)}


def _wall_clock(zone: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda stamp: stamp.dt.convert_time_zone(zone).dt.replace_time_zone(None)


def _naive_at(row: int, when: datetime) -> Mutation:
    """Return the mutation to wall clocks of New York without a zone, one of them another."""
    return together(
        _stamps(_wall_clock(_NEW_YORK), "prices", "signals", "context"),
        declared(timezone=_NEW_YORK),
        cell("prices", row, "timestamp", when),
    )


def _no_fill_on_the_absent_bar(result: BacktestResult) -> None:
    absent = intraday().tables["prices"].row(BAR, named=True)
    there = (pl.col("timestamp") == absent["timestamp"]) & (pl.col("symbol") == absent["symbol"])
    assert result.fills.filter(there).is_empty()


def _no_two_of_a_moment(result: BacktestResult) -> None:
    assert result.portfolio_states["timestamp"].is_unique().all()


def _half_day(world: World) -> World:
    """Return a bar at 18:47 UTC of 3 July 2024, when trading ended at 17:00 UTC."""
    last = world.tables["prices"].row(-1, named=True)
    late = pl.DataFrame(
        [{**last, "timestamp": datetime(2024, 7, 3, 18, 47, tzinfo=UTC)}], schema=world.tables["prices"].schema
    )
    return world.with_table("prices", pl.concat([world.tables["prices"], late]))


def _independence_day(world: World) -> World:
    last = world.tables["prices"].row(-1, named=True)
    late = pl.DataFrame(
        [{**last, "timestamp": datetime(2024, 7, 4, 20, tzinfo=UTC)}], schema=world.tables["prices"].schema
    )
    return world.with_table("prices", pl.concat([world.tables["prices"], late]))


def _labelled_by_open(world: World) -> World:
    early = pl.when(pl.col("symbol") == "BBB").then(_STAMP - timedelta(minutes=5)).otherwise(_STAMP)
    return world.with_table("prices", world.tables["prices"].with_columns(early.alias("timestamp")))


SINGLE_STAMPS = [
    cell_case("TS001", "null timestamp", "prices", "timestamp", None, "E-TS-NULL"),
    data_case(
        "TS002",
        "timestamps as text",
        _stamps(lambda stamp: stamp.dt.strftime("%Y-%m-%d %H:%M")),
        _one("E-SC-DTYPE", None, None, says=("String",)),
    ),
    data_case(
        "TS003",
        "timestamps as whole milliseconds, no unit declared",
        _stamps(lambda stamp: stamp.dt.epoch("ms")),
        _one("E-SC-DTYPE", None, None, says=("unit",)),
    ),
    data_case(
        "TS004",
        "seconds since 1970 read as nanoseconds: all rows in 1970",
        _stamps(lambda stamp: stamp.dt.epoch("s").cast(pl.Datetime("ns", "UTC"))),
        _one("E-TS-RANGE", 0, 372),
    ),
    data_case(
        "TS005", "a year that overflows nanoseconds", _at(ROW, datetime(2263, 1, 1, tzinfo=UTC)), _one("E-TS-RANGE")
    ),
    data_case("TS005b", "the year 1677", _at(ROW, datetime(1677, 1, 1, tzinfo=UTC)), _one("E-TS-RANGE")),
    data_case(
        "TS006", "one row in 2061, mistyped", _at(ROW, datetime(2061, 3, 28, 20, tzinfo=UTC)), _one("E-TS-RANGE")
    ),
]

ORDER = [
    data_case(
        "TS008", "symbol by symbol", changed("prices", lambda frame: frame.sort("symbol", "timestamp")), accepted()
    ),
    data_case(
        "TS009",
        "shuffled, and the footer says it is sorted",
        together(changed("prices", _shuffled), stored("prices", _with_sorted_claim)),
        accepted(),
    ),
    Case("TS010", "a frame in no order that is flagged as sorted", _flagged, Flagged("E-TS-ORDER", like=like())),
    data_case(
        "TS011",
        "a row written twice",
        _repeated(ROW),
        Refused([Found("E-KEY-DUP", "prices.parquet", ROW + 1, count=1)], says=(f"row {ROW} ",)),
    ),
    data_case(
        "TS012",
        "a key with two prices",
        _repeated(ROW, close=0.01),
        Refused(
            [Found("E-KEY-DUP", "prices.parquet", ROW + 1, value="close=117.4", count=1)],
            says=(f"row {ROW} ", "close=117.39"),
        ),
    ),
    data_case(
        "TS013",
        "the same key in two files",
        stored("prices", in_two(slice(0, 200), slice(199, None))),
        Refused([Found("E-KEY-DUP", "b.parquet", 0, count=1)], says=("a.parquet", "row 199")),
    ),
]

ZONES = [
    data_case(
        "TS015",
        "prices without a zone, signals in UTC",
        _stamps(_wall_clock("UTC")),
        Refused([Found("E-TS-TZMIX")], says=("prices.parquet", "signals.parquet")),
    ),
    data_case(
        "TS016",
        "prices of New York on London's calendar",
        together(
            _stamps(lambda stamp: stamp.dt.convert_time_zone(_NEW_YORK), "prices", "signals", "context"),
            declared(calendar="XLON"),
        ),
        Refused(
            [Found("E-TS-TZMIX", "prices.parquet", column="timestamp")], says=("America/New_York", "Europe/London")
        ),
    ),
    data_case(
        "TS017",
        "prices in milliseconds, signals in nanoseconds",
        together(
            _stamps(lambda stamp: stamp.dt.cast_time_unit("ms")),
            _stamps(lambda stamp: stamp.dt.cast_time_unit("ns"), "signals"),
        ),
        accepted(),
    ),
    data_case(
        "TS018",
        "microseconds in one file, nanoseconds in the next",
        stored(
            "prices",
            in_two(slice(0, 200), slice(200, None), lambda frame: frame.with_columns(_STAMP.dt.cast_time_unit("ns"))),
        ),
        Refused([Found("E-SC-DRIFT", "b.parquet", column="timestamp")], says=("a.parquet",)),
    ),
    data_case(
        "TS019",
        "a local time that summer time leaves out",
        _naive_at(ROW, datetime(2024, 3, 10, 2, 30)),
        _one("E-TS-NONEXIST"),
    ),
    data_case(
        "TS020",
        "a local time that happens twice",
        _naive_at(ROW, datetime(2023, 11, 5, 1, 30)),
        _one("E-TS-AMBIG"),
    ),
]

SESSIONS = [
    data_case("TS022", "a bar after a half day's close", _half_day, Flagged("DQ-SESSION", "BBB", 1), world=intraday),
    data_case(
        "TS022b",
        "a bar after a half day's close, and sessions are enforced",
        together(_half_day, declared(enforce_sessions=True)),
        Refused([Found("E-TS-SESSION", "prices.parquet", 312, "timestamp", "18:47", 1)]),
        world=intraday,
    ),
    data_case("TS023", "a bar on a holiday", _independence_day, Flagged("DQ-SESSION", "BBB", 1), world=intraday),
    data_case(
        "TS023b",
        "a bar on a holiday, and sessions are enforced",
        together(_independence_day, declared(enforce_sessions=True)),
        Refused([Found("E-TS-HOLIDAY", "prices.parquet", 312, "timestamp", "2024-07-04", 1)]),
        world=intraday,
    ),
    data_case(
        "TS024",
        "daily bars of one symbol stamped at 00:00 of the day after",
        _only("BBB", lambda stamp: stamp.dt.truncate("1d") + timedelta(days=1)),
        _one("E-TS-LABEL", 1, 124),
    ),
    data_case(
        "TS024b",
        "daily bars of one symbol stamped an hour into the day after",
        _only("BBB", lambda stamp: stamp.dt.truncate("1d") + timedelta(days=1, hours=1)),
        Flagged("DQ-SHIFT", "BBB", 124),
    ),
    data_case(
        "TS025",
        "bars of one symbol stamped at their opens",
        _labelled_by_open,
        Flagged("DQ-LABEL", "BBB"),
        world=intraday,
    ),
    data_case(
        "TS026",
        "a bar of one symbol is missing",
        changed("prices", lambda frame: pl.concat([frame[:BAR], frame[BAR + 1 :]])),
        Flagged("DQ-GAP", "AAA", 1),
        world=intraday,
    ),
    data_case(
        "TS026b",
        "nothing fills on a bar that is missing",
        changed("prices", lambda frame: pl.concat([frame[:BAR], frame[BAR + 1 :]])),
        Holds(_no_fill_on_the_absent_bar),
        world=intraday,
    ),
    data_case(
        "TS027",
        "a month's folder is missing in the middle",
        together(changed("prices", lambda frame: frame.filter(_STAMP.dt.month() != 3)), stored("prices", in_months)),
        Refused([Found("E-DS-GAP", "prices")], says=("2024-03",)),
    ),
    data_case(
        "TS027b",
        "a month's file is missing in the middle",
        together(
            changed("prices", lambda frame: frame.filter(_STAMP.dt.month() != 4)), stored("prices", in_named_months)
        ),
        Refused([Found("E-DS-GAP", "prices")], says=("2024-04",)),
    ),
    data_case(
        "TS027c",
        "a numbered file with a month is missing in the middle",
        together(
            changed("prices", lambda frame: frame.filter(_STAMP.dt.month() != 4)), stored("prices", in_numbered_months)
        ),
        Refused([Found("E-DS-GAP", "prices")], says=("2024-04",)),
    ),
    data_case(
        "TS029",
        "closes that jitter by some milliseconds",
        _only("BBB", lambda stamp: stamp + timedelta(milliseconds=13)),
        Flagged("DQ-GRID", "BBB"),
        world=intraday,
    ),
    data_case(
        "TS030",
        "nanoseconds that differ below a microsecond",
        _stamps(
            lambda stamp: (
                stamp.dt.cast_time_unit("ns")
                + pl.duration(nanoseconds=pl.when(pl.int_range(pl.len()) == ROW).then(1).otherwise(0))
            )
        ),
        _one("E-TS-RES"),
    ),
]

CASES: list[Case] = [*SINGLE_STAMPS, *ORDER, *ZONES, *SESSIONS]
