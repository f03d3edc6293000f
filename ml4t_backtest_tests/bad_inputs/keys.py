"""Section C: keys, symbols, universes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from bad_inputs.case import Accepted, Case, Flagged, Found, Holds, Refused
from bad_inputs.doors import FEED, PREPARER, RUN
from bad_inputs.good import Mutation, World
from bad_inputs.spoil import accepted, cell_case, changed, data_case, stored, together
from ml4t_backtest import BacktestResult

_SYMBOL = pl.col("symbol")


def _symbol_case(id: str, defect: str, value: Any, code: str, **options: Any) -> Case:
    return cell_case(id, defect, "prices", "symbol", value, code, **options)


def renamed(new: str, old: str = "BBB") -> Mutation:
    """Return the mutation that gives a symbol another name, wherever it stands."""

    def rename(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(_SYMBOL.replace(old, new)) if "symbol" in frame.columns else frame

    return together(*(changed(table, rename) for table in ("prices", "signals", "actions")))


def by_symbol(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a table as hive does, a folder per symbol, the symbol in its name only."""
    home = folder / "prices"
    for (symbol,), part in frame.group_by("symbol", maintain_order=True):
        place = home / f"symbol={symbol}"
        place.mkdir(parents=True)
        part.drop("symbol").write_parquet(place / "part-0.parquet")
    return home


def _contradicted(frame: pl.DataFrame, folder: Path) -> Path:
    """Store a folder per symbol, the column in the files too, and one file in the wrong folder."""
    home = folder / "prices"
    for (symbol,), part in frame.group_by("symbol", maintain_order=True):
        place = home / f"symbol={symbol if symbol != 'CCC' else 'DDD'}"
        place.mkdir(parents=True)
        part.write_parquet(place / "part-0.parquet")
    return home


def _hive_case(id: str, defect: str, name: str) -> Case:
    """Return a case in which a hive key looks like a value of another type, and must stay text."""

    def is_kept(result: BacktestResult) -> None:
        assert name in result.orders["symbol"].to_list(), result.orders["symbol"].unique()

    return data_case(id, defect, together(renamed(name), stored("prices", by_symbol)), Holds(is_kept))


def _without_symbol(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        symbol=pl.when(_SYMBOL == "BBB").then(pl.lit("__HIVE_DEFAULT_PARTITION__")).otherwise(_SYMBOL)
    )


def _mixed_texts(frame: pl.DataFrame, folder: Path) -> Path:
    home = folder / "prices"
    home.mkdir()
    frame[:200].with_columns(_SYMBOL.cast(pl.Categorical)).write_parquet(home / "a.parquet")
    frame[200:].write_parquet(home / "b.parquet")
    return home


def _universe(*spans: tuple[str, date, date | None]) -> Mutation:
    types = {"symbol": pl.String, "start": pl.Date, "end": pl.Date}
    return lambda world: world.with_table("universe", pl.DataFrame(spans, schema=types, orient="row"))


def _reused(world: World) -> World:
    """Return BBB ended in 2021, and another company under its name since January 2024, at three times the price."""
    prices = world.tables["prices"]
    old = prices.filter(_SYMBOL == "BBB")[:5].with_columns(
        *((pl.col(name) * 3).round(2) for name in ("open", "high", "low", "close")),
        timestamp=pl.Series([datetime(2021, 6, day, 20, tzinfo=UTC) for day in (7, 8, 9, 10, 11)]).cast(
            prices.schema["timestamp"]
        ),
    )
    return world.with_table("prices", pl.concat([old, prices]))


def _delisted(world: World) -> World:
    """Return CCC without bars since May, a position held in it."""
    held = (_SYMBOL == "CCC") & (pl.col("timestamp") >= datetime(2024, 5, 1, tzinfo=UTC))
    signals = world.tables["signals"]
    always = pl.when(_SYMBOL == "CCC").then(0.9).otherwise("prediction").alias("prediction")
    ended = world.with_table("prices", world.tables["prices"].filter(~held))
    return ended.with_table("signals", signals.with_columns(always).filter(~held))


def _settled(result: BacktestResult) -> None:
    trades = result.trades.filter(_SYMBOL == "CCC")
    assert trades["exit_reason"].to_list()[-1] == "delisted", trades
    assert trades.filter(pl.col("status") == "open").is_empty()


def _no_path_from_it(result: BacktestResult) -> None:
    assert "../../etc/x" in result.orders["symbol"].to_list()


EVER = date(2000, 1, 3)
MEMBERS = (("AAA", EVER, None), ("BBB", EVER, None), ("CCC", EVER, None))
PREPARED = (PREPARER, RUN, "command line")

