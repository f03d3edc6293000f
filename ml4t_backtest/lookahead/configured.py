"""The worlds of a configuration: its sources, prepared and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ml4t_backtest.config.components import build_components
from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.core.instants import instants, to_datetime
from ml4t_backtest.data.prepared import PreparedData
from ml4t_backtest.lookahead.building import call_with
from ml4t_backtest.lookahead.comparing import Outcome
from ml4t_backtest.lookahead.futures import FUTURES
from ml4t_backtest.lookahead.records import result_outcomes
from ml4t_backtest.lookahead.timed import TimedTable
from ml4t_backtest.lookahead.watching import Watched
from ml4t_backtest.lookahead.worlds import Staged, World
from ml4t_backtest.runner import (
    RAW_KINDS,
    RawKind,
    clock_of,
    prepare_validated,
    raw_tables,
    run_prepared,
    validated_tables,
)
from ml4t_backtest.strategy.base import Strategy

# What a run is shown after a cut: more than an engine reads at once, and than most strategies would dare to ask for.
_AFTERMATH = timedelta(days=45)
Validated = Mapping[RawKind, Mapping[str, pl.DataFrame]]


@dataclass(frozen=True)
class Sources:
    """The tables of a data set, as they are and as they became known.

    Attributes:
        dataset: The data set.
        raw: Table name -> rows as the source has them.
        validated: The same under this package's names and instants.
    """

    dataset: DatasetConfig
    raw: Mapping[RawKind, Mapping[str, pl.DataFrame]]
    validated: Validated

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
        alone = {kind: tables[f"{kind}_0"] for kind in ("signals", "context") if len(self.validated[kind]) == 1}
        return {**tables, **alone}

    def prepare(self, raw: Mapping[str, pl.DataFrame]) -> PreparedData:
        """Return the prepared data that comes of other raw tables."""
        names = {kind: tables.keys() for kind, tables in self.raw.items()}
        given = {kind: {name: raw[name] for name in names[kind]} for kind in RAW_KINDS}
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
        self, config: BacktestConfig, sources: Sources, strategy: Callable[..., Strategy] | None = None
    ) -> None:
        """Take a configuration.

        Args:
            config: What to run. The end of the data is no exit here, states are recorded at every slice, and doubtful
                data is refused elsewhere: the future may be doubtful.
            sources: Its tables.
            strategy: Makes the strategy from prepared frames that its parameters name, instead of the configuration.
        """
        changes = {"execution": {"end_of_data": "mark"}, "reporting": {"state_frequency": "slice"}}
        changes["data"] = {"validation": "fast"}
        sections = {name: getattr(config, name).model_copy(update=change) for name, change in changes.items()}
        self._config = config.model_copy(update=sections)
        self._sources = sources
        self._strategy = strategy
        self._begins: int | None = None

    def real(self) -> list[Staged]:
        """Return what comes out of the world as it is: prepared tables, then the records of the run."""
        prepared = self._sources.prepare({name: rows for each in self._sources.raw.values() for name, rows in each.items()})
        outcomes = [*self._prepared(prepared), *self._run(prepared)]
        states = next(outcome for _, outcome in outcomes if outcome.name == "portfolio_states")
        self._begins = int(states.known[0])
        return outcomes

    def live(self, world: World) -> Iterator[Staged]:
        """Yield what comes out of another world.

        A run costs more than a preparation: it is done without a future, and with one of the others, each in turn.
        """
        prepared = self._sources.prepare(world.tables)
        yield from self._prepared(prepared)
        turn = FUTURES[1 + world.number % (len(FUTURES) - 1)]
        if self._begins is not None and world.cut >= self._begins and world.future in ("cut off", turn):
            yield from self._run(prepared, until=world.cut)

    def _prepared(self, prepared: PreparedData) -> Iterator[Staged]:
        keys = {"asset_data": ("timestamp", "symbol"), "context_data": ("timestamp",)}
        for name, key in keys.items():
            table = prepared.tables()[name]
            yield "preparation", Outcome(name, table, instants(table["decision_instant"]), key)

    def _run(self, prepared: PreparedData, until: int | None = None) -> Iterator[Staged]:
        strategy = self._built(prepared)
        watched = Watched(strategy)
        shown = prepared if until is None else _ending(prepared, until)
        result = run_prepared(self._config, shown, strategy=strategy)
        for outcome in result_outcomes(result, watched.frame(result.orders)):
            yield "engine", outcome

    def _built(self, prepared: PreparedData) -> Strategy:
        if self._strategy is None:
            return build_components(self._config).strategy
        built: Strategy = call_with(self._strategy, {**prepared.tables()}, "strategy")
        return built


def _ending(prepared: PreparedData, cut: int) -> PreparedData:
    """Return prepared data that ends some weeks after a cut."""
    shown = pl.col("timestamp") <= to_datetime(cut) + _AFTERMATH
    return PreparedData(
        prepared.asset_data.filter(shown),
        prepared.context_data.filter(shown),
        prepared.corporate_actions,
        prepared.signals,
        prepared.indicators,
        prepared.context,
    )
