"""The measured strategies: both modes order the same, and as many fills come out as the data promises."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.strategies import INVESTED, TOP, strategy_of
from benchmarks.tasks import TASKS, Task, task_of
from benchmarks.works import CAPITAL, Facts, Work, facts_of, months_of
from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed

WORK = Work("small", 40, date(2004, 1, 2), 200)


@cache
def bars() -> tuple[pl.DataFrame, Facts]:
    frame = pl.concat(part for _, part in months_of(WORK))
    return frame, facts_of(frame["p"].to_numpy().reshape(-1, WORK.symbols))


def run(task: Task, mode: str, profile: str | None = None) -> BacktestResult:
    strategy = strategy_of(task.strategy, mode, enter=task.enter, leave=task.leave, last=WORK.last_symbol)
    # Known before the close, so that it may be traded on at the close as well.
    known = bars()[0].with_columns(pl.col("p_available_at") - timedelta(microseconds=1))
    feed = PolarsDataFeed(known, signal_columns=["p"])
    return BacktestEngine(feed, strategy, initial_capital=CAPITAL, profile=profile).run()


@pytest.mark.parametrize("profile", [None, "zipline@3", "vectorbt@1.2"])
@pytest.mark.parametrize("name", TASKS)
def test_both_modes_give_the_same_orders(name: str, profile: str | None) -> None:
    task = task_of(name, bars()[1])
    batch, symbol = run(task, "batch", profile), run(task, "symbol", profile)
    assert_frame_equal(batch.fills, symbol.fills)
    assert_frame_equal(batch.portfolio_states, symbol.portfolio_states)


@pytest.mark.parametrize("rate", ["0", "0.01", "0.1"])
def test_every_promised_order_fills(rate: str) -> None:
    facts = bars()[1]
    result = run(task_of(rate, facts), "batch")
    assert result.fills.height == facts.orders[rate]
    assert result.orders.height == facts.orders[rate]
    assert abs(facts.orders[rate] - float(rate) * facts.rows) <= 1


def test_buy_and_hold_buys_each_symbol_once() -> None:
    result = run(task_of("hold", bars()[1]), "batch")
    assert result.fills["symbol"].n_unique() == result.fills.height == WORK.symbols


def test_the_top_strategy_holds_the_highest_predictions() -> None:
    result = run(task_of("top25", bars()[1]), "batch")
    states = result.portfolio_states
    assert states["num_positions"].to_list()[1:] == [TOP] * (states.height - 1)
    # Half of the money is invested; prices move it a little between the decision and the close after the fill.
    assert np.allclose(states["gross_leverage"].to_numpy()[1:], INVESTED, atol=0.05)


def test_brackets_never_hold_more_than_their_room_and_end_by_stop_or_target() -> None:
    result = run(task_of("brackets", bars()[1]), "batch")
    assert result.portfolio_states["num_positions"].max() <= TOP
    closed = result.trades.filter(pl.col("status") == "closed")
    assert set(closed["exit_reason"].unique()) == {"stop_loss", "take_profit"}


def test_an_unknown_task_or_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="no task 'everything'"):
        task_of("everything", bars()[1])
    with pytest.raises(ValueError, match="no strategy 'magic'"):
        strategy_of("magic", "batch", enter=0.0, leave=0.0, last="S")
