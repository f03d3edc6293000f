"""The benign controls: unusual, and nothing is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from bad_inputs.case import Accepted, Attempts, Case, Flagged, Holds
from bad_inputs.doors import RUN, write_config
from bad_inputs.good import Mutation, Store, World, daily, daily_over, intraday_over
from bad_inputs.keys import renamed
from bad_inputs.spoil import accepted, changed, data_case, declared, like, stored, together
from bad_inputs.timestamps import in_months
from ml4t_backtest import BacktestResult, run_backtest

_STAMP, _SYMBOL = pl.col("timestamp"), pl.col("symbol")
_PRICES = ("open", "high", "low", "close")
TABLES = ("prices", "signals", "context")


def _every(change: Callable[[pl.DataFrame], pl.DataFrame], tables: Sequence[str] = TABLES) -> Mutation:
    return together(*(changed(table, change) for table in tables))


def _typed(**types: Any) -> Mutation:
    return changed(
        "prices", lambda frame: frame.with_columns(pl.col(name).cast(dtype) for name, dtype in types.items())
    )


def _written(**options: Any) -> Store:
    """Return how to write the prices with options of Polars' writer."""

    def store(frame: pl.DataFrame, folder: Path) -> Path:
        frame.write_parquet(folder / "prices.parquet", **options)
        return folder / "prices.parquet"

    return store


def _by_arrow(change: Callable[[Any], Any] = lambda table: table, **options: Any) -> Store:
    """Return how to write the prices by pyarrow."""

    def store(frame: pl.DataFrame, folder: Path) -> Path:
        import pyarrow.parquet as pq

        pq.write_table(change(frame.to_arrow()), folder / "prices.parquet", **options)
        return folder / "prices.parquet"

    return store


def _symbol_as(name: str) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        import pyarrow as pa

        at = table.column_names.index("symbol")
        return table.set_column(at, "symbol", table["symbol"].cast(getattr(pa, name)()))

    return change


def _whole(world: World) -> World:
    """Return the world with prices that are whole numbers."""
    prices = world.tables["prices"]
    whole = {
        name: (pl.col(name).round() + shift) for name, shift in (("open", 0), ("high", 1), ("low", -1), ("close", 0))
    }
    return world.with_table("prices", prices.with_columns(**whole))


