"""The data of the benchmarks: the same from the same seed, sound, and with as many orders as it says."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import works
from benchmarks.works import WORKS, Work, bar_times, facts_of, made, months_of, orders_at, threshold
from ml4t_backtest import PolarsDataFeed

SMALL = Work("small", 3, date(2023, 11, 20), 12, 1)


def test_the_works_have_the_sizes_that_are_spoken_of() -> None:
    bars = {name: len(bar_times(work)[0]) * work.symbols for name, work in WORKS.items()}
    # 2023 has 250 sessions: 248 of 390 minutes, 2 half days of 210 (97,140 minutes).
    assert bars == {"W1": 250 * 5_040, "W2": 100 * 8_190, "W3": 250 * 97_140, "S": bars["S"]}
    assert 970_000 < bars["S"] < 990_000


def test_months_are_the_same_bars_each_time_and_pass_validation(tmp_path: Path) -> None:
    first = pl.concat(bars for _, bars in months_of(SMALL))
    again = pl.concat(bars for _, bars in months_of(SMALL))
    assert first.equals(again)
    feed = PolarsDataFeed(first, signal_columns=["p"], validation="standard")
    # 24 November is a half day: 11 sessions of 390 minutes, one of 210.
    assert len(feed) == 11 * 390 + 210
    closes = first["close"].to_numpy().reshape(-1, 3)
    assert np.abs(np.diff(np.log(closes), axis=0)).max() < 0.02, "a month goes on where the one before ended"


def test_predictions_of_the_first_and_last_slice_order_nothing() -> None:
    p = pl.concat(bars for _, bars in months_of(SMALL))["p"].to_numpy().reshape(-1, 3)
    assert not p[0].any()
    assert not p[-1].any()
    assert p[1:-1].all()


def test_orders_are_counted_as_the_strategy_gives_them() -> None:
    # A: buys at 2, closes at -2, buys at 3; B: -3 while flat, buys at 2, 2 while long.
    p = np.array([[2.0, -3.0], [2.0, 2.0], [-2.0, 2.0], [0.0, 0.0], [3.0, -1.0]])
    assert orders_at(p, 1.5) == 4
    # Above 2 only A's 3 and B's -3 are left: one order.
    assert orders_at(p, 2.5) == 1
    assert orders_at(p, 9.0) == 0


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_the_threshold_gives_the_rate(rate: float) -> None:
    p = np.random.default_rng(7).standard_normal((2_000, 5))
    assert abs(orders_at(p, threshold(p, rate)) - rate * p.size) <= 1


def test_no_orders_are_no_orders() -> None:
    facts = facts_of(np.random.default_rng(7).standard_normal((500, 2)))
    assert facts.orders["0"] == 0


def test_a_work_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "DATA", tmp_path)
    facts = made(SMALL)
    files = {file: file.stat().st_mtime_ns for file in SMALL.bars.iterdir()}
    assert [file.name for file in sorted(files)] == ["2023-11.parquet", "2023-12.parquet"]
    assert made(SMALL) == facts
    assert {file: file.stat().st_mtime_ns for file in SMALL.bars.iterdir()} == files
    assert facts.rows == pl.scan_parquet(SMALL.bars / "*.parquet").select(pl.len()).collect().item()
