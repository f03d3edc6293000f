"""Makes a world in which engine and oracle differ as small as it gets, and prints it.

`python -m oracle.shrink SEED [SEED ...]` (from ml4t_backtest_tests) takes the features from `test_engine_agrees`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from oracle import worlds
from oracle.adapter import disagreements, play
from oracle.reference import reference
from oracle.vocabulary import DAYS, Bar, F, Line, Tape, World

Differences = Callable[[World, Tape], list[str]]


def compared(world: World, tape: Tape, *, chunk: int | str = "1mo") -> list[str]:
    """What differs in a world; nothing where rounding could have turned a decision."""
    report = reference(world, tape)
    if report.close_call:
        return []
    result, player = play(world, tape, chunk=chunk)
    return disagreements(world, report, result, player)


def smallest(world: World, tape: Tape, differences: Differences = compared) -> tuple[World, Tape]:
    """Take things away as long as the same tables, or fewer, differ."""
    tables = _tables(differences(world, tape))
    for less in smaller(world, tape):
        found = _tables(differences(*less))
        if found and found <= tables:
            return smallest(*less, differences)
    return world, tape


def _tables(lines: list[str]) -> set[str]:
    return {line.split()[0].rstrip(":") for line in lines}


def smaller(world: World, tape: Tape) -> Iterator[tuple[World, Tape]]:
    """Yield worlds with one thing less."""
    for now, lines in sorted(tape.items()):
        for place in range(len(lines)):
            yield world, {**tape, now: lines[:place] + lines[place + 1 :]}
    if len(world.days) > 2 and _is_world(_shortened(world).bars):
        yield _shortened(world), {now: lines for now, lines in tape.items() if now < len(world.days) - 1}
    for symbol in world.bars:
        left = {name: bars for name, bars in world.bars.items() if name != symbol}
        if left and _is_world(left):
            kept = tuple(action for action in world.actions if action.symbol != symbol)
            lines = {now: tuple(_without(line, symbol) for line in lines) for now, lines in tape.items()}
            yield _with(world, bars=left, actions=kept), {n: tuple(li for li in ls if li) for n, ls in lines.items()}
    for action in world.actions:
        yield _with(world, actions=tuple(a for a in world.actions if a is not action)), tape
    for plain in ({"slippage": ("none",)}, {"commission": ("none",)}):
        if any(getattr(world, name) != value for name, value in plain.items()):
            yield _with(world, **plain), tape


def _with(world: World, **changes: Any) -> World:
    return World(**{**vars(world), **changes})


def _without(line: Line, symbol: str) -> Line | None:
    if line.action == "rebalance":
        weights = tuple(pair for pair in line.weights if pair[0] != symbol)
        return Line("rebalance", weights=weights, others=line.others)
    return None if line.symbol == symbol else line


def _shortened(world: World) -> World:
    days = DAYS[: len(world.days) - 1]
    kept = tuple(action for action in world.actions if action.slice < len(days))
    return _with(world, bars={s: bars[:-1] for s, bars in world.bars.items()}, days=days, actions=kept)


def _is_world(bars: dict[str, tuple[Bar | None, ...]]) -> bool:
    """Every session has a bar, every symbol too."""
    return all(map(any, bars.values())) and all(map(any, zip(*bars.values(), strict=True)))


def told(world: World, tape: Tape) -> str:
    """Return a world in a few lines."""
    plain, nothing = World(bars={}), Line("")
    account = {name: value for name, value in vars(world).items() if value != getattr(plain, name)}
    lines = [f"{name} = {_plain(value)}" for name, value in account.items() if name not in ("bars", "days", "actions")]
    lines += [f"slice {a.slice}: {a.kind} of {a.symbol}, {float(a.value)}" for a in world.actions]
    for symbol, bars in world.bars.items():
        lines += [f"{symbol}: " + ", ".join(str(bar and _plain(tuple(vars(bar).values()))) for bar in bars)]
    for now, decided in sorted(tape.items()):
        for line in decided:
            words = {name: _plain(v) for name, v in vars(line).items() if v != getattr(nothing, name)}
            lines.append(f"slice {now} decides: {words}")
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, F):
        return float(value)
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


if __name__ == "__main__":
    from oracle.test_engine_agrees import FEATURES

    for seed in map(int, sys.argv[1:]):
        small = smallest(*worlds.generate(seed, FEATURES))
        print(f"seed {seed}", told(*small), *compared(*small), "", sep="\n")
