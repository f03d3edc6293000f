"""Section E: context and corporate actions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from bad_inputs.case import Attempts, Case, Flagged, Found, Refused
from bad_inputs.doors import FEED, PREPARER, RUN
from bad_inputs.good import DIVIDEND, Mutation, World, daily
from bad_inputs.spoil import changed, data_case, declared, together
from ml4t_backtest import PolarsDataFeed, SignalTimingError

_STAMP = pl.col("timestamp")
CONTEXT_ROW = 60


def _repeated(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame[: CONTEXT_ROW + 1], frame[CONTEXT_ROW:]])


def _late_context(folder: Path, level: str) -> Attempts:
    """Try prepared context that is known a quarter of an hour after the bars it is shown with."""
    closes = daily().tables["context"]["timestamp"]
    known = closes + timedelta(minutes=15)
    context = daily().tables["context"].with_columns(decision_instant=_STAMP, vix_available_at=known)
    daily().tables["prices"].write_parquet(folder / "prices.parquet")
    context.write_parquet(folder / "context.parquet")

    def feed() -> PolarsDataFeed:
        return PolarsDataFeed(
            folder / "prices.parquet",
            folder / "context.parquet",
            context_columns=["vix"],
            validation=level,  # type: ignore[arg-type]
        )

    return {FEED: feed}


def _midnights(world: World) -> World:
    """Return context stamped at midnight of its day, and nothing that says when it is known."""
    naive = world.tables["context"].with_columns(_STAMP.dt.truncate("1d"))
    declared = {key: value for key, value in world.declared["context"].items() if key != "available_at"}
    return World(
        {**world.tables, "context": naive}, world.stored, {**world.declared, "context": declared}, world.backtest
    )


def _actions(*rows: tuple[str, date, str, float]) -> Mutation:
    types = {"symbol": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
    return lambda world: world.with_table("actions", pl.DataFrame(rows, schema=types, orient="row"))


def _wall_clock(zone: str) -> pl.Expr:
    return _STAMP.dt.convert_time_zone(zone).dt.replace_time_zone(None)


WITH_ACTIONS: Sequence[str] = (PREPARER, RUN, "command line")

CASES: list[Case] = [
    data_case(
        "CX002",
        "two rows of context of one moment",
        changed("context", _repeated),
        Refused([Found("E-KEY-DUP", "context.parquet", CONTEXT_ROW + 1, count=1)], says=(f"row {CONTEXT_ROW} ",)),
    ),
    data_case(
        "CX003",
        "context that begins after the prices",
        changed("context", lambda frame: frame[20:]),
        Flagged("DQ-CXWARM", shows="vix"),
    ),
    Case(
        "CX004",
        "context of 16:15 used by the bar of 16:00",
        _late_context,
        Refused(
            [Found("E-SG-TIMING", "context.parquet", 0, "vix_available_at", count=124)],
            SignalTimingError,
            ("2024-01-02T21:15:00Z", "2024-01-02T21:00:00Z"),
        ),
    ),
    data_case(
        "CX005",
        "context of a day stamped at its midnight, and nothing says when it is known",
        _midnights,
        Refused([Found("E-SG-AVAILABILITY", "context.parquet", column="available_at")], SignalTimingError),
    ),
    data_case(
        "CX006",
        "context called like an indicator",
        together(
            changed("context", lambda frame: frame.rename({"vix": "sma_5"})),
            declared(context={"names": ["sma_5"]}, indicators=["sma:5"]),
        ),
        Refused(error=ValueError, says=("E-SC-COLLIDE", "sma_5")),
        doors=WITH_ACTIONS,
    ),
    data_case(
        "CX007",
        "context without a zone, prices in UTC",
        changed("context", lambda frame: frame.with_columns(_wall_clock("America/New_York"))),
        Refused([Found("E-TS-TZMIX")], says=("prices.parquet", "context.parquet")),
    ),
    data_case(
        "CX007b",
        "context in the zone of New York, prices in UTC",
        changed("context", lambda frame: frame.with_columns(_STAMP.dt.convert_time_zone("America/New_York"))),
        Refused([Found("E-TS-TZMIX")], says=("prices.parquet", "context.parquet", "America/New_York")),
    ),
    data_case(
        "CX009",
        "a dividend on a day without a session",
        _actions(("AAA", date(2024, 3, 16), "dividend", 0.25)),
        Flagged("DQ-CADATE", "AAA", 1),
    ),
    data_case(
        "CX010",
        "a split, and prices that are adjusted for it already",
        _actions(("BBB", DIVIDEND, "split", 2.0)),
        Flagged("DQ-DOUBLEADJ", "BBB", 1),
    ),
    data_case(
        "CX011",
        "a dividend of five times the price",
        _actions(("AAA", date(2024, 2, 14), "dividend", 0.25), ("AAA", DIVIDEND, "dividend", 400.0)),
        Refused([Found("E-CA-AMOUNT", row=1, column="value", value="400.0", count=1)]),
    ),
]