def _only(symbol: str) -> Mutation:
    def keep(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(symbol == _SYMBOL)

    return _every(keep, ("prices", "signals"))


def _one_bar(world: World) -> World:
    first = world.tables["prices"]["timestamp"][0]
    cut = {name: world.tables[name].filter(first == _STAMP)[:1] for name in TABLES}
    return World({**world.tables, **cut}, world.stored, world.declared, world.backtest)


def _without(*where: pl.Expr) -> Mutation:
    return changed("prices", lambda frame: frame.filter(~pl.all_horizontal(where)))


def _scaled(factor: float) -> Mutation:
    """Return the mutation of all amounts of money."""
    prices = [(pl.col(name) * factor).round(6) for name in _PRICES]
    return together(
        changed("prices", lambda frame: frame.with_columns(prices)),
        changed("actions", lambda frame: frame.with_columns(pl.col("value") * factor)),
    )


def _over(first: date, last: date) -> Callable[[], World]:
    """Return a maker of the daily world over other sessions."""
    return lambda: daily_over(first, last).with_table("actions", daily().tables["actions"].clear())


def _intraday(first: date, last: date) -> Callable[[], World]:
    """Return a maker of the intraday world over other sessions."""
    return lambda: intraday_over(first, last)


def _negative(world: World) -> World:
    """Return crude oil falling below zero for a day."""
    row = (_SYMBOL == "BBB") & (datetime(2024, 3, 28, 20, tzinfo=UTC) == _STAMP)
    fallen = {"open": 0.5, "high": 1.0, "low": -40.32, "close": -37.63}
    prices = [pl.when(row).then(value).otherwise(name).alias(name) for name, value in fallen.items()]
    return world.with_table("prices", world.tables["prices"].with_columns(prices))


def _trades_it(name: str) -> Holds:
    def check(result: BacktestResult) -> None:
        assert name in result.orders["symbol"].to_list(), result.orders["symbol"].unique()

    return Holds(check)


def _same_but_for_names(name: str) -> Holds:
    """Return that a symbol of another name changes nothing but the name."""

    def check(result: BacktestResult) -> None:
        back = result.fills.with_columns(_SYMBOL.replace(name, "BBB")).sort("timestamp", "symbol", "quantity")
        clean = _clean_fills().sort("timestamp", "symbol", "quantity")
        columns = ["timestamp", "symbol", "side", "price"]
        assert back.select(columns).equals(clean.select(columns))

    return Holds(check)


def _clean_fills() -> pl.DataFrame:
    import tempfile

    from bad_inputs.doors import attempts

    with tempfile.TemporaryDirectory() as folder:
        fills: pl.DataFrame = attempts(daily(), Path(folder))[RUN]().fills
    return fills


_ANCHORED = """\
backtest: {{initial_capital: 1000000.0}}
data:
  source:
    calendar: XNYS
    adjustment: none
    prices: {{path: {prices}}}
    signals:
      - &signals {{path: &file {signals}, names: [prediction], available_at: &rule market_close}}
      - {{<<: *signals, path: *file, names: [confidence]}}
    context: [{{path: {context}, names: [vix], available_at: *rule}}]
    corporate_actions: {{path: {actions}}}
strategy:
  path: ml4t_backtest.strategy.library.PredictionThreshold
  params: {{enter_above: 0.7, exit_below: 0.3, position_percent: &share 0.3}}
risk: {{portfolio: {{max_drawdown: 0.9, max_weight: &whole 1.0, max_net_exposure: *whole}}}}
reporting: {{report: false}}
"""


def _anchored(folder: Path, level: str) -> Attempts:
    config = folder / "config.yaml"
    config.write_text(_ANCHORED.format(**daily().write(folder)), encoding="utf-8")
    return {RUN: lambda: run_backtest(config)}


def _as_json(folder: Path, level: str) -> Attempts:
    config = write_config(daily(), daily().write(folder), folder, level)
    return {RUN: lambda: run_backtest(config.rename(folder / "config.json"))}


def _extra(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(vwap=1.0, note=pl.lit("x"), tags=pl.lit(pl.Series([["a"]])).first())


CASES: list[Case] = [
    data_case("BC01", "timestamps in UTC, the zone written", changed("prices", lambda frame: frame), accepted()),
    data_case(
        "BC01b",
        "timestamps in UTC, no zone written anywhere",
        _every(lambda frame: frame.with_columns(_STAMP.dt.replace_time_zone(None))),
        accepted(),
    ),
    data_case(
        "BC02", "nanoseconds", _every(lambda frame: frame.with_columns(_STAMP.dt.cast_time_unit("ns"))), accepted()
    ),
    data_case("BC03", "symbols as Categorical", _typed(symbol=pl.Categorical), accepted()),
    data_case("BC04", "symbols as Enum", _typed(symbol=pl.Enum(["CCC", "AAA", "BBB"])), accepted()),
    data_case(
        "BC05",
        "prices as whole numbers",
        together(_whole, _typed(**dict.fromkeys(_PRICES, pl.Int64))),
        accepted(_whole),
    ),
    data_case(
        "BC06", "prices of 32 bits", _typed(**dict.fromkeys(_PRICES, pl.Float32)), Flagged("DQ-F32", like=like())
    ),
    data_case(
        "BC07", "columns in another order", _every(lambda frame: frame.select(reversed(frame.columns))), accepted()
    ),
    data_case("BC08", "columns that nobody uses", _every(_extra), accepted()),
    *(
        data_case(
            f"BC09{'abcd'[number]}", f"compressed by {how}", stored("prices", _written(compression=how)), accepted()
        )
        for number, how in enumerate(("zstd", "snappy", "lz4", "uncompressed"))
    ),
    data_case("BC10", "a row group for each row", stored("prices", _by_arrow(row_group_size=1)), accepted()),
    data_case("BC11", "one row group", stored("prices", _written(row_group_size=10**6)), accepted()),
    data_case(
        "BC12",
        "text in a dictionary",
        stored("prices", _by_arrow(lambda table: table.set_column(1, "symbol", table["symbol"].dictionary_encode()))),
        accepted(),
    ),
    data_case("BC13", "symbols as large_string", stored("prices", _by_arrow(_symbol_as("large_string"))), accepted()),
    data_case(
        "BC13b",
        "symbols as string_view",
        stored("prices", _by_arrow(_symbol_as("string_view"), store_schema=True)),
        accepted(),
    ),
    data_case("BC14", "a folder per year and month", stored("prices", in_months), accepted()),
    data_case("BC15", "one file", changed("prices", lambda frame: frame), accepted()),
    data_case("BC16", "one symbol", _only("AAA"), Accepted()),
    data_case("BC17", "one bar", _one_bar, Accepted()),
    data_case(
        "BC18",
        "a symbol listed in the middle",
        _without(_SYMBOL == "CCC", datetime(2024, 3, 1, tzinfo=UTC) > _STAMP),
        Accepted(findings=True),
    ),
    data_case(
        "BC19",
        "a symbol halted for three weeks",
        _without(
            _SYMBOL == "CCC", _STAMP.is_between(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 22, tzinfo=UTC))
        ),
        Flagged("DQ-GAP", "CCC", 15),
    ),
    data_case("BC20", "a half day", together(), Accepted(), world=_intraday(date(2024, 7, 2), date(2024, 7, 3))),
    data_case(
        "BC21",
        "the weeks around the change to summer time",
        together(),
        Accepted(),
        world=_intraday(date(2024, 3, 8), date(2024, 3, 11)),
    ),
    data_case(
        "BC21b",
        "the weeks around the change to winter time",
        together(),
        Accepted(),
        world=_intraday(date(2024, 11, 1), date(2024, 11, 4)),
    ),
    data_case("BC22", "a leap day", together(), Accepted(), world=_over(date(2024, 2, 26), date(2024, 3, 4))),
    data_case("BC23", "a penny stock at 0.0001", _scaled(1e-4), Accepted()),
    data_case("BC24", "a share at 600,000", _scaled(6_000.0), Accepted()),
    data_case(
        "BC25",
        "a bar without volume that did not move",
        changed(
            "prices",
            lambda frame: frame.with_columns(
                volume=pl.when(pl.int_range(pl.len()) == 181).then(0).otherwise("volume"),
                **{name: pl.when(pl.int_range(pl.len()) == 181).then("open").otherwise(name) for name in _PRICES},
            ),
        ),
        Accepted(findings=True),
    ),
    data_case(
        "BC26",
        "a negative price, and that is allowed",
        together(_negative, declared(prices={"allow_nonpositive_prices": True})),
        Accepted(findings=True),
    ),
    *(
        data_case(f"BC27{'abcd'[number]}", f"a symbol called {name}", renamed(name), _same_but_for_names(name))
        for number, name in enumerate(("NA", "NAN", "TRUE", "0700"))
    ),
    data_case(
        "BC28",
        "a symbol in Cyrillic letters",
        renamed("\u041c\u0422\u0421\u0421"),
        _trades_it("\u041c\u0422\u0421\u0421"),
    ),
    data_case(
        "BC29",
        "signals that begin after a warm-up",
        changed("signals", lambda frame: frame.filter(datetime(2024, 2, 1, tzinfo=UTC) <= _STAMP)),
        Accepted(),
    ),
    data_case(
        "BC30",
        "signals for some of the symbols",
        changed("signals", lambda frame: frame.filter(_SYMBOL != "CCC")),
        Accepted(),
    ),
    Case("BC31", "anchors and aliases used as they are meant", _anchored, accepted()),
    Case("BC32", "the configuration as JSON", _as_json, accepted()),
]
