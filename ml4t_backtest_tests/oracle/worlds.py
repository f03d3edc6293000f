"""Seeded small worlds with a tape of instructions, made so that every branch of the contract happens often.

`python -m oracle.worlds 2000` (from ml4t_backtest_tests) prints how often what happened.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from random import Random
from typing import Any

from oracle.reference import reference
from oracle.vocabulary import DAYS, NOTHING, Action, Bar, F, Line, Report, Tape, World

BASIC = frozenset({"market", "targets", "rebalance", "percent", "splits", "dividends", "costs", "missing", "policy"})
ORDERS = frozenset({"limit", "stop", "stop_limit", "trailing", "moc", "tif", "cancel", "replace"})
EXITS = frozenset({"brackets", "time_exit", "paths"})
ACCOUNT = frozenset({"margin", "borrow", "volume", "more_costs", "fractional", "end_close", "delisting"})
FEATURES = BASIC | ORDERS | EXITS | ACCOUNT
# What needs a division or a rate that is no power of two.
INEXACT = frozenset({"percent", "rebalance", "fractional", "borrow"})
TICK = F(1, 64)
Bars = tuple[Bar | None, ...]


def generate(seed: int, features: Collection[str] = FEATURES) -> tuple[World, Tape]:
    """Return a world and a tape; even seeds are exact: dyadic numbers, whole shares, no divisions."""
    rng = Random(seed)
    exact = seed % 2 == 0
    allowed = frozenset(features) - (INEXACT if exact else frozenset())
    # A subset, so that worlds with one thing only are among them.
    used = allowed if rng.random() < 0.4 else frozenset(f for f in sorted(allowed) if rng.random() < 0.5)
    used = used or allowed
    world = _world(rng, used, exact)
    return world, _tape(rng, used, world)


def _world(rng: Random, used: Collection[str], exact: bool) -> World:
    sessions = rng.randint(5, 15)
    symbols = "ABCD"[: rng.randint(1, 4)]
    actions = _actions(rng, used, exact, symbols, sessions)
    splits = [action for action in actions if action.kind == "split"]
    bars = {
        symbol: _bars(rng, sessions, [s for s in splits if s.symbol == symbol], "volume" in used) for symbol in symbols
    }
    if "missing" in used:
        bars = _with_holes(rng, bars, "delisting" in used)
    number = (lambda top: F(rng.randint(1, top), 1024)) if exact else (lambda top: F(rng.uniform(0.0001, top / 1024)))
    return World(
        bars=bars,
        capital=F(rng.choice([256, 1024, 1024, 4096, 16384])),
        account="margin" if "margin" in used else "cash",
        slippage=_slippage(rng, used, number),
        commission=_commission(rng, used, number),
        max_volume_share=rng.choice([F(1, 8), F(1, 4), F(1, 2)]) if "volume" in used else None,
        fractional="fractional" in used,
        intrabar_path=rng.choice(["pessimistic", "optimistic", "ohlc", "olhc"]) if "paths" in used else "pessimistic",
        on_insufficient_cash=rng.choice([None, None, "clip", "reject"]) if "policy" in used else None,
        end_of_data=rng.choice(["mark", "close"]) if "end_close" in used else "mark",
        actions=actions,
        delisting_after=rng.choice([2, 3]) if "delisting" in used else 10,
        borrow_rate=F(rng.uniform(0.01, 0.2)) if "borrow" in used else NOTHING,
        initial=rng.choice([F(1, 2), F(3, 8)]),
        maintenance=(F(1, 4), F(5, 16)),
        days=DAYS[:sessions],
        exact=exact,
    )


def _bars(rng: Random, sessions: int, splits: list[Action], thin: bool) -> Bars:
    """A walk on a coarse grid, so that prices meet levels exactly."""
    close, bars = F(rng.randint(32, 256), 4), []
    step = rng.choice([F(1, 4), F(1, 2), F(1), TICK * 3, max(close / 16, F(1, 4))])
    step = F(round(step * 64), 64)
    for now in range(sessions):
        for split in splits:
            close = max(F(round(close / split.value * 64), 64), F(8)) if split.slice == now else close
        opened = max(close + step * rng.choice([-4, -2, -1, 0, 0, 0, 1, 2, 4]), F(4))
        close = max(opened + step * rng.randint(-4, 4), F(4))
        high = max(opened, close) + step * rng.choice([0, 0, 1, 2, 4])
        low = max(min(opened, close) - step * rng.choice([0, 0, 1, 2, 4]), F(2))
        volume = rng.choice([0, 4, 8, 20, 40, 100]) if thin else rng.choice([0, 1000])
        bars.append(Bar(opened, high, low, close, F(volume)))
    return tuple(bars)


def _with_holes(rng: Random, bars: dict[str, Bars], long: bool) -> dict[str, Bars]:
    """Take bars away: single ones, starts and ends; every session keeps one."""
    symbols, sessions = sorted(bars), len(next(iter(bars.values())))
    kept = {symbol: list(bars[symbol]) for symbol in symbols}
    for symbol in symbols[1:]:
        first = rng.choice([0, 0, 0, 2])
        last = sessions - (rng.randint(2, 4) if long and sessions > 6 and rng.random() < 0.5 else 0)
        lonely = rng.randrange(first, last)
        for now in range(sessions):
            if now != lonely and (now < first or now >= last or rng.random() < 0.12):
                kept[symbol][now] = None
    for now in range(sessions):
        if now > 0 and rng.random() < 0.12 and any(kept[symbol][now] for symbol in symbols[1:]):
            kept[symbols[0]][now] = None
    return {symbol: tuple(row) for symbol, row in kept.items()}


def _actions(rng: Random, used: Collection[str], exact: bool, symbols: str, sessions: int) -> tuple[Action, ...]:
    actions = []
    for symbol in symbols:
        if "splits" in used and rng.random() < 0.7:
            ratio = rng.choice([F(2), F(2), F(4), F(1, 2)] if exact else [F(2), F(3, 2), F(3, 2), F(5, 4), F(1, 2)])
            actions.append(Action(rng.randint(2, sessions - 1), symbol, "split", ratio))
        if "dividends" in used and rng.random() < 0.7:
            actions.append(Action(rng.randint(1, sessions - 1), symbol, "dividend", F(rng.randint(1, 64), 64)))
    return tuple(actions)


def _slippage(rng: Random, used: Collection[str], number: Any) -> tuple:
    choices: list[tuple] = [("none",)]
    if "costs" in used:
        choices += [("percentage", number(8))] * 2
    if "more_costs" in used:
        choices += [("fixed", rng.randint(1, 16) * TICK), ("spread", 2 * rng.randint(1, 16) * TICK)]
    return rng.choice(choices)


def _commission(rng: Random, used: Collection[str], number: Any) -> tuple:
    choices: list[tuple] = [("none",)]
    if "costs" in used:
        choices += [("percentage", number(8))] * 2
    if "more_costs" in used:
        choices += [("per_share", number(64), F(rng.randint(0, 64), 64)), ("per_order", F(rng.randint(1, 128), 64))]
    return rng.choice(choices)


# The tape


def _tape(rng: Random, used: Collection[str], world: World) -> Tape:
    tape: dict[int, tuple[Line, ...]] = {}
    placed: list[Line] = []
    for now in range(len(world.days)):
        lines = []
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            line = _line(rng, used, world, now, placed)
            lines.append(line)
            if line.action in ("buy", "sell") or line.action.startswith(("order_target", "close")):
                placed.append(line)
        tape[now] = tuple(lines)
    return tape


def _line(rng: Random, used: Collection[str], world: World, now: int, placed: list[Line]) -> Line:
    symbol = rng.choice(sorted(world.bars))
    if placed and rng.random() < 0.12 and {"cancel", "replace"} & set(used):
        return _change(rng, used, world, now, placed)
    draw = rng.random()
    if "rebalance" in used and draw < 0.2:
        names = [name for name in sorted(world.bars) if rng.random() < 0.7]
        signs = [1, 1, 1, 1, -1] if world.account == "margin" else [1]
        weights = tuple((name, F(rng.uniform(0.0, 0.9)) * rng.choice(signs)) for name in names)
        return Line("rebalance", weights=weights, others=rng.choice(["close", "keep"]))
    if "targets" in used and draw < 0.28:
        return _target(rng, used, world, symbol) if draw < 0.25 else Line("close_position", symbol)
    return _order(rng, used, world, now, symbol)


def _target(rng: Random, used: Collection[str], world: World, symbol: str) -> Line:
    kinds = ["quantity"] + (["percent", "value"] if "percent" in used else [])
    kind = rng.choice(kinds)
    least = -1 if world.account == "margin" else 0
    if kind == "quantity":
        return Line(
            "order_target_quantity",
            symbol,
            quantity=F(rng.choice([0, rng.randint(1, 40), rng.randint(1, 40), least * 10])),
        )
    if kind == "percent":
        return Line("order_target_percent", symbol, percent=F(rng.uniform(least * 0.5, 0.9)))
    return Line("order_target_value", symbol, value=F(rng.uniform(least * 0.5, 0.9)) * world.capital)


def _order(rng: Random, used: Collection[str], world: World, now: int, symbol: str) -> Line:
    action = "buy" if rng.random() < 0.62 else "sell"
    side = 1 if action == "buy" else -1
    mark = next((bar.close for bar in reversed(world.bars[symbol][: now + 1]) if bar), F(32))
    share = rng.choice([F(1, 8), F(1, 4), F(1, 2), F(1), F(3, 2), *([F(2), F(3)] if world.account == "margin" else [])])
    line = Line(action, symbol, quantity=F(max(math.trunc(world.capital * share / mark), 1)))
    if world.fractional and rng.random() < 0.5:
        line = replace(line, quantity=F(round(rng.uniform(0.1, 30.0), 3)))
    if "percent" in used and rng.random() < 0.3:
        line = replace(line, quantity=None, percent=F(rng.uniform(0.05, 1.0)))
    kinds = [kind for kind in ("limit", "stop", "stop_limit", "trailing", "moc") if kind in used]
    kind = rng.choice([*kinds, "market"] if "market" in used or not kinds else kinds)
    if kind in ("limit", "stop_limit"):
        line = replace(line, limit=_level(rng, world, now, symbol))
    if kind in ("stop", "stop_limit"):
        line = replace(line, stop=_level(rng, world, now, symbol))
    if kind == "trailing" and rng.random() < 0.5:
        line = replace(line, trailing_amount=F(rng.randint(1, 16), 4))
    elif kind == "trailing":
        line = replace(line, trailing_percent=F(rng.randint(8, 80), 1024))
    if kind == "moc":
        line = replace(line, market_on_close=True)
    if "tif" in used and rng.random() < 0.5:
        line = replace(line, tif=rng.choice(["day", "ioc", "gtc"]))
    return _protected(rng, used, world, now, line, side)


def _protected(rng: Random, used: Collection[str], world: World, now: int, line: Line, side: int) -> Line:
    if "brackets" in used and rng.random() < 0.7:
        if rng.random() < 0.6:
            line = replace(line, **_one_of(rng, "stop_loss", _level(rng, world, now, line.symbol, -side)))
        if rng.random() < 0.6:
            line = replace(line, **_one_of(rng, "take_profit", _level(rng, world, now, line.symbol, side)))
        if rng.random() < 0.25:
            line = replace(line, trailing_stop_percent=F(rng.randint(8, 100), 1024))
    if "time_exit" in used and rng.random() < 0.3:
        line = replace(line, max_holding_bars=rng.randint(1, 4))
    return line


def _one_of(rng: Random, name: str, level: F) -> dict[str, F]:
    return {name: level} if rng.random() < 0.5 else {f"{name}_percent": F(rng.randint(4, 100), 1024)}


def _level(rng: Random, world: World, now: int, symbol: str, beyond: int | None = None) -> F:
    """A price at, near or inside one of the next bars; `beyond` 1 or -1 prefers their upper or lower parts."""
    ahead = [bar for bar in world.bars[symbol][now + 1 : now + 4] if bar] or [b for b in world.bars[symbol] if b]
    if not ahead:
        return F(10)
    bar = rng.choice(ahead)
    points = {None: [bar.open, bar.high, bar.low, bar.close], 1: [bar.high, bar.close], -1: [bar.low, bar.close]}
    level = rng.choice([*points[beyond], (bar.high + bar.low) / 2])
    level += rng.choice([0, 0, 0, 1, -1, 16, -16, 64 * (beyond or 0)]) * TICK
    return max(F(round(level * 64), 64), F(1))


def _change(rng: Random, used: Collection[str], world: World, now: int, placed: list[Line]) -> Line:
    nth = max(len(placed) - 1 - rng.choice([0, 0, 1, 2]), 0)
    old = placed[nth]
    if "replace" not in used or "rebalance" in used or (rng.random() < 0.5 and "cancel" in used):
        return Line("cancel", nth=nth)
    if old.limit is not None:
        return Line("replace", nth=nth, limit=_level(rng, world, now, old.symbol))
    if old.stop is not None:
        return Line("replace", nth=nth, stop=_level(rng, world, now, old.symbol))
    return Line("replace", nth=nth, quantity=F(rng.randint(20, 40)))


# What happened


def seen(world: World, report: Report) -> Counter[str]:
    """Count the branches that a run went through."""
    counts: Counter[str] = Counter()
    filled: Counter[int] = Counter()
    for fill in report.fills:
        bar = world.bars[fill.symbol][fill.slice]
        how = fill.phase
        if bar and fill.phase == "intrabar":
            how = "touched" if fill.raw in (bar.high, bar.low) else "traversed"
        if fill.nth is None:
            counts[f"exit {fill.reason} {how}"] += 1
        else:
            filled[fill.nth] += 1
            kind = report.outcomes[fill.nth].kind
            counts[f"fill {kind} {fill.side} {how}"] += 1
    for nth, outcome in enumerate(report.outcomes):
        counts[f"order {outcome.kind} {outcome.status} {outcome.reason or ''}".strip()] += 1
        counts["order filled in parts"] += filled[nth] > 1
        counts["order filled in part only"] += bool(outcome.filled) and outcome.status != "filled"
    for trade in report.trades:
        counts[f"trade {trade.side} {trade.status} {trade.exit_reason}"] += 1
        counts["trade ambiguous"] += trade.ambiguous
        counts[f"trade exit on the entry bar {trade.exit_reason}"] += trade.exit_slice == trade.entry_slice
    for flow in report.flows:
        counts[f"flow {flow.kind} {'received' if flow.amount > 0 else 'paid'}"] += 1
    counts.update({"world ruined": report.ruined, "world close call": report.close_call, "world exact": world.exact})
    return +counts


if __name__ == "__main__":
    total: Counter[str] = Counter()
    for seed in range(int(sys.argv[1])):
        world, tape = generate(seed)
        total += seen(world, reference(world, tape))
    print("\n".join(f"{count:7d}  {name}" for name, count in sorted(total.items())))
