"""The trade as an object: its fields are the columns of the table, no more and no less."""

from __future__ import annotations

from datetime import timedelta
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import polars as pl
import pytest
from pydantic import ValidationError
from worlds import bars, closes, run

from ml4t_backtest import BacktestResult, Trade
from ml4t_backtest.core.schemas import trades_schema

COLUMNS = trades_schema().columns


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    """10 shares bought at 10: 4 sold at 12, 6 still held; the signal is missing on the third bar."""
    frame = bars({"A": [10, 10, 12, 13]}).with_columns(score=pl.Series([0.25, 0.5, None, 1.0]))
    plan = {0: lambda s: s.buy("A", 10, stop_loss=5), 1: lambda s: s.sell("A", 4)}
    return run(frame, plan, feed={"signal_columns": ["score"]})


def _parts(annotation: Any) -> tuple[set[Any], bool]:
    """Return the types of a field without None, and whether None is one of them."""
    if get_origin(annotation) is Literal:
        return {annotation}, False
    options = set(get_args(annotation)) or {annotation}
    return options - {NoneType}, NoneType in options


def test_fields_are_the_columns_in_their_order() -> None:
    assert list(Trade.model_fields) == list(COLUMNS)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_field_has_the_type_null_meaning_and_unit_of_its_column(name: str) -> None:
    column, field = COLUMNS[name], Trade.model_fields[name]
    ((kind,), optional) = _parts(field.annotation)
    assert optional == column.nullable
    dtype = column.dtype.type
    if isinstance(dtype, pl.Enum):
        assert list(get_args(kind)) == dtype.categories.to_list()
    elif isinstance(dtype, pl.Datetime):
        assert kind.__name__ == "AwareDatetime"
    else:
        assert kind is {pl.Int64: int, pl.Float64: float, pl.String: str, pl.Boolean: bool}[dtype]
    assert field.is_required()
    assert field.description == column.description
    assert (field.json_schema_extra or {"unit": ""}) == {"unit": column.metadata["unit"]}


def test_a_row_becomes_a_trade_with_what_was_seen_as_attributes(result: BacktestResult) -> None:
    partial, still_open = result.iter_trades()
    assert partial == Trade.from_row(result.trades.row(0, named=True))
    # 4 x (12 - 10)
    assert (partial.status, partial.pnl_net, partial.exit_reason) == ("partial", 8.0, "signal")
    assert (partial.entry_timestamp, partial.stop_loss_level) == (closes(1), 5.0)
    assert partial.entry_timestamp.utcoffset() == timedelta(0)
    assert (partial.decision_score, partial.entry_score, partial.exit_score) == (0.25, 0.5, None)  # type: ignore[attr-defined]
    assert (still_open.status, still_open.exit_price, still_open.exit_reason) == ("open", None, None)


def test_a_trade_gives_its_row_back_and_survives_json(result: BacktestResult) -> None:
    rows = [trade.model_dump() for trade in result.iter_trades()]
    assert pl.DataFrame(rows, schema=result.trades.schema).equals(result.trades)
    for trade in result.iter_trades():
        assert Trade.model_validate_json(trade.model_dump_json()) == trade


def test_a_trade_cannot_be_changed(result: BacktestResult) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        next(result.iter_trades()).pnl_net = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pnl_net": float("nan")}, "finite"),
        ({"pnl_net": None}, "valid number"),
        ({"exit_reason": "bored"}, "'signal', 'stop_loss'"),
        ({"entry_quantity": "10"}, "valid number"),
        ({"decision_score": "high"}, "valid number"),
        ({"mood": 1.0}, "mood: columns beside those of trades start with decision_, entry_, exit_"),
    ],
)
def test_what_the_table_never_holds_is_refused(result: BacktestResult, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Trade.from_row({**result.trades.row(0, named=True), **change})


def test_a_missing_column_is_named(result: BacktestResult) -> None:
    row = result.trades.drop("borrow_fees").row(0, named=True)
    with pytest.raises(ValidationError, match="borrow_fees\n  Field required"):
        Trade.from_row(row)
