"""Trades in buckets, rolling ratios, turnover, prices with fills, capacity: each by hand."""

from __future__ import annotations

import math

import polars as pl
import pytest
from worlds import DAYS, Step, bars, closes, run

from ml4t_backtest import BacktestResult
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.reporting.breakdown_charts import exposure_figure
from ml4t_backtest.reporting.breakdowns import (
    by_exit_reason,
    by_known_value,
    histogram,
    known_columns,
    monthly_turnover,
    rolling_sharpe,
)
from ml4t_backtest.reporting.capacity import capacity
from ml4t_backtest.reporting.metrics import sharpe_ratio
from ml4t_backtest.reporting.price_chart import price_figures

# Bought at 10, sold at 13; bought at 12, stopped out at 11; bought at 11 and held at 12.
PLAN: dict[int, Step] = {
    0: lambda s: s.buy("A", 10),
    1: lambda s: s.close_position("A"),
    2: lambda s: s.buy("A", 10, stop_loss=11.0),
    4: lambda s: s.buy("A", 10),
}
PRICES = {"A": [10, 10, 13, 12, (12, 12, 10, 11), 11, 12]}


def mixed() -> BacktestResult:
    return run(PRICES, PLAN)


def seen(values: list[float | str | bool | None], nets: list[float]) -> pl.DataFrame:
    """Trades that saw `values` in a column `score` and earned `nets`, each of a notional of 100."""
    return pl.DataFrame({"decision_score": values, "pnl_net": nets, "pnl_percent": [net / 100.0 for net in nets]})


def test_trades_by_what_ended_them_put_the_largest_gain_first() -> None:
    told = [(bucket.label, bucket.trades, bucket.gains, bucket.pnl_net) for bucket in by_exit_reason(mixed().trades)]
    assert told == [("signal", 1, 1, 30.0), ("still open", 1, 1, 10.0), ("stop_loss", 1, 0, -10.0)]


def test_halves_of_four_values_hold_two_each() -> None:
    low, high = by_known_value(seen([0.4, 0.1, 0.3, 0.2], [8.0, -2.0, 4.0, 1.0]), "score", 2)
    assert (low.label, low.trades, low.gains, low.pnl_net, low.mean_return) == ("0.1 to 0.2", 2, 1, -1.0, -0.005)
    assert (high.label, high.trades, high.gains, high.pnl_net, high.mean_return) == ("0.3 to 0.4", 2, 2, 12.0, 0.06)


def test_equal_values_are_never_parted() -> None:
    found = by_known_value(seen([0.1, 0.2, 0.2, 0.2, 0.2, 0.3], [1.0] * 6), "score", 2)
    # The median is 0.2, so everything from it on is the upper half.
    assert [(bucket.label, bucket.trades) for bucket in found] == [("0.1", 1), ("0.2 to 0.3", 5)]


@pytest.mark.parametrize(
    ("values", "labels"), [(["calm", "wild", "calm"], ["calm", "wild"]), ([True, False, True], ["False", "True"])]
)
def test_few_values_have_a_bucket_each(values: list[float | str | bool | None], labels: list[str]) -> None:
    assert [bucket.label for bucket in by_known_value(seen(values, [1.0, 2.0, 3.0]), "score", 5)] == labels


def test_trades_that_knew_nothing_are_in_no_bucket() -> None:
    found = by_known_value(seen([None, 0.2, math.nan, 0.4], [1.0, 2.0, 4.0, 8.0]), "score", 5)
    assert [(bucket.label, bucket.pnl_net) for bucket in found] == [("0.2", 2.0), ("0.4", 8.0)]


def test_deciles_of_many_trades_add_up_to_all_of_them() -> None:
    values = [math.sin(index * 1.7) for index in range(237)]
    found = by_known_value(seen(list(values), [value * 10.0 for value in values]), "score", 10)
    assert [bucket.trades for bucket in found] == [23, 24, 24, 23, 24, 24, 23, 24, 24, 24]
    assert math.fsum(bucket.pnl_net for bucket in found) == pytest.approx(math.fsum(value * 10.0 for value in values))
    assert [bucket.mean_return for bucket in found] == sorted(bucket.mean_return for bucket in found)


