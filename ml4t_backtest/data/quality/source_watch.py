"""The sources of a data set seen side by side: what each shows, and where they do not meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.files.file_formats import is_in_parts
from ml4t_backtest.data.files.file_months import missing_months, months_without_bars
from ml4t_backtest.data.loading import ValueSource
from ml4t_backtest.data.quality.data_quality import Finding
from ml4t_backtest.data.quality.event_findings import ActionWatch, late_context, missing_members, outsiders
from ml4t_backtest.data.quality.series_detectors import LateRevisions
from ml4t_backtest.data.quality.signal_findings import SignalWatch
from ml4t_backtest.data.validation import raise_violations
from ml4t_backtest.errors import Violation


@dataclass(frozen=True)
class BarsSeen:
    """What is known of the bars as a whole.

    Attributes:
        of_symbols: `symbol` and `rows`, how many bars each has.
        slices: `timestamp` and `decision_instant`, ascending.
        calendar: Sessions around them.
        adjustment: What the prices contain already.
    """

    of_symbols: pl.DataFrame
    slices: pl.DataFrame
    calendar: TradingCalendar
    adjustment: str = "none"


@dataclass(frozen=True)
class Beside:
    """What lies beside the bars.

    Attributes:
        signals: Sources of signals.
        context: Sources of context with their loaded rows.
        corporate_actions: Table of that schema, in the order of its source.
        universe: Table of that schema, or None.
        files: Where they came from: `prices`, `corporate_actions`, `universe`.
        findings: What their files and types show.
    """

    signals: Sequence[ValueSource] = ()
    context: Sequence[tuple[ValueSource, pl.DataFrame]] = ()
    corporate_actions: pl.DataFrame | None = None
    universe: pl.DataFrame | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


class SourceWatch:
    """Looks at all sources beside the bars, some whole symbols at a time."""

    def __init__(self, bars: BarsSeen, beside: Beside) -> None:
        """Begin; see `BarsSeen` and `Beside`."""
        symbols = bars.of_symbols["symbol"].to_list()
        self._bars, self._beside = bars, beside
        self._signals = [SignalWatch(spec, symbols, bars.calendar) for spec in beside.signals]
        self._revisions = [LateRevisions("signals") for _ in beside.signals]
        self._spans: list[pl.DataFrame] = []
        self._actions = (
            None
            if beside.corporate_actions is None
            else ActionWatch(
                beside.corporate_actions, bars.adjustment, bars.calendar, beside.files.get("corporate_actions")
            )
        )

    def see(self, bars: pl.DataFrame, rows: Sequence[pl.DataFrame]) -> None:
        """Look at the bars of some symbols, signals joined, and at the rows of these symbols in each source."""
        if bars.height:
            stamp = pl.col("timestamp")
            self._spans.append(bars.group_by("symbol").agg(first=stamp.min(), last=stamp.max()))
        if self._actions is not None and bars.height:
            self._actions.see(bars)
        for own, watch, revisions in zip(rows, self._signals, self._revisions, strict=True):
            watch.see(own, bars)
            revisions.see(own.drop("", strict=False))

    def conclude(self) -> list[Finding]:
        """Return what was found.

        Raises:
            DataValidationError: Sources contradict each other.
        """
        raise_violations(self._violations())
        beside, found = self._beside, list(self._beside.findings)
        for spec, rows in beside.context:
            revisions = LateRevisions("context")
            revisions.see(rows)
            found += [*late_context(spec, rows, self._bars.slices), *revisions.findings()]
        for watch, revised in zip(self._signals, self._revisions, strict=True):
            found += [*watch.findings(), *revised.findings()]
        found += [] if self._actions is None else self._actions.findings()
        if beside.universe is not None:
            found += outsiders(beside.universe, self._bars.of_symbols, beside.files.get("universe"))
        return found

    def _violations(self) -> list[Violation]:
        beside, path = self._beside, self._beside.files.get("prices")
        missing = months_without_bars(self._bars.slices["timestamp"], pl.concat(self._spans), self._bars.calendar)
        # In one file a halt of all that is in it is no less likely than a missing part.
        of_months = [missing_months("prices", path, missing)] if missing and path and is_in_parts(path) else []
        found = of_months + [violation for watch in self._signals for violation in watch.violations()]
        found += [] if self._actions is None else self._actions.violations()
        if beside.universe is not None:
            symbols = self._bars.of_symbols["symbol"].to_list()
            found += missing_members(beside.universe, symbols, self._bars.slices, beside.files.get("universe"))
        return found
