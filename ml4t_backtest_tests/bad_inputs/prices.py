"""Section A: the values of prices."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import polars as pl

from bad_inputs.case import Accepted, Case, Flagged, Found, Holds, Refused
from bad_inputs.doors import FEED, PREPARER, RUN
from bad_inputs.good import World, daily
from bad_inputs.spoil import accepted, cell_case, changed, data_case, declared, like, together
from ml4t_backtest import BacktestResult

_PRICES = ("open", "high", "low", "close")
# BBB on the 60th session: far from both ends.
ROW = 3 * 60 + 1
SYMBOL = "BBB"


def value_case(id: str, defect: str, column: str, value: Any, code: str, **options: Any) -> Case:
    """Return a case with one spoiled cell of the prices."""
    return cell_case(id, defect, "prices", column, value, code, **options)


def _bar(change: dict[str, Any]) -> Any:
    """Return the mutation that changes some prices of the bar `ROW`; a value may be an expression of the others."""
    is_row = pl.int_range(pl.len()) == ROW

    def spoil(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            pl.when(is_row).then(pl.lit(value) if not isinstance(value, pl.Expr) else value).otherwise(name).alias(name)
            for name, value in change.items()
        )

    return changed("prices", spoil)


def _shape_case(id: str, defect: str, code: str, **change: Any) -> Case:
    """Return a case in which the bar `ROW` has a shape that cannot be."""
    says = ("float32", "tolerance") if "float32" in defect else ()
    return data_case(id, defect, _bar(change), Refused([Found(code, "prices.parquet", ROW, count=1)], says=says))


def _from(row: int, symbol: str, factor: float, **volume: Any) -> Any:
    """Return the mutation that multiplies the prices of a symbol from a row on."""
    later = (pl.int_range(pl.len()) >= row) & (pl.col("symbol") == symbol)
    prices = [pl.when(later).then((pl.col(name) * factor).round(4)).otherwise(name).alias(name) for name in _PRICES]
    other = [pl.when(later).then(expression).otherwise(name).alias(name) for name, expression in volume.items()]
    return changed("prices", lambda frame: frame.with_columns(*prices, *other))


def _all(*names: str, dtype: Any = None, then: Any = None) -> Any:
    """Return the mutation that changes whole columns."""
    return changed("prices", lambda frame: frame.with_columns(_each(names, dtype, then)))


def _each(names: Sequence[str], dtype: Any, then: Any) -> list[pl.Expr]:
    return [(pl.col(name) if then is None else then(pl.col(name))).cast(dtype or pl.Float64) for name in names]


def _text(price: pl.Expr) -> pl.Expr:
    return price.cast(pl.String)


def _with_commas(row: int) -> Any:
    """Return the mutation to text of which one has a comma for its thousands."""

    def spoil(frame: pl.DataFrame) -> pl.DataFrame:
        close = frame["close"].cast(pl.String).to_list()
        close[row] = "1,234.5"
        return frame.with_columns(close=pl.Series(close))

    return changed("prices", spoil)


def _no_fill_without_volume(result: BacktestResult) -> None:
    bar = daily().tables["prices"].row(ROW, named=True)
    there = result.fills.filter((pl.col("timestamp") == bar["timestamp"]) & (pl.col("symbol") == SYMBOL))
    assert there.is_empty(), there
    assert SYMBOL in result.fills["symbol"], "it is traded on other bars"


def _zero_shares_are_told(result: BacktestResult) -> None:
    mine = result.orders.filter(pl.col("symbol") == SYMBOL)
    assert mine.height > 0
    assert set(mine["status"]) == {"rejected"}
    assert mine["reason"].null_count() == 0


CAPPED = {"execution": {"max_volume_share": 0.1}}


def _capped(world: World) -> World:
    return World(world.tables, world.stored, world.declared, {**world.backtest, **CAPPED})


def _ticks(world: World) -> World:
    ticks = world.tables["prices"].with_columns((pl.col(name) * 10_000).round().cast(pl.Int64) for name in _PRICES)
    return world.with_table("prices", ticks)


VALUES = [
    value_case("PX001", "null close", "close", None, "E-PX-NULL", shown="None"),
    value_case("PX002", "null open", "open", None, "E-PX-NULL", shown="None"),
    value_case("PX003", "null high", "high", None, "E-PX-NULL", shown="None"),
    value_case("PX004", "null volume", "volume", None, "E-PX-NULL", shown="None"),
    value_case("PX005", "NaN close", "close", nan, "E-PX-NAN", shown="nan"),
    value_case("PX006", "NaN high: every naive comparison is false", "high", nan, "E-PX-NAN", shown="nan"),
    data_case(
        "PX007",
        "all four prices NaN in one row",
        _bar(dict.fromkeys(_PRICES, nan)),
        Refused([Found("E-PX-NAN", "prices.parquet", ROW, name, "nan", 1) for name in _PRICES]),
    ),
    value_case("PX008", "NaN volume", "volume", nan, "E-PX-NAN", shown="nan"),
    value_case("PX009", "infinite close", "close", inf, "E-PX-INF", shown="inf"),
    value_case("PX010", "infinite volume", "volume", inf, "E-PX-INF", shown="inf"),
    value_case("PX011", "minus infinite low", "low", -inf, "E-PX-INF", shown="-inf"),
    data_case(
        "PX012",
        "close 0",
        _bar({"close": 0.0, "low": 0.0}),
        Refused([Found("E-PX-NONPOS", "prices.parquet", ROW, name, "0.0", 1) for name in ("close", "low")]),
    ),
    data_case(
        "PX013",
        "open 0",
        _bar({"open": 0.0}),
        Refused([Found("E-PX-NONPOS", "prices.parquet", ROW, "open", "0.0", 1), Found("E-PX-OUTSIDE", row=ROW)]),
    ),
    data_case(
        "PX014",
        "negative open and low, close positive",
        _bar({"open": -1.0, "low": -2.0}),
        Refused([Found("E-PX-NONPOS", "prices.parquet", ROW, name, "-", 1) for name in ("open", "low")]),
    ),
    data_case(
        "PX015",
        "negative close: crude oil on 2020-04-20",
        _bar({"close": -37.63, "low": -40.32}),
        Refused(
            [Found("E-PX-NONPOS", "prices.parquet", ROW, "close", "-37.63", 1)], says=("allow_nonpositive_prices",)
        ),
    ),
    value_case("PX021", "volume -1", "volume", -1, "E-PX-NEGVOL", shown="-1.0"),
    value_case("PX022", "volume 2**63 - 1, a sentinel", "volume", 2**63 - 1, "E-PX-VOLMAX"),
    data_case(
        "PX032",
        "price 1e308: quantity times price is infinite",
        _bar({"high": 1e308, "close": 1e308}),
        Refused([Found("E-PX-RANGE", "prices.parquet", ROW, name, "1e+308", 1) for name in ("high", "close")]),
    ),
]

SHAPES = [
    data_case(
        "PX016",
        "high below low",
        _bar({"high": pl.col("low"), "low": pl.col("high")}),
        Refused([Found("E-PX-HILO", "prices.parquet", ROW, count=1)]),
    ),
    _shape_case("PX017", "open above high", "E-PX-OUTSIDE", open=pl.col("high") + 0.01),
    _shape_case("PX018", "open below low", "E-PX-OUTSIDE", open=pl.col("low") - 0.01),
    _shape_case(
        "PX019",
        "close above high by one step of float32",
        "E-PX-OUTSIDE",
        close=(pl.col("high") * (1 + 2.0**-23)),
    ),
    data_case(
        "PX019b",
        "close above high by one step of float32, and that is declared to be right",
        together(
            _bar({"close": pl.col("high") * (1 + 2.0**-23)}),
            declared(prices={"price_tolerance": 1e-6}),
        ),
        Accepted(),
        doors=(PREPARER, RUN),
    ),
    _shape_case("PX020", "close below low", "E-PX-OUTSIDE", close=pl.col("low") - 0.01),
]

TYPES = [
    data_case(
        "PX023",
        "volumes of 32 bits whose sum overflows",
        together(_capped, _all("volume", then=lambda v: v * 0 + 2**31 - 10, dtype=pl.Int32)),
        accepted(together(_capped, _all("volume", then=lambda v: v * 0 + 2**31 - 10, dtype=pl.Float64))),
        doors=(FEED, RUN),
    ),
    data_case(
        "PX033",
        "prices as Decimal(38, 9)",
        _all(*_PRICES, dtype=pl.Decimal(38, 9)),
        accepted(),
    ),
    data_case(
        "PX034",
        "close as text",
        _all("close", then=_text, dtype=pl.String),
        Refused([Found("E-SC-DTYPE", "prices.parquet", 0, "close", "80.33")], says=("String",)),
    ),
    data_case(
        "PX035",
        "close as text with a comma in the thousands",
        _with_commas(ROW),
        Refused([Found("E-SC-DTYPE", "prices.parquet", ROW, "close", "1,234.5")]),
    ),
    data_case(
        "PX036",
        "prices as whole ticks of 1/10,000",
        _ticks,
        Refused([Found("E-SC-DTYPE", "prices.parquet", 0, name) for name in _PRICES], says=("price_scale",)),
    ),
    data_case(
        "PX036b",
        "prices as whole ticks of 1/10,000, and that is declared",
        together(_ticks, declared(prices={"price_scale": 10_000})),
        accepted(),
        doors=(PREPARER, RUN),
    ),
    data_case(
        "PX037",
        "prices of 32 bits",
        _all(*_PRICES, dtype=pl.Float32),
        Flagged("DQ-F32", like=like()),
    ),
]

DOUBTS = [
    data_case("PX025", "volume 0 although the price moved", _bar({"volume": 0}), Flagged("DQ-ZEROVOL", SYMBOL, 1)),
    data_case(
        "PX025b",
        "volume 0 and fills capped by volume",
        together(_capped, _bar({"volume": 0})),
        Holds(_no_fill_without_volume),
        doors=(FEED, RUN),
    ),
    data_case(
        "PX026",
        "a price 1,000 times its neighbours for one bar",
        _bar({name: pl.col(name) * 1_000 for name in _PRICES}),
        Flagged("DQ-SPIKE", SYMBOL, 1),
    ),
    data_case(
        "PX027",
        "close unchanged for 60 bars, with volume",
        changed(
            "prices",
            lambda frame: frame.with_columns(
                pl.when((pl.col("symbol") == SYMBOL) & (pl.int_range(pl.len()) >= 3 * 62))
                .then(100.0)
                .otherwise(name)
                .alias(name)
                for name in _PRICES
            ),
        ),
        Flagged("DQ-STALE", SYMBOL, shows="close=100"),
    ),
    data_case(
        "PX028",
        "a split of 2:1 that is not adjusted for",
        _from(ROW, SYMBOL, 0.5, volume=pl.col("volume") * 2),
        Flagged("DQ-SPLIT?", SYMBOL, 1),
    ),
    data_case(
        "PX029",
        "a price of 350,000 after adjusting for reverse splits: nothing can be bought",
        _from(0, SYMBOL, 3_500.0),
        Holds(_zero_shares_are_told),
    ),
    data_case("PX030", "prices in cents from a day on", _from(ROW, SYMBOL, 100.0), Flagged("DQ-SCALE", SYMBOL, 1)),
]

CASES = [*VALUES, *SHAPES, *TYPES, *DOUBTS]