def test_what_is_known_of_the_market_is_told_from_what_is_known_of_a_symbol() -> None:
    prices = bars({"A": [10, 10, 11, 12, 13]}).with_columns(score=pl.Series([0.5, 0.6, 0.7, 0.8, 0.9]))
    context = pl.DataFrame({"timestamp": DAYS[:5], "vix": [20.0, 21.0, 22.0, 23.0, 24.0], "same": [1.0] * 5})
    feed = {"context_data": context, "context_available_at": "market_close"}
    feed |= {"context_columns": ["vix", "same"], "signal_columns": ["score"]}
    plan: dict[int, Step] = {
        0: lambda s: s.buy("A", 1),
        1: lambda s: s.close_position("A"),
        2: lambda s: s.buy("A", 1),
    }
    result = run(prices, plan, feed=feed)
    # `same` has one value only: there is nothing to compare.
    assert known_columns(result) == (["score"], ["vix"])


def test_a_rolling_ratio_is_the_ratio_of_each_window() -> None:
    returns = [0.01, -0.02, 0.03, 0.01, -0.01, 0.02]
    found = rolling_sharpe(returns, 3)
    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([sharpe_ratio(returns[end - 3 : end]) for end in range(3, 7)], rel=1e-12)


def test_a_window_without_spread_has_no_ratio() -> None:
    assert rolling_sharpe([0.0, 0.0, 0.0, 0.01], 3)[2:] == [None, pytest.approx(math.sqrt(252) / math.sqrt(3))]
    assert rolling_sharpe([0.01], 3) == [None]


def test_equal_returns_are_one_bar() -> None:
    assert histogram([0.0, 0.0]) == ([0.0005], [2], 0.001)


def test_turnover_of_a_month_is_traded_money_over_equity_at_its_end() -> None:
    # 100 + 130, 120 + 110, 110 traded; all in one month; 1,000 + 30 - 10 + 10 at its end.
    ((month, share),) = monthly_turnover(mixed())
    assert month == f"{DAYS[0]:%Y-%m}"
    assert share == pytest.approx((100 + 130 + 120 + 110 + 110) / 1_030, rel=1e-12)


def test_a_price_chart_has_closes_and_every_fill_at_its_price() -> None:
    charts = price_figures(mixed(), stamped(PRICES))
    close, bought, sold = charts["A"]["data"]
    assert close["y"] == [10.0, 10.0, 13.0, 12.0, 11.0, 11.0, 12.0]
    assert (bought["y"], sold["y"]) == ([10.0, 12.0, 11.0], [13.0, 11.0])
    assert bought["x"] == [f"{DAYS[day]}" for day in (1, 3, 5)]
    assert sold["customdata"][0] == "sold 10 at 13.00"


def test_without_bars_a_price_chart_has_the_fills() -> None:
    assert [line["name"] for line in price_figures(mixed(), None)["A"]["data"]] == ["Bought", "Sold"]


def test_capacity_is_the_equity_at_which_a_fill_would_be_a_hundredth_of_the_volume() -> None:
    plan: dict[int, Step] = {0: lambda s: s.buy("A", 2)}
    result = run({"A": [10, 10, 10]}, plan)
    # 2 of 1,000 shares traded at an equity of 1,000: one in a hundred would be 10 shares, at 5,000.
    assert capacity(result, stamped({"A": [10, 10, 10]})) == pytest.approx(5_000.0, rel=1e-12)
    assert capacity(result, stamped({"A": [10, 10, 10]}).with_columns(volume=0.0)) is None


def test_exposure_of_a_long_only_run_is_one_line_and_of_a_short_one_two() -> None:
    assert len(exposure_figure(mixed())["data"]) == 1
    short = run({"A": [10, 10, 10]}, {0: lambda s: s.sell("A", 10)}, account=MarginAccount())
    gross, net = exposure_figure(short)["data"]
    assert gross["y"][1:] == [0.1, 0.1]
    assert net["y"][1:] == [-0.1, -0.1]


def stamped(prices: dict[str, list[object]]) -> pl.DataFrame:
    """Return bars as a prepared data set has them, at their closes."""
    ends = {DAYS[index]: closes(index) for index in range(len(DAYS))}
    frame = bars(prices)  # type: ignore[arg-type]
    stamps = pl.Series([ends[day] for day in frame["timestamp"].to_list()], dtype=pl.Datetime("us", "UTC"))
    return frame.with_columns(timestamp=stamps)
