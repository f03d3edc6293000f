"""Exports by hand: every column of the neighbours' contract, with its unit, sign and meaning."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from worlds import DAYS, Step, closes, run

from ml4t_backtest import BacktestResult
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.execution.commission import PercentageCommission
from ml4t_backtest.execution.slippage import FixedSlippage
from ml4t_backtest.reporting.diagnostic_export import diagnostic_frames
from ml4t_backtest.reporting.pandas_export import daily_series, pyfolio_inputs

STAMP = pl.Datetime("us", "UTC")
PRICES = {"A": [10.0, 10.0, 13.0, 13.0, 12.0, 12.0]}
# Long 10 from slice 1 to 2; short 10 from slice 3 on, stopped by nothing, open at the end.
PLAN: dict[int, Step] = {
    0: lambda s: s.buy("A", 10),
    1: lambda s: s.close_position("A"),
    2: lambda s: s.sell("A", 10),
    3: lambda s: s.buy("B", 1),
}


def traded() -> BacktestResult:
    return run(
        PRICES,
        PLAN,
        account=MarginAccount(),
        slippage=FixedSlippage(0.1),
        commission=PercentageCommission(0.01),
    )


def test_a_long_trade_has_fill_prices_commissions_and_slippage_per_share() -> None:
    trade = diagnostic_frames(traded())["trades"].row(0, named=True)
    # Bought at 10 + 0.1, sold at 13 - 0.1; 1 % of 101 and of 129.
    assert (trade["symbol"], trade["direction"], trade["quantity"], trade["status"]) == ("A", "long", 10.0, "closed")
    assert (trade["entry_price"], trade["exit_price"]) == pytest.approx((10.1, 12.9))
    assert trade["gross_pnl"] == pytest.approx(28.0)
    assert trade["fees"] == pytest.approx(1.01 + 1.29)
    assert trade["pnl"] == pytest.approx(28.0 - 2.30)
    assert trade["pnl_percent"] == pytest.approx(12.9 / 10.1 - 1.0)
    assert trade["net_return"] == pytest.approx(25.7 / 101.0)
    assert (trade["entry_slippage"], trade["exit_slippage"]) == pytest.approx((0.1, 0.1))
    assert trade["total_slippage_cost"] == pytest.approx(2.0)
    assert trade["cost_drag"] == pytest.approx((2.3 + 2.0) / 101.0)
    assert (trade["exit_reason"], trade["bars_held"]) == ("signal", 1)
    assert (trade["entry_time"], trade["exit_time"]) == (closes(1), closes(2))


def test_an_open_short_has_a_negative_quantity_and_its_mark_for_an_exit() -> None:
    trade = diagnostic_frames(traded())["trades"].row(1, named=True)
    # Sold at 13 - 0.1, marked at 12: 0.9 a share.
    assert (trade["direction"], trade["quantity"], trade["status"]) == ("short", -10.0, "open")
    assert (trade["entry_price"], trade["exit_price"]) == pytest.approx((12.9, 12.0))
    assert trade["gross_pnl"] == pytest.approx(9.0)
    assert trade["pnl_percent"] == pytest.approx(1.0 - 12.0 / 12.9)
    assert (trade["exit_reason"], trade["exit_time"]) == ("end_of_backtest", closes(5))


def test_excursions_have_the_signs_that_are_asked_for() -> None:
    trades = diagnostic_frames(traded())["trades"]
    assert trades["mfe"].min() >= 0.0  # type: ignore[operator]
    assert trades["mae"].max() <= 0.0  # type: ignore[operator]


def test_fills_are_numbered_from_nothing_with_signed_quantities() -> None:
    fills = diagnostic_frames(traded())["fills"]
    assert fills["fill_sequence"].to_list() == [0, 1, 2]
    assert fills["signed_quantity"].to_list() == [10.0, -10.0, -10.0]
    assert fills["slippage"].to_list() == pytest.approx([0.1] * 3)
    assert fills["reference_price"].to_list() == [10.0, 13.0, 13.0]
    assert set(fills["order_type"]) == {"market"}


def test_a_rejected_order_has_a_code_of_theirs_and_our_words() -> None:
    (order,) = diagnostic_frames(traded())["rejected_orders"].iter_rows(named=True)
    # Of a symbol that is not in the data no quantity was worked out.
    assert (order["symbol"], order["requested_quantity"], order["filled_quantity"]) == ("B", 0.0, 0.0)
    assert order["rejection_code"] == "order_validation_failed"
    assert order["rejection_reason"].startswith("unknown_symbol")


def test_days_and_equity_start_from_the_initial_capital() -> None:
    frames = diagnostic_frames(traded())
    states = traded().portfolio_states
    assert frames["equity"]["equity"].to_list() == states["equity"].to_list()
    first = frames["daily_pnl"].row(0, named=True)
    assert (first["date"], first["open_equity"], first["num_bars"]) == (DAYS[0], 1_000.0, 1)
    assert frames["daily_pnl"]["pnl"].sum() == pytest.approx(states["equity"][-1] - 1_000.0)
    assert frames["equity"]["high_water_mark"].min() == 1_000.0
    state = frames["portfolio_state"].row(-1, named=True)
    assert (state["gross_exposure"], state["net_exposure"], state["open_positions"]) == pytest.approx((120, -120, 1))


def test_types_are_those_of_the_contract() -> None:
    frames = diagnostic_frames(traded())
    assert len(frames["trades"].columns) == 33 + 3
    expected = {"entry_time": STAMP, "quantity": pl.Float64, "bars_held": pl.Int32, "exit_reason": pl.String}
    assert {name: frames["trades"].schema[name] for name in expected} == expected
    assert frames["fills"].schema["fill_sequence"] == pl.UInt32
    assert frames["fills"].schema["order_id"] == pl.String
    assert frames["portfolio_state"].schema["open_positions"] == pl.Int32
    assert frames["daily_pnl"].schema["num_bars"] == pl.UInt32


def test_the_folder_is_whole_and_says_so_last(tmp_path: Path) -> None:
    folder = traded().write_diagnostic(tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["artifact_type"], manifest["schema_version"], manifest["complete"]) == (
        "ml4t-backtest-result",
        3,
        True,
    )
    assert all((folder / file).is_file() for file in manifest["components"].values())
    assert (folder / "daily_returns.parquet").is_file()
    assert not (folder / ".artifact-incomplete").exists()


def test_an_interrupted_folder_carries_their_marker(tmp_path: Path) -> None:
    home = tmp_path / "out"
    (home / "equity.parquet").mkdir(parents=True)
    with pytest.raises(BacktestError, match="E-FL-WRITE"):
        traded().write_diagnostic(home)
    assert (home / ".artifact-incomplete").exists()


def test_an_empty_run_is_exported_with_all_its_columns(tmp_path: Path) -> None:
    frames = diagnostic_frames(run({"A": [10.0, 10.0]}, {}))
    assert [frames[name].height for name in ("trades", "fills", "rejected_orders")] == [0, 0, 0]
    assert frames["trades"].schema == diagnostic_frames(traded())["trades"].schema


def test_pandas_tables_are_the_polars_ones() -> None:
    result = traded()
    tables = result.to_pandas()
    assert set(tables) == set(result.tables())
    assert tables["fills"]["price"].to_list() == result.fills["price"].to_list()


def test_the_series_of_returns_is_indexed_by_session_without_a_zone() -> None:
    series = daily_series(traded())
    assert [stamp.date() for stamp in series.index] == list(DAYS[:6])
    assert series.index.tz is None
    assert series.to_list() == traded().daily_returns["daily_return"].to_list()


def test_positions_put_together_from_fills_are_those_of_the_run() -> None:
    result = traded()
    stamps = pl.Series([closes(index) for index in range(6)], dtype=STAMP)
    bars = pl.DataFrame({"timestamp": stamps, "symbol": ["A"] * 6, "close": PRICES["A"]})
    inputs = pyfolio_inputs(result, bars)
    assert inputs.positions is not None
    assert inputs.positions["A"].to_list() == [0.0, 100.0, 0.0, -130.0, -120.0, -120.0]
    assert inputs.positions["cash"].to_list() == result.portfolio_states["cash"].to_list()
    assert inputs.transactions["amount"].to_list() == [10.0, -10.0, -10.0]
    with pytest.raises(BacktestError, match="positions put together from fills are not those of the run from 2024"):
        pyfolio_inputs(result, bars.with_columns(close=pl.col("close") * 2.0))
