"""Many worlds with one past: each is lived through, and what it knew at the cut is compared with the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from ml4t_backtest.core.instants import to_datetime, to_instant
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.lookahead.comparing import ALL_ALONG, Difference, Outcome, differences
from ml4t_backtest.lookahead.futures import FUTURES, Future, OtherTables
from ml4t_backtest.lookahead.report import Leak, Stage, first_of_each
from ml4t_backtest.lookahead.timed import TimedTable

OnWorld = Callable[[], None]
Staged = tuple[Stage, Outcome]
# Where the first leak of a column is looked for once it is known to leak.
_FIRSTS = 5


@dataclass(frozen=True)
class World:
    """A world that parts from the real one.

    Attributes:
        tables: What there is in it.
        cut: The last moment it has in common with the real one, microseconds since 1970 UTC.
        future: What comes afterwards.
        with_run: Whether what is dear, such as a run, is lived through too.
    """

    tables: Mapping[str, pl.DataFrame]
    cut: int
    future: Future
    with_run: bool = True


Live = Callable[[World], Iterable[Staged]]


@dataclass
class Lived:
    """What was found in the worlds that were lived through.

    Attributes:
        leaks: One per column and world in which it differed.
        worlds: How many were compared.
        failures: Cut -> what was raised in the worlds that could not be lived through.
        survived: Cuts of which at least one world could be lived through.
    """

    leaks: list[Leak] = field(default_factory=list)
    worlds: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    survived: set[int] = field(default_factory=set)

    def notes(self) -> list[str]:
        """Return one sentence about the cuts that showed nothing, because every world of theirs failed."""
        lost = [cut for cut in self.failures if cut not in self.survived]
        if not lost:
            return []
        first = f"{to_datetime(lost[0]):%Y-%m-%d %H:%M}"
        return [f"{len(lost)} cuts could not be checked; at {first}: {self.failures[lost[0]]}"]


def live_through(
    real: Sequence[Staged],
    tables: Mapping[str, TimedTable],
    live: Live,
    cuts: Sequence[int],
    on_world: OnWorld,
) -> Lived:
    """Live through one world per cut and future, and compare what it knew at the cut with what the real one knew.

    Args:
        real: What came out of the real world.
        tables: What went into it.
        live: Makes outcomes of a world.
        cuts: Where the worlds part from the real one.
        on_world: Called after each world.
    """
    found, ours = Lived(), {outcome.name: (stage, outcome) for stage, outcome in real}
    for number, cut in enumerate(cuts):
        turn = FUTURES[1 + number % (len(FUTURES) - 1)]
        for future in FUTURES:
            # Runs are dear: they are done without a future, and with one of the others, each in turn.
            with_run = future in ("cut off", turn)
            try:
                found.leaks += _compared(ours, live, World(OtherTables(tables, cut, future), cut, future, with_run))
            except BacktestError as error:
                found.failures.setdefault(cut, str(error).splitlines()[0])
            else:
                found.worlds += 1
                found.survived.add(cut)
            on_world()
    for leak in first_of_each(found.leaks):
        found.leaks += _earlier(leak, ours[leak.table][1], tables, lambda world: _compared(ours, live, world))
    return found


def _compared(ours: Mapping[str, Staged], live: Live, world: World) -> list[Leak]:
    """Return in what a world differs from the real one before they part."""
    return [
        _leak(ours[outcome.name][0], found, world)
        for _, outcome in live(world)
        if outcome.name in ours
        for found in differences(ours[outcome.name][1], outcome, world.cut)
    ]


def _earlier(
    leak: Leak, outcome: Outcome, tables: Mapping[str, TimedTable], compared: Callable[[World], list[Leak]]
) -> list[Leak]:
    """Return where the same leak is seen first, if that is among the first values of its column."""
    if leak.cut is None or leak.future is None or leak.column not in outcome.values:
        return []
    having = outcome.known.filter(outcome.frame[leak.column].is_not_null())
    firsts = having.filter((having > ALL_ALONG) & (having < to_instant(leak.cut))).unique().sort().head(_FIRSTS)
    for cut in firsts.to_list():
        with suppress(BacktestError):
            found = compared(World(OtherTables(tables, cut, leak.future), cut, leak.future))
            if same := [each for each in found if (each.table, each.column) == (leak.table, leak.column)]:
                return same
    return []


def _leak(stage: Stage, found: Difference, world: World) -> Leak:
    times = [value for value in found.key.values() if isinstance(value, date)]
    symbol = found.key.get("symbol")
    return Leak(
        stage=stage,
        table=found.table,
        column=found.column,
        timestamp=_as_moment(times[0]) if times else None,
        symbol=None if symbol is None else str(symbol),
        cut=to_datetime(world.cut),
        before=found.before,
        after=found.after,
        how=f"everything after the cut was {world.future}",
        rows=found.rows,
        future=world.future,
    )


def _as_moment(time: Any) -> datetime:
    """Return a date or datetime as a UTC datetime."""
    if not isinstance(time, datetime):
        return datetime(time.year, time.month, time.day, tzinfo=UTC)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
