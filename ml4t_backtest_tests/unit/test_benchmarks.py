"""Benchmarks: their tables keep their schemas in the smallest size; how fast they are is not tested."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from ml4t_backtest import benchmarks
from ml4t_backtest.data.validation import find_violations

SMALL: dict[str, Callable[[], pl.DataFrame]] = {
    "event_loop_benchmark": lambda: benchmarks.event_loop_benchmark(2, 5, repeats=1),
    "strategy_benchmark": lambda: benchmarks.strategy_benchmark(2, 30, repeats=1),
    "scalability_benchmark": lambda: benchmarks.scalability_benchmark([(1, 5), (2, 5)], repeats=1),
}


@pytest.mark.parametrize("name", SMALL)
def test_table_keeps_its_schema(name: str) -> None:
    frame = SMALL[name]()
    schema = benchmarks.benchmark_schemas()[name]
    assert find_violations(frame, schema) == []
    assert frame.columns == list(schema.columns)


def test_speed_is_rows_over_seconds() -> None:
    frame = SMALL["event_loop_benchmark"]()
    assert frame["mode"].to_list() == ["feed", "batch", "symbol"]
    assert frame["rows"].to_list() == [10, 10, 10]
    assert frame["bars_per_second"].to_list() == pytest.approx((frame["rows"] / frame["seconds"]).to_list())
