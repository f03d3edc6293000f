"""Delistings that a data set declares: as a file or a list, through the runner to the engine."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from worlds import DAYS, bars, closes, run

from ml4t_backtest import BacktestResult, ConfigError, DataValidationError, load_config, run_backtest
from ml4t_backtest.runner import prepare_dataset, run_inputs

STRATEGY = """
from ml4t_backtest import Strategy

class Holds(Strategy):
    def on_timestamp_batch(self, timestamp, asset_batch, context):
        for symbol in asset_batch["symbol"]:
            if not self.get_position(symbol):
                self.buy(symbol, quantity=10)
"""
CONFIG = """\
data:
  source:
    adjustment: none
    bar_label: session
    prices: {path: prices.parquet}
    DELISTINGS
execution:
  slippage: {model: none}
  commission: {model: none}
  delisting_after: 3
strategy: {path: holds.py:Holds}
"""
INLINE = "delistings: [{symbol: B, date: 2024-01-04, price: 4.5}]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bars({"A": [10] * 8, "B": [20, 20, 20]}).write_parquet(tmp_path / "prices.parquet")
    (tmp_path / "holds.py").write_text(STRATEGY)
    return tmp_path


def written(folder: Path, delistings: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(CONFIG.replace("DELISTINGS", delistings))
    return file


def exits(result: BacktestResult) -> list[tuple[object, ...]]:
    closed = result.trades.filter(pl.col("exit_reason") == "delisted")
    return closed.select("symbol", "exit_timestamp", "exit_price", "pnl_net").rows()


def test_a_list_of_ends_settles_positions_at_date_and_price(folder: Path) -> None:
    # Bought at 20 on the 3rd, paid 4.5 at the close of the 4th: 10 x (4.5 - 20).
    assert exits(run_backtest(written(folder, INLINE))) == [("B", closes(2), 4.5, -155.0)]


def test_a_file_of_ends_does_the_same(folder: Path) -> None:
    ends = pl.DataFrame({"symbol": ["B"], "last_day": [DAYS[2]], "price": [4.5]})
    ends.write_parquet(folder / "ends.parquet")
    declared = "delistings: {path: ends.parquet, columns: {date: last_day}}"
    assert exits(run_backtest(written(folder, declared))) == [("B", closes(2), 4.5, -155.0)]


def test_without_a_declared_end_the_last_close_holds_after_the_configured_sessions(folder: Path) -> None:
    # The third session without a bar is slice 5.
    assert exits(run_backtest(written(folder, "delistings: null"))) == [("B", closes(5), 20.0, 0.0)]


def test_what_is_bought_after_the_end_is_told(folder: Path) -> None:
    """B ends on its second day, its bars go on for one: bought at 20, settled at 4.5 again on that day."""
    early = run_backtest(written(folder, INLINE.replace("2024-01-04", "2024-01-03")))
    assert exits(early) == [("B", closes(1), 4.5, -155.0), ("B", closes(2), 4.5, -155.0)]
    told = [note for note in early.facts["notes"] if "declared end" in note]
    assert told == [
        "B has bars after its declared end on 2024-01-03: what was bought there was settled at 4.5 on the same day; "
        "correct the end, or leave the later bars out"
    ]


def test_what_is_bought_on_the_last_day_itself_is_no_reason_to_tell(folder: Path) -> None:
    bars({"A": [10] * 8, "B": [20, 20]}).write_parquet(folder / "prices.parquet")
    result = run_backtest(written(folder, INLINE.replace("2024-01-04", "2024-01-03")))
    assert exits(result) == [("B", closes(1), 4.5, -155.0)]
    assert not [note for note in result.facts["notes"] if "declared end" in note]


def test_an_end_without_value_loses_everything(folder: Path) -> None:
    result = run_backtest(written(folder, INLINE.replace("4.5", "0")))
    assert exits(result) == [("B", closes(2), 0.0, -200.0)]
    assert result.trades.filter(pl.col("symbol") == "B").select("pnl_percent", "max_adverse_pct").row(0) == (-1.0, -1.0)


def test_a_declared_end_of_a_symbol_that_is_not_held_does_nothing() -> None:
    ends = pl.DataFrame({"symbol": ["A", "Z"], "date": [DAYS[1], DAYS[1]], "price": [1.0, 1.0]})
    assert run({"A": [10, 10, 10]}, {}, delistings=ends).fills.is_empty()


def test_declared_ends_belong_to_what_a_run_is_made_from(folder: Path) -> None:
    ends = pl.DataFrame({"symbol": ["B"], "date": [DAYS[2]], "price": [4.5]})
    ends.write_parquet(folder / "ends.parquet")
    config = load_config(written(folder, "delistings: {path: ends.parquet}"))
    prepared = prepare_dataset(config.dataset)
    before = run_inputs(config, prepared)
    ends.with_columns(price=pl.lit(5.5)).write_parquet(folder / "ends.parquet")
    after = run_inputs(config, prepared)
    assert {name for name in before if before[name] != after[name]} == {"delistings"}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("[{symbol: B, date: 2024-01-04}]", "data.source.delistings[0].price: required, but missing"),
        ("[{symbol: B, date: 4 January, price: 1}]", "delistings[0].date: found '4 January'; must be a date as YYYY-M"),
        ("[{symbol: B, date: 2024-01-04, price: -1}]", "delistings[0].price: found -1; must be at least 0"),
        (
            "[{symbol: B, date: 2024-01-04, prize: 1, price: 1}]",
            "delistings[0].prize: unknown key. Did you mean 'price'? Allowed here: symbol, date, price",
        ),
        ("{pth: ends.parquet}", "data.source.delistings.pth: unknown key. Did you mean 'path'?"),
        ("{path: e, columns: {day: x}}", "delistings.columns.day: unknown key."),
        ("ends.parquet", "data.source.delistings: found 'ends.parquet'; must be a section of keys"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(folder: Path, declared: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(folder, f"delistings: {declared}"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"symbol": ["B", "B"], "date": [DAYS[2], DAYS[3]], "price": [1.0, 2.0]}, "E-KEY-DUP"),
        ({"symbol": ["B", "C"], "date": [DAYS[2], DAYS[3]], "price": [1.0, -2.0]}, "E-DL-PRICE"),
        ({"symbol": ["B"], "date": ["2024-01-04"], "price": [1.0]}, "date"),
        ({"symbol": ["B"], "price": [1.0]}, "date"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(folder: Path, columns: dict[str, list[object]], said: str) -> None:
    pl.DataFrame(columns).write_parquet(folder / "ends.parquet")
    with pytest.raises(DataValidationError) as caught:
        run_backtest(written(folder, "delistings: {path: ends.parquet}"))
    assert said in str(caught.value)
    assert "ends.parquet" in str(caught.value)


def test_a_wrong_frame_is_refused_when_the_engine_is_built() -> None:
    ends = pl.DataFrame({"symbol": ["A"], "date": [DAYS[1]], "price": [-1.0]})
    with pytest.raises(DataValidationError, match="E-DL-PRICE"):
        run({"A": [10, 10]}, {}, delistings=ends)
