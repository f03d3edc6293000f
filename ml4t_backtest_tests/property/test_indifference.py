"""What must not matter: how a run is cut into chunks, called back, ordered one by one, and what happens later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from oracle.vocabulary import Bar, Line, World
from worlds import same_tables

from property.drawn import bounded, scenes
from property.lives import BatchPlayer, Life, live
from property.scenes import Scene, scene

PROTECTION = ("stop_loss", "take_profit", "stop_loss_percent", "take_profit_percent", "trailing_stop_percent")
SHARED = ("tif", *PROTECTION, "max_holding_bars")
PRICED = ("limit", "stop", "trailing_amount", "trailing_percent", "percent")


@bounded(40)
@given(scene=scenes(), chunk=st.integers(1, 8) | st.just("1w"))
def test_chunk_size_changes_nothing_to_the_bit(scene: Scene, chunk: int | str) -> None:
    one, other = live(replace(scene, chunk=chunk)), live(replace(scene, chunk=20))
    assert same_tables(one.result, other.result), str(scene)


@bounded(40)
@given(scene=scenes())
def test_callback_mode_changes_nothing_to_the_bit(scene: Scene) -> None:
    one, other = live(replace(scene, mode="batch")), live(replace(scene, mode="symbol"))
    assert same_tables(one.result, other.result), str(scene)


@bounded(40)
@given(scene=scenes(frozenset({"market", "margin", "brackets", "tif", "time_exit", "costs", "missing", "volume"})))
def test_orders_of_a_batch_are_orders_one_by_one(scene: Scene) -> None:
    one, other = live(replace(scene, mode="batch")), live(scene, player=Batching(scene))
    assert same_tables(one.result, other.result), str(scene)


@bounded(60)
@given(before=scenes(), number=st.integers(0, 2**24), data=st.data())
def test_prices_after_a_moment_change_nothing_up_to_it(before: Scene, number: int, data: st.DataObject) -> None:
    now = data.draw(st.integers(0, len(before.world.days) - 2))
    after = replace(before, world=_with_another_future(before.world, scene(number).world, now))
    one, other = live(before), live(after)
    for table, rows in _until(one, now).items():
        assert _until(other, now)[table].equals(rows, null_equal=True), f"{table} up to slice {now}\n{before}\n{after}"


class Batching(BatchPlayer):
    """Hands market orders that stand together on the tape to `submit_batch`."""

    def play(self, lines: Sequence[Line]) -> None:
        for terms, together in groupby(lines, key=_terms):
            batch = list(together)
            if terms is None:
                super().play(batch)
                continue
            signed = [float(line.quantity or 0) * (1.0 if line.action == "buy" else -1.0) for line in batch]
            self.note(batch, self.submit_batch([line.symbol for line in batch], signed, **dict(terms)))


def _terms(line: Line) -> tuple[tuple[str, Any], ...] | None:
    """Return what the orders of one batch have in common; None for a line that is no such order."""
    priced = line.market_on_close or any(getattr(line, name) is not None for name in PRICED)
    if line.action not in ("buy", "sell") or priced:
        return None
    said = {name: getattr(line, name) for name in SHARED}
    whole = ("tif", "max_holding_bars")
    return tuple((name, v if name in whole else float(v)) for name, v in said.items() if v is not None)


def _with_another_future(world: World, other: World, now: int) -> World:
    """Return a world with the bars of another one after slice `now`, and no corporate actions there."""
    stand_ins = sorted(other.bars)
    days = len(world.days)
    bars: dict[str, tuple[Bar | None, ...]] = {}
    for place, (symbol, own) in enumerate(sorted(world.bars.items())):
        future = other.bars[stand_ins[place % len(stand_ins)]]
        future = (*future, *(future[-1] for _ in range(days)))[:days]
        bars[symbol] = (*own[: now + 1], *future[now + 1 :])
    # Every session keeps a bar, so that both worlds have the same slices.
    first = min(bars)
    spare = next(bar for own in world.bars.values() for bar in own if bar is not None)
    held = [any(own[day] is not None for own in bars.values()) for day in range(days)]
    bars[first] = tuple(bar if kept else spare for bar, kept in zip(bars[first], held, strict=True))
    return replace(world, bars=bars, actions=tuple(action for action in world.actions if action.slice <= now))


def _until(life: Life, now: int) -> dict[str, pl.DataFrame]:
    """Return everything that was recorded up to the end of a slice."""
    result, moment = life.result, life.result.portfolio_states["timestamp"][min(now, len(life.states) - 1)]
    past = pl.col("timestamp") <= moment
    tables = ("fills", "portfolio_states", "cash_flows", "daily_returns")
    ids = [order_id for order_id, placed in life.placed.items() if placed.now <= now]
    ended = (pl.col("last_timestamp") <= moment) & (pl.col("status") != "expired")
    return {
        **{table: result.tables()[table].filter(past) for table in tables},
        # What becomes of an order may lie in the future, and splits change its quantity; that it was made does not.
        "orders made": result.orders.filter(pl.col("order_id").is_in(ids)).select("order_id", "symbol", "side"),
        "orders ended": result.orders.filter(ended),
        "trades": result.trades.filter(pl.col("exit_timestamp") <= moment),
    }