NAMES = [
    _symbol_case("SY001", "null symbol", None, "E-KEY-NULL"),
    _symbol_case("SY002", "empty symbol", "", "E-KEY-EMPTY"),
    _symbol_case("SY003", "a blank behind a symbol", lambda name: f"{name} ", "E-KEY-WS", says=(" ' for '",)),
    data_case(
        "SY004",
        "one symbol in two cases",
        changed(
            "prices",
            lambda frame: frame.with_columns(
                symbol=pl.when(pl.int_range(pl.len()) >= 186).then(_SYMBOL.replace("BBB", "bbb")).otherwise(_SYMBOL)
            ),
        ),
        Flagged("DQ-CASE", "BBB"),
    ),
    *(
        _symbol_case(
            f"SY006{letter}",
            f"{what} inside a symbol",
            lambda name, character=character: f"{name[:1]}{character}{name[1:]}",
            "E-KEY-CHAR",
        )
        for letter, what, character in (
            ("", "a NUL", "\0"),
            ("b", "a line break", "\n"),
            ("c", "a tab", "\t"),
            ("d", "an invisible space", "\u200b"),
        )
    ),
    data_case("SY007", "a symbol that is a path", renamed("../../etc/x"), Holds(_no_path_from_it)),
    data_case("SY008", "a symbol that is a formula", renamed("=HYPERLINK(1)"), Accepted()),
    _symbol_case("SY009", "a symbol of 10,000 characters", "x" * 10_000, "E-KEY-LEN"),
    data_case(
        "SY010",
        "symbols in a column named ticker",
        changed("prices", lambda frame: frame.rename({"symbol": "ticker"})),
        Refused([Found("E-SC-MISSING", "prices.parquet", column="symbol")], says=("ticker", "volume")),
    ),
    data_case(
        "SY011",
        "a column symbol and a column asset",
        changed("prices", lambda frame: frame.with_columns(asset=_SYMBOL.str.reverse())),
        Refused([Found("E-SC-AMBIG", "prices.parquet", column="symbol")], says=("asset",)),
    ),
    data_case(
        "SY011b",
        "a column symbol and a column asset, and which one counts is declared",
        together(
            changed("prices", lambda frame: frame.with_columns(asset=_SYMBOL.str.reverse())),
            lambda world: world.declaring(prices={"columns": {"symbol": "symbol"}}),
        ),
        accepted(),
        doors=(PREPARER, RUN),
    ),
]

HIVE = [
    _hive_case("SY013", "a folder symbol=0700", "0700"),
    _hive_case("SY013b", "a folder symbol=0005", "0005"),
    _hive_case("SY014", "a folder symbol=TRUE", "TRUE"),
    _hive_case("SY015", "a folder symbol=1E5", "1E5"),
    data_case(
        "SY016",
        "a folder for the symbol null",
        together(changed("prices", _without_symbol), stored("prices", by_symbol)),
        Refused([Found("E-KEY-NULL", "symbol=__HIVE_DEFAULT_PARTITION__/part-0.parquet", 0, "symbol", count=124)]),
    ),
    data_case(
        "SY017",
        "a folder that says another symbol than its file",
        stored("prices", _contradicted),
        Refused([Found("E-SC-HIVECONFLICT", "symbol=DDD/part-0.parquet", column="symbol")], says=("DDD",)),
    ),
    data_case(
        "SY018", "symbols as Categorical in one file, as text in the next", stored("prices", _mixed_texts), accepted()
    ),
]

LIVES = [
    data_case(
        "SY020",
        "a symbol given to another company",
        _reused,
        Flagged("DQ-REUSE", "BBB", 1),
        doors=(FEED, PREPARER, RUN),
    ),
    data_case(
        "SY021",
        "a member of the universe without any price",
        _universe(*MEMBERS, ("DDD", EVER, None)),
        Refused([Found("E-UNI-MISSING", "universe.parquet", 3, "symbol", "DDD", 1)]),
        doors=PREPARED,
    ),
    data_case(
        "SY022",
        "a symbol that never was in the universe",
        _universe(*MEMBERS[:2]),
        Flagged("DQ-UNIVERSE", "CCC", 124),
        doors=PREPARED,
    ),
    data_case(
        "SY023",
        "a member that left before it came",
        _universe(*MEMBERS[:2], ("CCC", date(2024, 3, 1), date(2024, 2, 1))),
        Refused([Found("E-UNI-RANGE", "universe.parquet", 2, value="2024, 2, 1", count=1)]),
        doors=PREPARED,
    ),
    data_case("SY024", "a position in a symbol whose bars stop", _delisted, Holds(_settled)),
]

CASES: list[Case] = [*NAMES, *HIVE, *LIVES]
