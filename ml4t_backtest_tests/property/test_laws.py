"""Metamorphic laws: how the results of two related worlds are related.

Each holds to the bit under the models that its docstring names; floating point multiplies by powers of two, and
subtracts multiples of 1/64, without loss. `detail` is left out where it is a sentence with numbers.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from oracle import worlds
from oracle.adapter import frame
from oracle.vocabulary import Bar, F, Line, Tape, World

from ml4t_backtest import BacktestResult, PolarsDataFeed
from ml4t_backtest.core.columns import MONEY, PER_SHARE
from ml4t_backtest.core.schemas import result_schemas
from property.drawn import bounded, scenes
from property.lives import live, prepared
from property.scenes import Scene

PRICES = ("limit", "stop", "trailing_amount", "stop_loss", "take_profit")
WORLDS_PER_LAW = 25


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(), k=st.sampled_from([F(1, 4), F(1, 2), F(2), F(8)]))
def test_prices_times_k_and_quantities_over_k_leave_all_money_as_it_is(scene: Scene, k: F) -> None:
    """Fractional shares; k a power of two; volume over k; amounts per share (slippage, commission, dividend) times k.

    Holds for every order type, both accounts and all costs.
    """
    scene = _fractional(scene)
    world = _in_other_units(scene.world, k)
    tape = _each(scene.tape, lambda line: _scaled(line, {**dict.fromkeys(PRICES, k), "quantity": 1 / k}))
    other = replace(scene, world=world, tape=tape)
    _agree(scene, live(scene).result, live(other).result, {"shares": float(1 / k), PER_SHARE: float(k)})


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(), k=st.sampled_from([F(2), F(4)]))
def test_doubled_capital_trades_and_earns_double(scene: Scene, k: F) -> None:
    """Fractional shares; quantities, volume, fees per order and minimum fees doubled (or quadrupled) too.

    Holds for every order type, both accounts and all costs but tiers, whose bounds are amounts.
    """
    scene = _fractional(scene, without="commission")
    tape = _each(scene.tape, lambda line: _scaled(line, {"quantity": k, "value": k}))
    other = replace(scene, world=_of_capital(scene.world, k), tape=tape)
    _agree(scene, live(scene).result, live(other).result, {"shares": float(k), MONEY: float(k)})


@bounded(WORLDS_PER_LAW)
@given(
    scene=scenes(),
    name=st.sampled_from(["0", "AA", "BB", "E"]),
    sessions=st.sets(st.integers(0, 14), min_size=1),
    ratio=st.sampled_from([F(2), F(1, 2)]),
)
def test_a_symbol_that_is_never_traded_changes_nothing(scene: Scene, name: str, sessions: set[int], ratio: F) -> None:
    """Whatever its bars, wherever in the order of symbols, with a split of its own; under all models."""
    days = len(scene.world.days)
    bars = tuple(Bar(F(9), F(12), F(7), F(8), F(5)) if now in sessions else None for now in range(days))
    if not any(bars):
        bars = (Bar(F(9), F(12), F(7), F(8), F(5)), *bars[1:])
    split = type(scene.world.actions[0])(days - 1, name, "split", ratio) if scene.world.actions else None
    actions = (*scene.world.actions, split) if split else scene.world.actions
    other = replace(scene, world=replace(scene.world, bars={name: bars, **scene.world.bars}, actions=actions))
    _agree(scene, live(scene).result, live(other).result)


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(), data=st.data())
def test_the_order_of_input_rows_changes_nothing(scene: Scene, data: st.DataObject) -> None:
    """Raw bars in any order; under all models."""
    rows = frame(scene.world)
    shuffled = rows[data.draw(st.permutations(range(rows.height)))]
    one, other = (live(scene, _raw(bars, scene)).result for bars in (rows, shuffled))
    _agree(scene, one, other)


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(), data=st.data())
def test_other_names_in_the_same_order_change_nothing_but_names(scene: Scene, data: st.DataObject) -> None:
    """Symbols are compared by name only; under all models."""
    old = sorted(scene.world.bars)
    name = st.text("aZ09.", min_size=1, max_size=5)
    new = sorted(data.draw(st.lists(name, min_size=len(old), max_size=len(old), unique=True)))
    names = dict(zip(old, new, strict=True))
    other = replace(scene, world=_renamed(scene.world, names), tape=_each(scene.tape, lambda li: _called(li, names)))
    back = {there: here for here, there in names.items()}
    tables = live(other).result.tables()
    found = {
        table: rows.with_columns(pl.col("symbol").replace(back)) if "symbol" in rows.columns else rows
        for table, rows in tables.items()
    }
    _agree(scene, live(scene).result, found)


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(), weeks=st.integers(-150, 80).filter(bool))
def test_whole_weeks_later_the_same_happens(scene: Scene, weeks: int) -> None:
    """On a calendar without holidays and summer time (24/7); under all models, fees and interest by days included."""
    shift = timedelta(weeks=weeks)
    other = replace(scene, world=replace(scene.world, days=tuple(day + shift for day in scene.world.days)))
    one, later = (live(each, _never_closed(each)).result for each in (scene, other))
    moments = (pl.Datetime, pl.Date)
    found = {
        table: rows.with_columns(
            pl.col(column) - shift for column, kind in rows.schema.items() if kind.base_type() in moments
        )
        for table, rows in later.tables().items()
    }
    _agree(scene, one, found)


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(), data=st.data())
def test_splitting_the_data_into_files_changes_nothing(scene: Scene, data: st.DataObject) -> None:
    """Any rows in any of up to three Parquet files of a folder; under all models."""
    rows = frame(scene.world)
    places = data.draw(st.lists(st.integers(0, 2), min_size=rows.height, max_size=rows.height))
    with tempfile.TemporaryDirectory() as folder:
        for place in sorted(set(places)):
            rows.filter(pl.Series(places) == place).write_parquet(Path(folder) / f"{place}.parquet")
        found = live(scene, _raw(folder, scene)).result
    _agree(scene, live(scene, _raw(rows, scene)).result, found)


MIRROR = F(1024)
HAS_A_MIRROR = worlds.FEATURES - {"percent", "rebalance", "splits", "dividends", "fractional", "borrow", "policy"}


@bounded(WORLDS_PER_LAW)
@given(scene=scenes(HAS_A_MIRROR, plain=True))
def test_longs_in_a_world_are_shorts_in_its_mirror_image(scene: Scene) -> None:
    """Prices p become 1024 - p, buys become sells: the same fills, the same equity.

    A margin account so rich that margin never binds; costs per share and per order; levels and distances in money;
    dyadic numbers; no splits, dividends, fees on value or sizes by percent, which know the price itself. Results of
    trades within 1e-9 x max(1, turnover), because average prices divide; everything else to the bit.
    """
    plain = _rich_and_plain(scene.world)
    scene = replace(scene, world=plain, tape=_each(scene.tape, _in_money))
    path = {"ohlc": "olhc", "olhc": "ohlc"}.get(plain.intrabar_path, plain.intrabar_path)
    mirrored = replace(plain, bars=_reflected(plain), intrabar_path=path)
    one = live(scene).result
    other = live(replace(scene, world=mirrored, tape=_each(scene.tape, _turned))).result
    assert other.fills["raw_price"].to_list() == [float(MIRROR) - price for price in one.fills["raw_price"]], str(scene)
    swapped = {"buy": "sell", "sell": "buy", "long": "short", "short": "long", "rising": "falling", "falling": "rising"}
    for table, columns in {
        "fills": ["fill_id", "order_id", "symbol", "timestamp", "quantity", "commission", "slippage"],
        "orders": ["order_id", "symbol", "status", "reason", "filled_quantity", "last_timestamp"],
        "trades": ["trade_id", "symbol", "exit_reason", "entry_timestamp", "exit_timestamp", "ambiguous_bar"],
        "portfolio_states": ["timestamp", "num_positions", "equity"],
    }.items():
        assert one.tables()[table].select(columns).equals(other.tables()[table].select(columns)), f"{table}\n{scene}"
    for table, column in (("fills", "side"), ("fills", "phase"), ("trades", "side")):
        turned = [swapped.get(value, value) for value in one.tables()[table][column]]
        assert other.tables()[table][column].to_list() == turned, f"{table}.{column}\n{scene}"
    turnover = max(math.fsum(each.fills["quantity"] * each.fills["price"]) for each in (one, other))
    for column in ("pnl_net", "pnl_gross"):
        for here, there in zip(one.trades[column], other.trades[column], strict=True):
            assert abs(here - there) <= 1e-9 * max(1.0, turnover), f"trades.{column}\n{scene}"


# How two results are compared


def _agree(
    scene: Scene,
    one: BacktestResult,
    other: BacktestResult | Mapping[str, pl.DataFrame],
    factors: Mapping[str, float] | None = None,
) -> None:
    """Raise unless both have the same tables, to the bit, numbers of a unit multiplied by its factor."""
    found = other if isinstance(other, Mapping) else other.tables()
    for table, schema in result_schemas().items():
        units = {name: (column.metadata or {}).get("unit") for name, column in schema.columns.items()}
        scaled = {name: (factors or {}).get(unit or "", 1.0) for name, unit in units.items()}
        wanted = one.tables()[table].with_columns(pl.col(name) * k for name, k in scaled.items() if k != 1.0)
        names = [name for name in wanted.columns if name != "detail"]
        for name in names:
            left, right = wanted[name], found[table][name]
            assert left.equals(right, null_equal=True), f"{table}.{name}: {left.to_list()}\n{right.to_list()}\n{scene}"


# How worlds are related


def _each(tape: Tape, change: Any) -> Tape:
    return {now: tuple(change(line) for line in lines) for now, lines in tape.items()}


def _fractional(scene: Scene, *, without: str = "") -> Scene:
    """Return a scene that trades parts of shares, without an option that knows amounts."""
    extras = {name: value for name, value in scene.extras.items() if name not in ("lot_size", without)}
    return replace(scene, world=replace(scene.world, fractional=True), extras=extras)


def _scaled(line: Line, factors: Mapping[str, F]) -> Line:
    said = {name: getattr(line, name) for name in factors}
    return replace(line, **{name: value * factors[name] for name, value in said.items() if value is not None})


def _in_other_units(world: World, k: F) -> World:
    slippage = {"fixed": k, "spread": k}.get(world.slippage[0])
    commission = world.commission
    if commission[0] == "per_share":
        commission = ("per_share", commission[1] * k, commission[2])
    return replace(
        world,
        bars={
            symbol: tuple(
                bar and Bar(bar.open * k, bar.high * k, bar.low * k, bar.close * k, bar.volume / k) for bar in bars
            )
            for symbol, bars in world.bars.items()
        },
        slippage=(world.slippage[0], world.slippage[1] * slippage) if slippage else world.slippage,
        commission=commission,
        actions=tuple(replace(a, value=a.value * k) if a.kind == "dividend" else a for a in world.actions),
        delistings=tuple((symbol, now, price * k) for symbol, now, price in world.delistings),
    )


def _of_capital(world: World, k: F) -> World:
    commission = world.commission
    if commission[0] == "per_share":
        commission = (*commission[:2], commission[2] * k)
    if commission[0] == "per_order":
        commission = ("per_order", commission[1] * k)
    bars = {
        symbol: tuple(bar and replace(bar, volume=bar.volume * k) for bar in bars)
        for symbol, bars in world.bars.items()
    }
    return replace(world, capital=world.capital * k, bars=bars, commission=commission)


def _renamed(world: World, names: Mapping[str, str]) -> World:
    return replace(
        world,
        bars={names[symbol]: bars for symbol, bars in world.bars.items()},
        actions=tuple(replace(action, symbol=names[action.symbol]) for action in world.actions),
        delistings=tuple((names[symbol], *rest) for symbol, *rest in world.delistings),
    )


def _called(line: Line, names: Mapping[str, str]) -> Line:
    weights = tuple((names[symbol], weight) for symbol, weight in line.weights)
    return replace(line, symbol=names.get(line.symbol, ""), weights=weights)


def _raw(bars: Any, scene: Scene) -> PolarsDataFeed:
    return PolarsDataFeed(bars, bar_label="session", frequency="1d", chunk=scene.chunk, validation="fast")


def _never_closed(scene: Scene) -> PolarsDataFeed:
    rows = prepared(scene.world, all_day=True)
    return PolarsDataFeed(rows, calendar="24/7", chunk=scene.chunk, validation="fast")


def _rich_and_plain(world: World) -> World:
    rates = {"percentage": ("none",), "per_share": ("per_share", F(5, 1024), F(1, 2))}
    return replace(
        world,
        account="margin",
        capital=F(2**30),
        slippage=rates.get(world.slippage[0], world.slippage),
        commission=rates.get(world.commission[0], world.commission),
    )


def _reflected(world: World) -> dict[str, tuple[Bar | None, ...]]:
    def turned(bar: Bar) -> Bar:
        return Bar(MIRROR - bar.open, MIRROR - bar.low, MIRROR - bar.high, MIRROR - bar.close, bar.volume)

    return {symbol: tuple(bar and turned(bar) for bar in bars) for symbol, bars in world.bars.items()}


def _in_money(line: Line) -> Line:
    """Return a line whose distances are amounts."""
    plain = replace(line, stop_loss_percent=None, take_profit_percent=None, trailing_stop_percent=None)
    if line.trailing_percent is None:
        return plain
    return replace(plain, trailing_percent=None, trailing_amount=F(3, 2))


def _turned(line: Line) -> Line:
    action = {"buy": "sell", "sell": "buy"}.get(line.action, line.action)
    prices = {name: getattr(line, name) for name in ("limit", "stop", "stop_loss", "take_profit")}
    levels = {name: MIRROR - price for name, price in prices.items() if price is not None}
    is_target = line.action == "order_target_quantity"
    quantity = -line.quantity if is_target and line.quantity is not None else line.quantity
    return replace(line, action=action, quantity=quantity, **levels)
