"""Predictions with what came of them: a label after the fact, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from worlds import closes, run

from ml4t_backtest import ConfigError
from ml4t_backtest.reporting.prediction_export import prediction_table, signal_table


def shown(*rows: tuple[int, str, float, float | None, bool]) -> pl.DataFrame:
    """Bars by (number of the session, symbol, close, prediction, whether that is shown for the first time)."""
    columns = {"n": pl.Int64, "symbol": pl.String, "close": pl.Float64, "p": pl.Float64, "p_is_new": pl.Boolean}
    frame = pl.DataFrame(list(rows), schema=columns, orient="row")
    stamps = pl.Series("timestamp", [closes(number) for number in frame["n"]], dtype=pl.Datetime("us", "UTC"))
    return frame.with_columns(stamps).drop("n")


def outcomes(table: pl.DataFrame) -> list[tuple[str, float, float | None]]:
    return table.select("symbol", "prediction_value", pl.col("forward_return").round(6)).rows()


def test_an_outcome_is_the_return_until_the_symbols_next_prediction() -> None:
    bars = shown(
        (0, "A", 10.0, 0.7, True),
        (1, "A", 20.0, 0.7, False),  # the same prediction, still shown
        (2, "A", 15.0, 0.2, True),
        (0, "B", 100.0, 0.4, True),
        (1, "B", 90.0, 0.1, True),
    )
    # A: 15 / 10 - 1; B: 90 / 100 - 1; the last of each has no next one.
    assert outcomes(prediction_table(bars, ["p"])) == [
        ("A", 0.7, 0.5),
        ("B", 0.4, -0.1),
        ("B", 0.1, None),
        ("A", 0.2, None),
    ]


def test_a_prediction_that_was_taken_back_ends_the_one_before_and_is_none() -> None:
    bars = shown((0, "A", 10.0, 0.7, True), (1, "A", 11.0, None, True), (2, "A", 30.0, 0.2, True))
    assert outcomes(prediction_table(bars, ["p"])) == [("A", 0.7, 0.1), ("A", 0.2, None)]


@pytest.mark.parametrize(("adjustment", "outcome"), [("none", 0.1), ("split", -0.45)])
def test_a_split_is_no_loss_unless_the_prices_have_it_already(adjustment: str, outcome: float) -> None:
    """10 becomes 5.50 on the day of a split of two for one: 11 / 10 - 1. Adjusted prices mean 5.50 / 10 - 1."""
    bars = shown((0, "A", 10.0, 0.7, True), (1, "A", 5.5, 0.2, True))
    split = {"symbol": ["A"], "ex_date": [closes(1).date()], "kind": ["split"], "value": [2.0]}
    table = prediction_table(bars, ["p"], corporate_actions=pl.DataFrame(split), adjustment=adjustment)  # type: ignore[arg-type]
    assert outcomes(table)[0] == ("A", 0.7, outcome)


def test_another_future_changes_no_prediction_and_only_the_outcomes_that_lie_in_it() -> None:
    bars = shown(*((day, "A", 10.0 + day, 0.5, True) for day in range(6)))
    other = bars.with_columns(close=pl.when(pl.col("timestamp") > closes(3)).then(99.0).otherwise("close"))
    one, two = prediction_table(bars, ["p"]), prediction_table(other, ["p"])
    assert one["prediction_value"].equals(two["prediction_value"])
    assert one["forward_return"][:3].equals(two["forward_return"][:3])
    assert one["forward_return"][3] != two["forward_return"][3]  # from the close before the cut to one behind it


def test_bars_that_are_not_prepared_are_refused() -> None:
    with pytest.raises(ConfigError, match="predictions need a signal of prepared bars: p_is_new"):
        prediction_table(shown((0, "A", 1.0, 0.5, True)).drop("p_is_new"), ["p"])
    with pytest.raises(ConfigError, match="none was named"):
        prediction_table(shown((0, "A", 1.0, 0.5, True)), [])


def test_a_prediction_was_traded_on_where_it_was_the_latest_at_the_decision() -> None:
    """Bought on slice 1, when the prediction of slice 0 is still the latest; the symbol B is never traded."""
    plan = {1: lambda s: s.buy("A", 5), 2: lambda s: s.close_position("A")}
    result = run({"A": [10.0] * 5, "B": [10.0] * 5}, plan)
    bars = shown(
        *((0, symbol, 10.0, 0.7, True) for symbol in "AB"),
        *((1, symbol, 10.0, 0.7, False) for symbol in "AB"),
        *((2, symbol, 10.0, 0.2, True) for symbol in "AB"),
    )
    table = signal_table(prediction_table(bars, ["p"]), result.trades)
    assert table.select("symbol", "signal_value", "selected", "trade_id").rows() == [
        ("A", 0.7, True, "1"),
        ("B", 0.7, False, None),
        ("A", 0.2, False, None),
        ("B", 0.2, False, None),
    ]


def test_the_folder_for_diagnostic_has_them_and_its_manifest_lists_them(tmp_path: Path) -> None:
    result = run({"A": [10.0, 10.0]}, {})
    table = prediction_table(shown((0, "A", 10.0, 0.7, True)), ["p"])
    folder = result.write_diagnostic(tmp_path / "out", predictions=table)
    assert pl.read_parquet(folder / "predictions.parquet").equals(table)
    components = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["components"]
    assert components["predictions"] == "predictions.parquet"
    assert "signals" not in components  # which the result loader would refuse
    assert pl.read_parquet(folder / "signals.parquet")["selected"].to_list() == [False]
