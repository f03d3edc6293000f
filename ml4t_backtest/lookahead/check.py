"""Whether anything in a backtest, or in what makes its signals, looks ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ml4t_backtest.config.loader import load_config
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core.instants import to_datetime
from ml4t_backtest.data.sources import Source, collect, scan
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.lookahead.building import Pipeline, outcomes_of
from ml4t_backtest.lookahead.configured import ConfiguredWorlds, Sources
from ml4t_backtest.lookahead.cuts import DEFAULT_CUTS, choose_cuts
from ml4t_backtest.lookahead.futures import FUTURES
from ml4t_backtest.lookahead.report import Leak, LookaheadReport, first_of_each
from ml4t_backtest.lookahead.timed import TimedTable
from ml4t_backtest.lookahead.worlds import Live, Lived, Staged, live_through
from ml4t_backtest.strategy.base import Strategy

Progress = Callable[[int, int], None]
Tables = Mapping[str, TimedTable]


def check_lookahead(
    config: str | Path | BacktestConfig | None = None,
    *,
    pipeline: Callable[..., Any] | None = None,
    inputs: Mapping[str, Source] | None = None,
    strategy: Callable[..., Strategy] | None = None,
    cuts: int = DEFAULT_CUTS,
    on_progress: Progress | None = None,
) -> LookaheadReport:
    """Look for look-ahead: change what comes after many moments, and see whether anything before them moves.

    Args:
        config: A configuration, its path or name: its sources are prepared and run.
        pipeline: Your function from data to signals, called with the frames that its parameters name: of a
            configuration `prices`, `context`, `corporate_actions`, `universe`, `signals` (with a number where there
            are several), else those of `inputs`. It returns a frame, frames by name, or the result of a run.
        inputs: Name -> frame or path, where there is no configuration. Without a pipeline, `signals` and `context` are
            delivered data, looked at beside `prices`.
        strategy: Makes the strategy of the run from prepared frames that its parameters name, instead of the
            configuration: for strategies that hold data of their own.
        cuts: At how many moments past and future are parted.
        on_progress: Called with the number of worlds done and of all worlds.

    Returns:
        The first leak of each column, what was looked at, and what could not be.

    Raises:
        ConfigError: Nothing to check, or the pipeline is none or gives different answers to the same data.
        StrategyError: The pipeline or the strategy raised on the data as it is.
        DataValidationError: A source breaks a rule.
    """
    _require_sense(config, pipeline, inputs, strategy, cuts)
    parts, tables = [], {}
    if config is not None:
        loaded = config if isinstance(config, BacktestConfig) else load_config(config)
        sources = Sources.read(loaded.dataset)
        parts.append(_configured(loaded, sources, strategy, cuts))
        tables = sources.for_pipelines()
    elif inputs is not None:
        tables = {name: TimedTable.of(collect(scan(source, dataset=name))) for name, source in inputs.items()}
    if pipeline is not None:
        parts.append(_pipeline(pipeline, tables, cuts))
    tick = _ticks(sum(part.worlds for part in parts), on_progress)
    lived = [part.live_through(tick) for part in parts]
    return LookaheadReport(
        leaks=first_of_each([leak for each in lived for leak in each.leaks]),
        checked=tuple(part.sentence(each) for part, each in zip(parts, lived, strict=True)),
        notes=tuple(note for each in lived for note in each.notes()),
    )


@dataclass(frozen=True)
class _Part:
    """Something that is lived through in many worlds.

    Attributes:
        what: What it is, for the report.
        tables: What goes into it.
        real: What came out of it in the real world.
        live: Makes outcomes of other worlds.
        cuts: Where they part from the real one.
    """

    what: str
    tables: Tables
    real: Sequence[Staged]
    live: Live
    cuts: Sequence[int]

    @property
    def worlds(self) -> int:
        """Number of worlds."""
        return len(self.cuts) * len(FUTURES)

    def live_through(self, on_world: Callable[[], None]) -> Lived:
        """Live through all worlds."""
        return live_through(self.real, self.tables, self.live, self.cuts, on_world)

    def sentence(self, lived: Lived) -> str:
        """Return what was compared."""
        columns = sum(len(outcome.values) for _, outcome in self.real)
        rows = sum(outcome.frame.height for _, outcome in self.real)
        span = f"{to_datetime(self.cuts[0]):%Y-%m-%d %H:%M} to {to_datetime(self.cuts[-1]):%Y-%m-%d %H:%M}"
        return (
            f"{self.what}: {lived.worlds} worlds that part from the real one at {len(self.cuts)} moments, {span}; "
            f"{columns} columns, {rows:,} rows"
        )


def _configured(
    config: BacktestConfig, sources: Sources, strategy: Callable[..., Strategy] | None, cuts: int
) -> _Part:
    worlds = ConfiguredWorlds(config, sources, strategy)
    tables, real = sources.timed(), worlds.real()
    stages = [[outcome for stage, outcome in real if stage == wanted] for wanted in ("preparation", "engine")]
    end = _end(tables)
    # Runs begin late or end early: half of the cuts are among their slices.
    chosen = {cut for outcomes in stages for cut in choose_cuts(outcomes, max(cuts // 2, 1), before=end)}
    return _Part(f"preparation and engine of {config.name}", tables, real, worlds.live, sorted(chosen))


def _pipeline(function: Callable[..., Any], tables: Tables, cuts: int) -> _Part:
    pipeline = Pipeline(function)
    frames = {name: table.frame for name, table in tables.items()}
    outcomes = pipeline.outcomes(frames)
    pipeline.require_repeatable(outcomes, frames)
    # What has no time is compared at the moments of what it was made from.
    timed = [each for each in outcomes if each.has_time]
    timed = timed or [each for name, frame in frames.items() for each in outcomes_of(name, frame)]
    chosen = choose_cuts(timed, cuts, before=_end(tables))
    return _Part(
        f"pipeline {getattr(function, '__name__', 'given')}",
        tables,
        [("pipeline", outcome) for outcome in outcomes],
        lambda world: [("pipeline", outcome) for outcome in pipeline.outcomes(world.tables)],
        chosen,
    )


def _require_sense(config: Any, pipeline: Any, inputs: Any, strategy: Any, cuts: Any) -> None:
    if isinstance(cuts, bool) or not isinstance(cuts, int) or cuts < 1:
        raise ConfigError(f"cuts must be a whole number from 1, got {cuts!r}")
    if config is None and inputs is None:
        raise ConfigError("nothing to check: give a configuration, or inputs (with a pipeline, or with signals)")
    if config is not None and inputs is not None:
        raise ConfigError("inputs are for a check without a configuration, which has its own")
    if config is None and strategy is not None:
        raise ConfigError("a strategy is run by a configuration; let a pipeline return the result of a run instead")


def _end(tables: Tables) -> int:
    """Return the moment from which on nothing new becomes known."""
    last = [
        int(moment)
        for table in tables.values()
        if table.known is not None
        for moments in (table.known, *table.later.values())
        if (moment := moments.max()) is not None
    ]
    if not last:
        raise ConfigError("no frame has a column timestamp (or available_at, ex_date, start and end): nothing has time")
    return max(last)


def _ticks(worlds: int, on_progress: Progress | None) -> Callable[[], None]:
    done = count(1)
    return lambda: None if on_progress is None else on_progress(next(done), worlds)
