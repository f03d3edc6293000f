"""The worlds of a configuration: its sources, prepared and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest.config.components import build_components
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core.instants import instants, to_datetime
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.data.universe import IN_UNIVERSE
from ml4t_backtest.dataset_stages import clock_of
from ml4t_backtest.lookahead.building import call_with
from ml4t_backtest.lookahead.comparing import ALL_ALONG, Outcome
from ml4t_backtest.lookahead.delivered import Delivered, Prices
from ml4t_backtest.lookahead.own_files import OwnFiles
from ml4t_backtest.lookahead.records import decisions_of, result_outcomes
from ml4t_backtest.lookahead.timed import TimedTable, value_columns
from ml4t_backtest.lookahead.watching import Watched
from ml4t_backtest.lookahead.worlds import Staged, World
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.runner import (
    RAW_KINDS,
    RawKind,
    prepare_validated,
    raw_tables,
    run_prepared,
    validated_tables,
)
from ml4t_backtest.strategy.base import Strategy

# What a run is shown after a cut: more than an engine reads at once.
_AFTERMATH = timedelta(days=45)
# The end of the data is no exit here, states are recorded at every slice, and doubtful data is refused elsewhere: the
# future may be doubtful.
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "execution": {"end_of_data": "mark"},
    "reporting": {"state_frequency": "slice"},
    "data": {"validation": "fast"},
}
Tables = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Sources:
    """The tables of a data set.

    Attributes:
        dataset: The data set.
        raw: Its tables as the source has them, by kind and name.
        validated: The same under this package's names and instants, rows in the same order.
    """

    dataset: DatasetConfig
    raw: Mapping[RawKind, Tables]
    validated: Mapping[RawKind, Tables]

    @classmethod
    def read(cls, dataset: DatasetConfig) -> Sources:
        """Read and check the sources of a data set.

        Raises:
            DataValidationError: A row breaks a rule.
        """
        raw = {kind: raw_tables(dataset, kind) for kind in RAW_KINDS}
        return cls(dataset, raw, {kind: validated_tables(dataset, kind, raw[kind]) for kind in RAW_KINDS})

    def timed(self) -> dict[str, TimedTable]:
        """Return the raw tables with the moments at which their rows became known."""
        return {
            name: self._timed(name, table, self.validated[kind][name])
            for kind, tables in self.raw.items()
            for name, table in tables.items()
        }

    def for_pipelines(self) -> dict[str, TimedTable]:
        """Return the validated tables likewise; the only source of signals or context also goes by its plain name."""
        tables = {
            name: self._timed(name, table, table) for named in self.validated.values() for name, table in named.items()
        }
        only = {kind: tables.get(f"{kind}_0") for kind in ("signals", "context") if f"{kind}_1" not in tables}
        return {**tables, **{kind: table for kind, table in only.items() if table is not None}}

    def delivered(self) -> Iterator[Delivered]:
        """Yield the columns that were computed elsewhere: signals, context, and indicators that came with the bars."""
        kinds: tuple[RawKind, RawKind] = ("signals", "context")
        for kind in kinds:
            for rows in self.validated[kind].values():
                known = instants(rows["available_at"])
                yield from (Delivered.of(kind, name, rows, known) for name in value_columns(rows))
        bars = self.validated["prices"]["prices"]
        closed = instants(bars["timestamp"])
        yield from (Delivered.of("prices", name, bars, closed) for name in self.dataset.prices.indicators)

    def prices(self) -> Prices:
        """Return the bars that they are held against."""
        bars = self.validated["prices"]["prices"]
        return Prices(bars, instants(bars["timestamp"]), instants(bars["open_instant"]))

    def prepare(self, raw: Tables | None = None) -> PreparedData:
        """Return the prepared data that comes of the raw tables, or of others in their place."""
        given = {
            kind: {name: table if raw is None else raw[name] for name, table in tables.items()}
            for kind, tables in self.raw.items()
        }
        return prepare_validated(
            self.dataset, {kind: validated_tables(self.dataset, kind, given[kind]) for kind in RAW_KINDS}
        )

    def _timed(self, name: str, rows: pl.DataFrame, validated: pl.DataFrame) -> TimedTable:
        """Return a table whose rows are those of `validated`, in the same order."""
        calendar = clock_of(self.dataset).sessions_around(self.validated["prices"]["prices"]["timestamp"])
        if name == "prices":
            return TimedTable.of_bars(rows, instants(validated["timestamp"]), instants(validated["open_instant"]))
        if name == "corporate_actions":
            return TimedTable(rows, instants(calendar.open_of(validated["ex_date"])))
        if name == "universe":
            starts, ends = calendar.open_of(validated["start"]), calendar.open_after(validated["end"])
            return TimedTable(rows, instants(starts), {"end": instants(ends)})
        return TimedTable(rows, instants(validated["available_at"]))


class ConfiguredWorlds:
    """Prepares and runs a configuration in the real world and in others."""

    def __init__(
        self, config: BacktestConfig, sources: Sources, folder: Path, strategy: Callable[..., Strategy] | None = None
    ) -> None:
        """Take a configuration.

        Args:
            config: What to run.
            sources: Its tables.
            folder: An empty folder, for files that the strategy may read by itself.
            strategy: Makes the strategy from prepared frames that its parameters name, instead of the configuration.
        """
        sections = {name: getattr(config, name).model_copy(update=changes) for name, changes in _CHANGES.items()}
        self._config = config.model_copy(update=sections)
        self._strategy = strategy
        self._files = OwnFiles(config, sources.timed(), folder)
        self._begins: int | None = None
        self._decided: list[Delivered] = []
        self.name = config.name
        self.sources = sources

    def real(self) -> list[Staged]:
        """Return what comes out of the world as it is: prepared tables, then the records of the run."""
        prepared = self.sources.prepare()
        result, requests = self._run(prepared)
        self._begins = int(instants(result.portfolio_states["timestamp"])[0])
        bars = prepared.asset_data
        self._decided = [decisions_of(result)]
        if IN_UNIVERSE in prepared.indicators:
            self._decided.append(Delivered.of("asset_data", IN_UNIVERSE, bars, instants(bars["decision_instant"])))
        return [*_prepared(prepared), *_written(result, requests)]

    def delivered(self) -> list[Delivered]:
        """Return what only the bars can be asked about: delivered columns, membership, and the orders of the run."""
        return [*self.sources.delivered(), *self._decided]

    def live(self, world: World) -> Iterator[Staged]:
        """Yield what comes out of another world."""
        prepared = self.sources.prepare(world.tables)
        yield from _prepared(prepared)
        if world.with_run and self._begins is not None and world.cut >= self._begins:
            yield from _written(*self._run(_ending(prepared, world.cut), world))

    def _run(self, prepared: PreparedData, world: World | None = None) -> tuple[BacktestResult, pl.DataFrame]:
        """Return the records of a run, and what its strategy asked for."""
        if self._strategy is not None:
            strategy = call_with(self._strategy, prepared.tables(), "strategy")
        elif world is not None and self._files.may_be_read:
            strategy = self._files.strategy(world)
        else:
            strategy = build_components(self._config).strategy
        watched = Watched(strategy)
        result = run_prepared(self._config, prepared, strategy=strategy)
        return result, watched.frame(result.orders)


def _prepared(prepared: PreparedData) -> Iterator[Staged]:
    keys = {"asset_data": ("timestamp", "symbol"), "context_data": ("timestamp",)}
    for name, key in keys.items():
        table = prepared.tables()[name]
        yield "preparation", Outcome(name, table, instants(table["decision_instant"]), key)


def _written(result: BacktestResult, requests: pl.DataFrame) -> Iterator[Staged]:
    yield from (("engine", outcome) for outcome in result_outcomes(result, requests))


def _ending(prepared: PreparedData, cut: int) -> PreparedData:
    """Return prepared data that ends some weeks after a cut."""
    last = to_datetime(cut) + _AFTERMATH if cut < -ALL_ALONG else datetime.max.replace(tzinfo=UTC)
    shown = pl.col("timestamp") <= last
    bars, context = prepared.asset_data.filter(shown), prepared.context_data.filter(shown)
    return replace(prepared, asset_data=bars, context_data=context)
