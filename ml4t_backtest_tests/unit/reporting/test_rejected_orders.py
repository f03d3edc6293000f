"""Rejected orders: a table of its own, made of the orders that were refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from worlds import closes, run

from ml4t_backtest import BacktestResult, DataValidationError, read_result
from ml4t_backtest.core import schemas
from ml4t_backtest.data.validation import validate
from ml4t_backtest.reporting.summary import rejections


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    """1,000 in cash: 50 shares at 10 go, 200 do not, nor does a symbol nobody knows, nor a sale of nothing."""
    plan = {0: lambda s: (s.buy("A", 50), s.buy("A", 200), s.buy("Z", 1)), 2: lambda s: s.close_position("A")}
    return run({"A": [10, 10, 10, 10], "B": [1] * 4}, plan)


def test_they_are_the_refused_rows_of_orders_with_their_reasons(result: BacktestResult) -> None:
    refused = result.rejected_orders
    assert refused.equals(result.orders.filter(pl.col("status") == "rejected"))
    # The unknown symbol is refused where it is decided, the dear order at the open it would have filled at.
    expected = [(2, "A", "insufficient_cash", closes(1)), (3, "Z", "unknown_symbol", closes(0))]
    assert refused.select("order_id", "symbol", "reason", "last_timestamp").rows() == expected
    # 500 of the 1,000 went to the first order.
    assert refused["detail"].to_list() == ["200 shares at 10 cost 2000.00, cash is 500.00", "'Z' is not in the data"]


def test_the_table_has_the_columns_of_orders(result: BacktestResult) -> None:
    assert result.rejected_orders.schema == result.orders.schema
    assert list(schemas.rejected_orders_schema().columns) == list(schemas.orders_schema().columns)


def test_an_order_that_was_not_refused_or_has_no_reason_breaks_the_schema(result: BacktestResult) -> None:
    validate(result.rejected_orders, schemas.rejected_orders_schema())
    with pytest.raises(DataValidationError, match="E-RC-STATUS"):
        validate(result.orders.with_columns(reason=pl.lit("x"), detail=pl.lit("y")), schemas.rejected_orders_schema())
    nameless = result.rejected_orders.with_columns(reason=pl.lit(None, dtype=pl.String))
    with pytest.raises(DataValidationError, match="reason"):
        validate(nameless, schemas.rejected_orders_schema())


def test_it_is_written_beside_the_other_tables_and_follows_from_them_when_read(
    result: BacktestResult, tmp_path: Path
) -> None:
    version = result.write(tmp_path / "run")
    assert pl.read_parquet(version / "rejected_orders.parquet").equals(result.rejected_orders)
    assert read_result(tmp_path / "run").rejected_orders.equals(result.rejected_orders)


def test_a_run_that_refused_nothing_has_an_empty_table() -> None:
    assert run({"A": [10, 10]}, {0: lambda s: s.buy("A", 1)}).rejected_orders.is_empty()


def test_a_line_for_each_reason_says_how_many_and_the_first(result: BacktestResult) -> None:
    cash = "200 shares at 10 cost 2000.00, cash is 500.00"
    assert rejections(result) == [
        f"insufficient_cash: 1 order; first: buy A at 2024-01-02 21:00 UTC, {cash}",
        "unknown_symbol: 1 order; first: buy Z at 2024-01-02 21:00 UTC, 'Z' is not in the data",
    ]


def test_a_result_is_told_with_what_is_open_and_what_was_rejected(result: BacktestResult) -> None:
    assert repr(result) == "BacktestResult(1 trades, 2 fills, 2 rejected orders, final equity 1,000.00)"
    held = run({"A": [10, 10]}, {0: lambda s: s.buy("A", 1)})
    assert repr(held) == "BacktestResult(0 trades and 1 open, 1 fills, final equity 1,000.00)"


def test_a_position_that_ended_in_two_parts_is_told_as_one_trade() -> None:
    parts = run(
        {"A": [10, 10, 10, 10]}, {0: lambda s: s.buy("A", 2), 1: lambda s: s.sell("A", 1), 2: lambda s: s.sell("A", 1)}
    )
    assert parts.trades.height == 2
    assert repr(parts) == "BacktestResult(1 trades, 3 fills, final equity 1,000.00)"
