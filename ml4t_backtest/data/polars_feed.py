"""The feed: walks through prepared data one timestamp at a time, holding a chunk or two in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.argument_types import checked_arguments
from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.chunk import Chunk, slice_offsets
from ml4t_backtest.core.instants import instants, to_datetime
from ml4t_backtest.data.bar_reader import BarReader
from ml4t_backtest.data.bar_time import BarClock, BarLabel, DecideAt, infer_frequency
from ml4t_backtest.data.before_close import known_too_late
from ml4t_backtest.data.checked_bars import CheckedBars, check_bars, inspect_bars
from ml4t_backtest.data.chunk_edges import checked_chunk, chunk_edges
from ml4t_backtest.data.files.file_places import naming_files
from ml4t_backtest.data.files.file_states import FileStates
from ml4t_backtest.data.loading import ValueSource, check_names, load_prices, load_values
from ml4t_backtest.data.preparation import column_names, join_context, join_signals
from ml4t_backtest.data.price_form import PriceForm
from ml4t_backtest.data.quality.data_quality import Finding, assumed_known, findings_frame, findings_of
from ml4t_backtest.data.quality.event_findings import late_context
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quality.scan_findings import scan_findings
from ml4t_backtest.data.quality.series_detectors import late_revisions
from ml4t_backtest.data.quality.source_watch import BarsSeen, Beside, SourceWatch
from ml4t_backtest.data.read_ahead import read_ahead
from ml4t_backtest.data.row_index import slices_of
from ml4t_backtest.data.signal_timing import declare_known
from ml4t_backtest.data.sources import Source, collect, describe, require_columns, scan, schema_of
from ml4t_backtest.data.span import check_warm_up, short_warm_up, slices_within
from ml4t_backtest.data.validation import ValidationLevel, raise_violations, validate
from ml4t_backtest.data.zones import ZoneWatch
from ml4t_backtest.errors import ConfigError

if TYPE_CHECKING:
    import pandera.polars as pa

Slice = tuple[datetime, pl.DataFrame, Mapping[str, Any]]
_PREPARED = ("open_instant", "decision_instant")
_ROWS_CHECKED_AT_ONCE = 250_000


@runtime_checkable
class DataFeed(Protocol):
    """Anything that yields slices in time order: (timestamp, rows, context).

    Rows have at least `symbol, open, high, low, close, volume`, one row per symbol. A column `open_instant` tells
    when a bar opened; without it a bar is taken to open when the slice before was complete.

    >>> isinstance([], DataFeed)  # a list of slices will do
    True
    """

    def __iter__(self) -> Iterator[Slice]:
        """Yield the slices."""
        ...


class PolarsDataFeed:
    """Bars with the signals, indicators and context known at each decision, chunk by chunk.

    Prepared data (see `DataPreparer`) is read lazily: one chunk is in memory at a time, and the next one is read
    meanwhile. Raw frames are prepared first, in memory. One comparison per chunk finds the slices, then each is a
    zero-copy `DataFrame.slice`: 7 microseconds a timestamp where filtering the whole frame takes 59,500 (3 million
    rows, 250 symbols).

    See docs/guides/preparing_data.md and docs/concepts/signal_timing.md.

    >>> from ml4t_backtest.data.synthetic import random_bars
    >>> feed = PolarsDataFeed(random_bars(2, 3), signal_columns=["prediction"])
    >>> for timestamp, asset_batch, context in feed:
    ...     print(timestamp.date(), asset_batch["symbol"].to_list())
    2020-01-02 ['S0000', 'S0001']
    2020-01-03 ['S0000', 'S0001']
    2020-01-06 ['S0000', 'S0001']
    """

    @naming_files
    @checked_arguments
    def __init__(
        self,
        asset_data: Source,
        context_data: Source | None = None,
        signals_data: Source | None = None,
        *,
        signal_columns: Sequence[str] = (),
        indicator_columns: Sequence[str] = (),
        context_columns: Sequence[str] = (),
        signal_available_at: str | None = None,
        context_available_at: str | None = None,
        chunk: str | int = "auto",
        validation: ValidationLevel = "standard",
        calendar: str = "XNYS",
        timezone: str | None = None,
        bar_label: BarLabel = "close",
        frequency: str | None = None,
        decide_at: DecideAt = "close",
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        warm_up_days: int = 0,
        accept: Sequence[str] = (),
        corporate_actions: pl.DataFrame | None = None,
        allow_nonpositive_prices: bool = False,
        enforce_sessions: bool = False,
        source_quality: pl.DataFrame | None = None,
    ) -> None:
        """Open the data.

        Args:
            asset_data: Bars: Parquet path, folder, glob, DataFrame or LazyFrame; prepared, or raw with `timestamp`,
                `symbol`, `open`, `high`, `low`, `close`, `volume` and perhaps signal columns. Signal columns of a raw
                frame without NAME_available_at are taken as declared by their user to be known at the bar's close.
            context_data: Market-wide rows by `timestamp`; prepared or raw.
            signals_data: Predictions by `timestamp` and `symbol`, joined by when they became known.
            signal_columns: Names of the signal columns.
            indicator_columns: Names of the indicator columns of `asset_data`.
            context_columns: Names of the context columns.
            signal_available_at: Rule (`market_open`, `market_close`, `next_day`) or None for a column `available_at`.
            context_available_at: The same for context.
            chunk: Span held in memory: `1mo`, `1w`, `1y`, ... or a number of slices; `auto` for as
                many slices as have half a million bars. No answer depends on it.
            validation: How much is looked for: `fast` finds every broken rule, `standard` records doubtful data in
                `data_quality` too, `paranoid` looks for more and refuses it. Every level looks at every row.
            calendar: Exchange calendar of the bars.
            timezone: Zone of timestamps that carry none; None is UTC, and then sources of several zones, or with and
                without one, are refused.
            bar_label: What the timestamps of a raw frame mean.
            frequency: Length of the bars of a raw frame; inferred when None.
            decide_at: When a strategy decides on a slice of a raw frame.
            start: First session (date) or instant that is traded; None for all.
            end: Last session (date) or instant, inclusive; None for all.
            warm_up_days: Calendar days before `start` that are delivered to `on_warm_up` only.
            accept: Codes of findings that `paranoid` records and does not refuse.
            corporate_actions: Splits that the prices are not adjusted for, so that they are not taken for defects.
            allow_nonpositive_prices: Whether prices may be zero or negative, as those of futures can be.
            enforce_sessions: Whether bars of a raw frame outside the sessions of the calendar are refused.
            source_quality: What was found in the sources when prepared data was made of them.

        Raises:
            DataValidationError: The data breaks a rule of its schema, or `paranoid` found what is not accepted.
            SignalTimingError: A signal or context value would be seen before it was known.
        """
        self.signal_columns = tuple(signal_columns)
        self.indicator_columns = tuple(indicator_columns)
        self.context_columns = tuple(context_columns)
        self.notes: tuple[str, ...] = ()
        self._chunk = checked_chunk(chunk)
        self._file = describe(asset_data)
        require_choice("validation", validation, get_args(ValidationLevel))
        check_warm_up(warm_up_days, start)
        _check_use("signals_data", signals_data, "signal_columns", signal_columns, signal_available_at)
        _check_use("context_data", context_data, "context_columns", context_columns, context_available_at)
        check_names("asset_data", column_names(self.signal_columns, self.indicator_columns, self.context_columns))
        self._states = FileStates(asset_data)
        lazy, signals = scan(asset_data, dataset="asset_data"), None
        if signals_data is not None:
            signals = ValueSource(signals_data, self.signal_columns, available_at=signal_available_at)
        # Prepared bars carry their instants; nobody asks how long they are.
        prepared = signals is None and _is_prepared(lazy, self._file)
        if corporate_actions is not None:
            validate(corporate_actions, schemas.corporate_actions_schema(), allow_empty=True)
        self._inspector = Inspector.at_level(validation, calendar, accept=accept, corporate_actions=corporate_actions)
        if source_quality is not None:
            validate(source_quality, schemas.data_quality_schema(), allow_empty=True)
            self._note(findings_of(source_quality))
        length = frequency or ("1d" if prepared else _frequency_of(lazy, self._file))
        clock = BarClock(calendar, timezone or "UTC", bar_label, length, decide_at, enforce_sessions)
        self._allow_nonpositive = allow_nonpositive_prices
        self._actions = corporate_actions
        zones = ZoneWatch(declared=timezone is not None)
        zones.add(asset_data, None, "prices", by_day=bar_label == "session" and not prepared)
        for source, dataset in ((signals_data, "signals"), (context_data, "context")):
            if source is not None:
                zones.add(source, None, dataset, by_day=False)
                self._note(scan_findings(source, None, dataset))
        self._note(scan_findings(asset_data, None, "asset_data" if prepared else "prices"))
        bars = self._prepared_bars(lazy) if prepared else self._raw_bars(lazy, signals, clock)
        self._context = self._context_of(context_data, context_available_at, bars.slices, clock)
        self.calendar = clock.sessions_around(bars.slices["timestamp"])
        self._slices, self.trading_start = slices_within(bars.slices, start, end, warm_up_days, self.calendar, clock)
        stamps = self._slices["timestamp"]
        self.symbols = _symbols_within(bars.symbols, stamps)
        self._bars = bars.rows.filter(pl.col("timestamp").is_between(stamps[0], stamps[-1]))
        in_memory = not prepared or isinstance(asset_data, pl.DataFrame)
        self._reader = BarReader(self._bars, self.symbols, self._states, file=self._file, in_memory=in_memory)
        if warm_up_days and start is not None:
            self.notes += short_warm_up(self._slices["timestamp"][0], start, warm_up_days)

    def __iter__(self) -> Iterator[Slice]:
        """Yield `(timestamp, rows, context)` per slice."""
        for chunk in self.chunks():
            for index in range(chunk.num_slices):
                context = chunk.context[index] if chunk.context is not None else {}
                yield to_datetime(int(chunk.timestamps[index])), chunk.batch(index), context

    def __len__(self) -> int:
        """Return the number of slices."""
        return self._slices.height

    @property
    def data_quality(self) -> pl.DataFrame:
        """What was found in the data that is no error, as a table of schema `data_quality`."""
        return findings_frame(()) if self._inspector is None else self._inspector.data_quality

    def __repr__(self) -> str:
        rows, stamps = self._slices["rows"].sum(), self._slices["timestamp"]
        span = f"{stamps[0]:%Y-%m-%d} to {stamps[-1]:%Y-%m-%d}"
        names = ", ".join((*self.signal_columns, *self.indicator_columns, *self.context_columns))
        return f"PolarsDataFeed({rows:,} rows, {len(self.symbols)} symbols, {span}, columns: {names or 'prices only'})"

    def chunks(self) -> Iterator[Chunk]:
        """Yield the data chunk by chunk; the next one is read while the one before is used.

        Raises:
            CorruptDatasetError: The rows are not those that were checked: a file was replaced, or a lazy frame claims
                an order that its rows do not have.
        """
        edges = list(chunk_edges(self._slices, self._chunk))
        yield from read_ahead(self._as_chunk(self._reader.between(*edge), is_last=edge is edges[-1]) for edge in edges)

    def bars_before(self, moment: datetime, n: int) -> pl.DataFrame:
        """Return the last `n` bars of each symbol before a moment, in the order of time; fewer where there are fewer.

        Only slices of this feed count. They are read backwards, chunk by chunk, until every symbol has its bars.

        Raises:
            CorruptDatasetError: As for `chunks`.
        """
        kept = self._reader.none()
        for edge in reversed(list(chunk_edges(self._slices.filter(pl.col("timestamp") < moment), self._chunk))):
            rows = pl.concat([self._reader.between(*edge), kept])
            kept = rows.group_by("symbol", maintain_order=True).tail(n).select(rows.columns)
            counts = kept["symbol"].value_counts()["count"]
            if len(counts) == len(self.symbols) and counts.min() == n:
                break
        return kept.sort("timestamp", "symbol")

    def require_known_before_close(self) -> None:
        """Refuse signals and context that are only known at or after the close of a bar that shows them.

        For `fill_at: same_close`; every row is looked at.

        Raises:
            SignalTimingError: There is one, or the decision itself comes after the close.
        """
        stamps = self._slices["timestamp"]
        late = [*known_too_late(self._bars, self.signal_columns, "asset_data", self._file)]
        if self._context is not None:
            context = self._context.lazy().filter(pl.col("timestamp").is_between(stamps[0], stamps[-1]))
            late += known_too_late(context, self.context_columns, "context_data", None)
        raise_violations(late)

    def _as_chunk(self, rows: pl.DataFrame, *, is_last: bool) -> Chunk:
        timestamps, offsets = slice_offsets(rows["timestamp"])
        stamps = rows["timestamp"].gather(offsets[:-1])
        decided = instants(rows["decision_instant"]).to_numpy()
        sessions = self.calendar.session_at(stamps)
        return Chunk(
            frame=rows,
            symbol_ids=rows["symbol"].to_physical().to_numpy().astype(np.int64),
            timestamps=timestamps,
            offsets=offsets,
            opened=instants(rows["open_instant"]).to_numpy(),
            decided=np.maximum.reduceat(decided, offsets[:-1]),
            sessions=sessions["session"].to_physical().cast(pl.Int64).to_numpy(),
            session_ends=(sessions["close"] == stamps).to_numpy(),
            context=self._context_rows(stamps),
            is_last=is_last,
        )

    def _context_rows(self, stamps: pl.Series) -> list[dict[str, Any]] | None:
        if self._context is None or not self.context_columns:
            return None
        known = stamps.to_frame("timestamp").join(self._context, on="timestamp", how="left", maintain_order="left")
        return known.select(self.context_columns).to_dicts()

    def _prepared_bars(self, lazy: pl.LazyFrame) -> CheckedBars:
        """Return prepared bars as they lie, every row checked."""
        schema = self._schema(self.signal_columns)
        require_columns(lazy, list(schema.columns), dataset="asset_data", file=self._file)
        rows = lazy.select(list(schema.columns))
        if schema_of(rows, file=self._file)["symbol"] in (pl.Categorical, pl.Enum):
            rows = rows.with_columns(pl.col("symbol").cast(pl.String))
        return check_bars(rows, schema, file=self._file, at_once=_ROWS_CHECKED_AT_ONCE, inspector=self._inspector)

    def _raw_bars(self, lazy: pl.LazyFrame, signals: ValueSource | None, clock: BarClock) -> CheckedBars:
        """Return bars prepared here in memory, with signals of another source or those that came joined to them."""
        if signals is None:
            return CheckedBars.of(self._joined_bars(lazy, clock).sort("timestamp", "symbol"))
        prices = self._loaded(lazy, clock, self.indicator_columns)
        rows = load_values(signals, clock, by_symbol=True)
        validate(rows, signals.schema(by_symbol=True), file=describe(signals.source))
        bars = join_signals(prices, [(signals, rows)])
        validate(bars, self._schema(signals.names))
        self._watch_sources(bars, clock, [signals], [rows])
        inspect_bars(prices, self._inspector, file=self._file)
        return CheckedBars.of(bars)

    def _joined_bars(self, lazy: pl.LazyFrame, clock: BarClock) -> pl.DataFrame:
        own, found = self.signal_columns, schema_of(lazy, file=self._file)
        stated = [name for name in own if f"{name}_available_at" in found]
        assumed = [name for name in own if name not in stated]
        if assumed:
            self.notes += (f"taken as known at each bar's close, as nothing says otherwise: {', '.join(assumed)}",)
            self._note([assumed_known(assumed)])
        moments = [f"{name}_available_at" for name in stated]
        numbers = [*self.indicator_columns, *own]
        prices = self._loaded(lazy, clock, numbers, moments)
        bars = declare_known(prices, own)
        validate(bars, self._schema(own), file=self._file)
        self._watch_sources(bars, clock)
        inspect_bars(bars, self._inspector, file=self._file)
        return bars

    def _watch_sources(
        self,
        bars: pl.DataFrame,
        clock: BarClock,
        signals: Sequence[ValueSource] = (),
        rows: Sequence[pl.DataFrame] = (),
    ) -> None:
        """Look at raw sources beside the raw bars: where they do not meet, and what their files and types show."""
        calendar = clock.sessions_around(bars["timestamp"])
        seen = BarsSeen(bars.group_by("symbol").len("rows").sort("symbol"), slices_of(bars).sort("timestamp"), calendar)
        watch = SourceWatch(seen, Beside(signals, (), self._actions, files={"prices": self._file}))
        watch.see(bars.sort("timestamp", "symbol"), rows)
        self._note(watch.conclude())

    def _loaded(
        self, lazy: pl.LazyFrame, clock: BarClock, numbers: Sequence[str], moments: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Return raw bars on the clock, every row checked."""
        form, allow = PriceForm(allow_nonpositive=self._allow_nonpositive), self._allow_nonpositive
        prices = load_prices(lazy, clock, indicators=numbers, extra=moments, file=self._file, form=form)
        validate(prices, schemas.prices_schema(allow_nonpositive=allow), file=self._file)
        return prices

    def _schema(self, signals: tuple[str, ...]) -> pa.DataFrameSchema:
        return schemas.asset_data_schema(signals, self.indicator_columns, allow_nonpositive=self._allow_nonpositive)

    def _note(self, findings: Iterable[Finding]) -> None:
        if self._inspector is not None:
            self._inspector.note(findings)

    def _context_of(
        self, source: Source | None, rule: str | None, slices: pl.DataFrame, clock: BarClock
    ) -> pl.DataFrame | None:
        if source is None:
            return None
        file, decisions = describe(source), slices.select("timestamp", "decision_instant")
        lazy, schema = scan(source, dataset="context_data"), schemas.context_data_schema(self.context_columns)
        if set(schema.columns) <= set(schema_of(lazy, file=file).names()):
            context = collect(lazy.select(list(schema.columns)), file=file)
            validate(context, schema, file=file)
            _check_against(decisions, context, schema, file)
            return context
        spec = ValueSource(source, self.context_columns, available_at=rule)
        rows = load_values(spec, clock, by_symbol=False)
        validate(rows, spec.schema(by_symbol=False), file=file)
        self._note([*late_revisions(rows, "context"), *late_context(spec, rows, decisions)])
        if self._inspector is not None:
            self._inspector.judge(file)
        return join_context(decisions, [(spec, rows)])


