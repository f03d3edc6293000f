"""Something that is lived through in many worlds, and what is learned from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.errors import BacktestError, ConfigError
from ml4t_backtest.lookahead.building import Pipeline, outcomes_of
from ml4t_backtest.lookahead.comparing import ALL_ALONG, Outcome, differences
from ml4t_backtest.lookahead.configured import ConfiguredWorlds
from ml4t_backtest.lookahead.cuts import choose_cuts
from ml4t_backtest.lookahead.futures import FUTURES, OtherTables
from ml4t_backtest.lookahead.timed import TimedTable
from ml4t_backtest.lookahead.worlds import Live, Lived, Staged, World, live_through

Tables = Mapping[str, TimedTable]


@dataclass(frozen=True)
class Experiment:
    """Something that is lived through in many worlds.

    Attributes:
        what: What it is, for the report.
        tables: What goes into it.
        real: What came out of it in the real world.
        live: Makes outcomes of other worlds.
        cuts: Where they part from the real one.
        decisions: What came out that should depend on what went in, by name.
    """

    what: str
    tables: Tables
    real: Sequence[Staged]
    live: Live
    cuts: Sequence[int]
    decisions: Sequence[str]

    @property
    def worlds(self) -> int:
        """Number of worlds."""
        return len(self.cuts) * len(FUTURES)

    def run(self, on_world: Callable[[], None]) -> Lived:
        """Live through all worlds."""
        return live_through(self.real, self.tables, self.live, self.cuts, on_world)

    def sentence(self, lived: Lived) -> str:
        """Return what was compared."""
        columns = sum(len(outcome.values) for _, outcome in self.real)
        rows = sum(outcome.frame.height for _, outcome in self.real)
        span = f"{to_datetime(self.cuts[0]):%Y-%m-%d %H:%M} to {to_datetime(self.cuts[-1]):%Y-%m-%d %H:%M}"
        return (
            f"{self.what}: {lived.worlds} worlds that part from the real one at {len(self.cuts)} moments from {span}; "
            f"{columns} columns, {rows:,} rows"
        )

    def notes(self) -> Iterator[str]:
        """Yield that its decisions are the same in a world of noise: then no other future can show anything."""
        ours = [outcome for _, outcome in self.real if outcome.name in self.decisions and outcome.frame.height]
        if ours and self._is_indifferent(ours):
            names = " and ".join(each.name for each in ours)
            yield (
                f"{self.what}: {names} came out the same when all data was exchanged for noise. They go by the "
                "calendar, or by data of their own, which this check cannot change"
            )

    def _is_indifferent(self, ours: Sequence[Outcome]) -> bool:
        noise = OtherTables(self.tables, ALL_ALONG, "noise")
        try:
            outcomes = list(self.live(World(noise, -ALL_ALONG, "noise")))
        except BacktestError:
            return False
        theirs = {outcome.name: outcome for _, outcome in outcomes}
        return not any(any(differences(each, theirs[each.name], -ALL_ALONG)) for each in ours)


def experiment_on_config(worlds: ConfiguredWorlds, cuts: int) -> Experiment:
    """Return the experiment on a configuration: its preparation and its run."""
    tables, real = worlds.sources.timed(), worlds.real()
    end = _end(tables)
    # Runs begin late or end early: half of the cuts are among their slices.
    stages = [[outcome for stage, outcome in real if stage == wanted] for wanted in ("preparation", "engine")]
    chosen = {cut for outcomes in stages for cut in choose_cuts(outcomes, max(cuts // 2, 1), before=end)}
    _require_cuts(chosen)
    return Experiment(f"run of {worlds.name}", tables, real, worlds.live, sorted(chosen), ["orders"])


def experiment_on_pipeline(function: Callable[..., Any], tables: Tables, cuts: int) -> Experiment:
    """Return the experiment on a user's function.

    Raises:
        ConfigError: It is none, or gives different answers to the same data.
        StrategyError: It raised.
    """
    pipeline = Pipeline(function)
    frames = {name: table.frame for name, table in tables.items()}
    outcomes = pipeline.outcomes(frames)
    pipeline.require_repeatable(outcomes, frames)
    # What has no time is compared at the moments of what it was made from.
    timed = [each for each in outcomes if each.has_time]
    timed = timed or [each for name, frame in frames.items() for each in outcomes_of(name, frame)]
    chosen = choose_cuts(timed, cuts, before=_end(tables))
    _require_cuts(chosen)
    return Experiment(
        f"pipeline {getattr(function, '__name__', type(function).__name__)}",
        tables,
        [("pipeline", outcome) for outcome in outcomes],
        lambda world: [("pipeline", outcome) for outcome in pipeline.outcomes(world.tables)],
        chosen,
        [outcome.name for outcome in outcomes],
    )


def _end(tables: Tables) -> int:
    """Return the moment from which on nothing new becomes known."""
    ends = [moments.max() for table in tables.values() for moments in table.moments()]
    last = [end for end in ends if isinstance(end, int)]
    if not last:
        raise ConfigError("no frame has a column timestamp (or available_at, ex_date, start and end): nothing has time")
    return max(last)


def _require_cuts(cuts: Any) -> None:
    if not cuts:
        raise ConfigError("nothing comes after anything in this data: there is no future to change")
