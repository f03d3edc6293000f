"""The shape of `configs/datasets/NAME.yaml`: how raw sources become one prepared data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from ml4t_backtest.config.document import Origin
from ml4t_backtest.config.fields import (
    DEFAULT_CALENDAR,
    CalendarName,
    ColumnName,
    ColumnNames,
    DistinctSources,
    Frequency,
    IsoDate,
    PlainText,
    SafeName,
    Section,
    Span,
    TimeZone,
    distinct,
    must,
    unknown_key,
)
from ml4t_backtest.data.indicators import IndicatorRequest, parse_indicator
from ml4t_backtest.data.price_form import PriceForm
from ml4t_backtest.data.universe import IN_UNIVERSE
from ml4t_backtest.errors import ConfigError

_EMBEDDED = "dataset://"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BAR = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
RESERVED: Final = frozenset((*_BAR, "available_at", "open_instant", "decision_instant", IN_UNIVERSE))


def _indicator(text: str) -> str:
    try:
        parse_indicator(text)
    except ConfigError as error:
        raise must(f"must be an indicator such as rsi:14; {error}") from error
    return text


Indicators = Annotated[tuple[Annotated[str, AfterValidator(_indicator)], ...], AfterValidator(distinct)]

SourcePath = Annotated[
    PlainText,
    Field(
        description="Parquet, CSV or Arrow file, folder of such files or glob. Relative paths start from this file's "
        "folder; `dataset://NAME/FILE` is a file of an embedded data set; `s3://...` and the like are remote."
    ),
]
_Availability = Literal["market_open", "market_close", "next_day"]
_PriceColumn = Literal["timestamp", "symbol", "open", "high", "low", "close", "volume"]
_SIGNAL_KEYS: Final = ("timestamp", "symbol", "available_at")
_CONTEXT_KEYS: Final = ("timestamp", "available_at")
_ActionColumn = Literal["symbol", "ex_date", "kind", "value"]
_DelistingColumn = Literal["symbol", "date", "price"]
_UniverseColumn = Literal["symbol", "start", "end"]
_COLUMNS = "This package's column name -> the file's column name, for columns that are called otherwise there."


class SourceConfig(Section):
    """Where a table comes from."""

    path: SourcePath


class PriceSource(SourceConfig):
    """Price bars: timestamp, symbol, open, high, low, close, volume."""

    columns: Annotated[dict[_PriceColumn, PlainText], DistinctSources] = Field(default={}, description=_COLUMNS)
    indicators: ColumnNames = Field(default=(), description="Indicator columns that the file has already.")
    price_scale: float | None = Field(
        default=None,
        gt=0,
        description="How many units of the file make one of account currency: 10000 for ticks of 1/10,000. null: "
        "prices are in account currency.",
    )
    price_tolerance: float = Field(
        default=0.0,
        ge=0,
        le=0.01,
        description="Fraction by which open and close may lie outside low to high by rounding; high and low are moved "
        "there.",
    )
    allow_nonpositive_prices: bool = Field(
        default=False, description="Whether prices may be zero or negative, as those of futures can be."
    )

    @property
    def form(self) -> PriceForm:
        """How the prices are to be read."""
        return PriceForm(self.price_scale, self.price_tolerance, self.allow_nonpositive_prices)


class ActionSource(SourceConfig):
    """Corporate actions: symbol, ex_date, kind (split or dividend), value."""

    columns: Annotated[dict[_ActionColumn, PlainText], DistinctSources] = Field(default={}, description=_COLUMNS)


class DelistingSource(SourceConfig):
    """The declared ends of symbols: symbol, date, price."""

    columns: Annotated[dict[_DelistingColumn, PlainText], DistinctSources] = Field(default={}, description=_COLUMNS)


class Delisting(Section):
    """The declared end of one symbol."""

    symbol: PlainText = Field(description="Instrument.")
    date: IsoDate = Field(description="Its last session, YYYY-MM-DD.")
    price: float = Field(ge=0, description="What a share is paid for on that date, account currency, from 0.")


def _form(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "file"


_Delistings = Annotated[
    Annotated[DelistingSource, Tag("file")] | Annotated[tuple[Delisting, ...], Tag("list")], Discriminator(_form)
]


class UniverseSource(SourceConfig):
    """Who belonged to a universe when: symbol, start and end (first and last session, null until further notice)."""

    columns: Annotated[dict[_UniverseColumn, PlainText], DistinctSources] = Field(default={}, description=_COLUMNS)


class TimedSource(SourceConfig):
    """A source whose rows become known at a declared moment, and are never seen before it."""

    _KEYS: ClassVar[tuple[str, ...]] = ()

    names: ColumnNames = Field(min_length=1, description="Value columns to use, at least one.")
    available_at: _Availability | None = Field(
        default=None,
        description="When a row becomes known: market_open or market_close of its session, or next_day (the "
        "open of the session after). null: the file has a column available_at that says so for each row.",
    )
    latency: Span = Field(default="0m", description="Added to that moment, for example 15m.")
    max_age: Span | None = Field(
        default=None, description="Older rows are not used any more, for example 5d. null: no limit."
    )
    frequency: Frequency | None = Field(
        default=None,
        description="How often rows come: 1d (a row is about a session, named by its date or its midnight), or a span "
        "that is never shorter between two rows. null: nothing is said.",
    )

    ranges: dict[ColumnName, tuple[float, float]] = Field(
        default={}, description="Column -> its smallest and its greatest value; a value outside is refused."
    )
    allow_empty: bool = Field(default=False, description="Whether the file may have no rows.")
    columns: Annotated[dict[ColumnName, PlainText], DistinctSources] = Field(default={}, description=_COLUMNS)

    @model_validator(mode="after")
    def _columns_are_used(self) -> Self:
        for name in self.columns:
            if name not in (*self._KEYS, *self.names):
                raise unknown_key(name, self._KEYS, key=f"columns.{name}", also="and what names lists")
        return self

    @model_validator(mode="after")
    def _ranges_of_names(self) -> Self:
        for name, (low, high) in self.ranges.items():
            if name not in self.names:
                raise must(f"must be one of names: {', '.join(self.names)}", key=f"ranges.{name}")
            if low > high:
                raise must("must be the smallest value, then the greatest", key=f"ranges.{name}")
        return self

    @model_validator(mode="after")
    def _declared_once(self) -> Self:
        if self.available_at is not None and "available_at" in self.columns:
            raise must(
                "must be null where columns maps an available_at column: only one can hold",
                key="available_at",
            )
        return self


class SignalSource(TimedSource):
    """Model outputs per symbol: timestamp, symbol, the named columns, and available_at unless derived."""

    _KEYS: ClassVar[tuple[str, ...]] = _SIGNAL_KEYS


class ContextSource(TimedSource):
    """Market-wide values: timestamp, the named columns, and available_at unless derived."""

    _KEYS: ClassVar[tuple[str, ...]] = _CONTEXT_KEYS


class DatasetConfig(Section):
    """One data set: its sources, and how their labels, times and prices are to be read."""

    name: SafeName = Field(
        description="Name of the data set: a-z, 0-9, '_', '.', '-', at most 64. Default: the file's name."
    )
    description: str = Field(default="", description="What it is, for people.")
    calendar: CalendarName = Field(
        default=DEFAULT_CALENDAR,
        description="Exchange calendar, by its exchange_calendars name (XNYS, XLON, ...).",
    )
    timezone: TimeZone = Field(
        default="UTC",
        description="Time zone of timestamps that carry none: UTC or a place (America/New_York).",
    )
    frequency: Frequency = Field(default="1d", description="Length of a bar: 5m, 1h, ...; 1d is one bar per session.")
    bar_label: Literal["close", "open", "session"] = Field(
        default="close",
        description="What a bar's timestamp names: the moment it closes, the moment it opens, or its session's date.",
    )
    adjustment: Literal["none", "split", "total_return"] = Field(
        description="What the prices already contain: none (as traded: splits and dividends are applied), "
        "split (adjusted for splits: dividends are applied), total_return (adjusted for both: neither is)."
    )
    enforce_sessions: bool = Field(
        default=False, description="Whether bars outside the sessions of the calendar are refused."
    )
    decide_at: Literal["close", "next_open"] = Field(
        default="close",
        description="When the strategy decides on a bar: at its close or at the next session's open.",
    )
    max_sessions_behind: int | None = Field(
        default=None,
        ge=0,
        description="Sessions that may have closed after the newest bar before the pipeline warns that the data is "
        "not fresh; 0 wants the last one that closed. null: not asked, for data that is not continued.",
    )
    prices: PriceSource = Field(description="Price bars.")
    signals: tuple[SignalSource, ...] = Field(default=(), description="Model outputs per symbol.")
    indicators: Indicators = Field(
        default=(),
        description="Indicators to compute from the prices, for example rsi:14 or macd; docs/concepts/indicators.md "
        "lists them.",
    )
    context: tuple[ContextSource, ...] = Field(default=(), description="Market-wide values.")
    corporate_actions: ActionSource | None = Field(default=None, description="Splits and dividends. null: none.")
    delistings: _Delistings | None = Field(
        default=None,
        description="Declared ends of symbols, a file (path, columns) or a list of symbol, date and price: positions "
        "are settled there. null: none are declared.",
    )
    universe: UniverseSource | None = Field(
        default=None,
        description="Who belonged to the universe when; gives every bar the indicator in_universe, 1 or 0. null: none.",
    )

    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path:
        """Folder that relative paths start from: the file's own."""
        return self._origin.folder if self._origin else Path()

    @property
    def signal_names(self) -> tuple[str, ...]:
        """All signal columns, in the order of the sources."""
        return tuple(name for source in self.signals for name in source.names)

    @property
    def context_names(self) -> tuple[str, ...]:
        """All context columns, in the order of the sources."""
        return tuple(name for source in self.context for name in source.names)

    @property
    def indicator_requests(self) -> tuple[IndicatorRequest, ...]:
        """What is to be computed."""
        return tuple(parse_indicator(text) for text in self.indicators)

    @property
    def indicator_names(self) -> tuple[str, ...]:
        """All indicator columns: those of the price file, those computed, and membership in the universe."""
        computed = (column for request in self.indicator_requests for column in request.columns)
        return (*self.prices.indicators, *computed, *((IN_UNIVERSE,) if self.universe else ()))

    def resolve(self, path: str) -> str:
        """Return where a source's path points: absolute, or a remote address as it is.

        Raises:
            ConfigError: `dataset://` with a data set or file that is not embedded.
        """
        if path.startswith(_EMBEDDED):
            return str(_embedded(path))
        if _URL.match(path) or path.startswith("~"):
            return path
        return str((self.folder / path).absolute())

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        if self.bar_label == "session" and not self.frequency.endswith("d"):
            raise must("must be close or open for bars shorter than a day", key="bar_label")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = dict.fromkeys(RESERVED, "a column that every data set has")
        for key, name in self._named():
            for column in (name, f"{name}_available_at", f"{name}_is_new"):
                if column in taken:
                    raise must(f"must not give the column {column!r}, it is {taken[column]} (E-SC-COLLIDE)", key=key)
                taken[column] = f"already given by {key}"
        return self

    def _named(self) -> Iterator[tuple[str, ColumnName]]:
        for kind, sources in (("signals", self.signals), ("context", self.context)):
            for index, source in enumerate(sources):
                yield from ((f"{kind}[{index}].names", name) for name in source.names)
        yield from (("prices.indicators", name) for name in self.prices.indicators)
        yield from (("indicators", name) for request in self.indicator_requests for name in request.columns)


def _embedded(path: str) -> Path:
    from ml4t_backtest.datasets.registry import dataset_path

    name, _, file = path.removeprefix(_EMBEDDED).partition("/")
    if not name or not file:
        raise ConfigError(f"{path!r}: write dataset://NAME/FILE, for example dataset://us_tech_daily/prices.parquet")
    return dataset_path(name, file)