def _check_use(what: str, source: Source | None, columns: str, names: Sequence[str], rule: str | None) -> None:
    """Refuse arguments that would have no effect."""
    if isinstance(names, str):
        raise ConfigError(f"{columns} must be a list of names, got the text {names!r}")
    if source is not None and not names:
        raise ConfigError(f"{what} is given, but {columns} names none of its columns")
    if source is None and names and what == "context_data":
        raise ConfigError(f"{columns} names {', '.join(names)}, but there is no {what}")
    if source is None and rule is not None:
        raise ConfigError(f"{rule!r} says when rows of {what} became known, but there is no {what}")


def _check_against(
    decisions: pl.DataFrame, context: pl.DataFrame, schema: pa.DataFrameSchema, file: str | None
) -> None:
    """Refuse context that was known at its own decision instants, but not at those of the bars it is shown with."""
    theirs = decisions.rename({"decision_instant": ""})
    decided = context.join(theirs, on="timestamp", how="left", maintain_order="left")
    validate(decided.with_columns(decision_instant=pl.min_horizontal("decision_instant", "")), schema, file=file)


def _is_prepared(lazy: pl.LazyFrame, file: str | None) -> bool:
    found = schema_of(lazy, file=file)
    return all(name in found for name in _PREPARED)


def _frequency_of(lazy: pl.LazyFrame, file: str | None) -> str:
    require_columns(lazy, ["timestamp"], dataset="asset_data", file=file)
    return infer_frequency(collect(lazy.select("timestamp"), file=file).to_series())


def _symbols_within(symbols: pl.DataFrame, stamps: pl.Series) -> list[str]:
    inside = (pl.col("last") >= stamps[0]) & (pl.col("first") <= stamps[-1])
    return [str(symbol) for symbol in symbols.filter(inside)["symbol"]]
