"""The timestamps of a source as UTC instants, and everything that is wrong with them, found in one pass."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.data.sources import unflagged
from ml4t_backtest.errors import DataValidationError, Violation

_SAMPLES = 5
_EARLIEST = date(1800, 1, 1)
# What seconds or milliseconds since 1970 look like when they are read as a finer unit.
_EPOCH_DAY = date(1970, 1, 1)
# A bar is complete; a prediction may be about sessions to come.
_AHEAD = {"prices": timedelta(days=1)}
_AHEAD_OF_OTHERS = timedelta(days=31)
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Stamps:
    """One column of timestamps, what they mean, and what is wrong with them.

    Attributes:
        given: The column as the source has it, values compared and never a sortedness flag believed.
        utc: Dates unchanged, datetimes as UTC microseconds; null where a stamp is refused.
        violations: What was refused so far.
    """

    def __init__(
        self,
        given: pl.Series,
        timezone: str,
        *,
        dataset: str,
        file: str | None = None,
        column: str = "timestamp",
        nullable: bool = False,
        first_row: int = 0,
    ) -> None:
        """Read the stamps; naive ones are taken to be in `timezone`.

        Args:
            given: Dates or datetimes, rows in the order of their source.
            timezone: Zone of stamps that carry none.
            dataset: What they belong to, for messages.
            file: Where they came from.
            column: What they are called.
            nullable: Whether there need not be one in every row.
            first_row: Number of the first of these rows in their source.

        Raises:
            DataValidationError: They are neither dates nor datetimes.
        """
        self.given = unflagged(given.cast(pl.Date) if given.dtype == pl.Null else given)
        self.violations: list[Violation] = []
        self._dataset, self._file, self._column, self._first_row = dataset, file, column, first_row
        if not isinstance(self.given.dtype, (pl.Date, pl.Datetime)):
            raise DataValidationError([self._no_time()])
        if not nullable:
            self.refuse(self.given.is_null(), "E-TS-NULL", f"{column} is null", "drop the row")
        self._sane = self._inside_range()
        self.utc = self._sane if self._sane.dtype == pl.Date else self._as_utc(self._sane, timezone)

    def refuse(self, offenders: pl.Series, code: str, message: str, hint: str) -> None:
        """Note the rows where `offenders` is true as one violation."""
        rows = [int(row) for row in offenders.arg_true().head(_SAMPLES)]
        if not rows:
            return
        violation = Violation(
            code,
            self._dataset,
            message,
            file=self._file,
            row=self._first_row + rows[0],
            column=self._column,
            value=self._text(rows[0]),
            count=int(offenders.sum()),
            samples=tuple(f"row {self._first_row + row} {self._text(row)}" for row in rows),
            hint=hint,
        )
        self.violations.append(violation)

    def raise_refused(self) -> None:
        """Raise everything that was refused, if anything was.

        Raises:
            DataValidationError: Something was.
        """
        if self.violations:
            raise DataValidationError(self.violations)

    def days(self, *zones: str) -> pl.Series:
        """Return the date each stamp names.

        A midnight names the day that begins then, on the wall clock it is written in or else that of the first of
        `zones` where it is midnight. Any other stamp is an instant of the day it falls on in the last of `zones`.
        """
        if self.given.dtype == pl.Date:
            return self.utc
        walls = self._wall_clocks(*zones)
        named = [pl.when(_is_midnight(name)).then(pl.col(name)) for name in walls.columns]
        return walls.select(pl.coalesce(*named, walls.columns[-1]).dt.date()).to_series()

    def is_midnight(self, *zones: str) -> pl.Series:
        """Return whether each stamp is midnight on the wall clock it is written in or on that of one of `zones`."""
        walls = self._wall_clocks(*zones)
        return walls.select(pl.any_horizontal(_is_midnight(name) for name in walls.columns)).to_series()

    def _wall_clocks(self, *zones: str) -> pl.DataFrame:
        clocks = {zone: self.utc.dt.convert_time_zone(zone).dt.replace_time_zone(None) for zone in zones}
        return pl.DataFrame({"written": self._sane.dt.replace_time_zone(None).cast(pl.Datetime("us")), **clocks})

    def _text(self, row: int) -> str:
        value = self.given.to_physical()[row]
        first, last = (_physical(day, self.given.dtype) for day in (date.min, date.max))
        # Polars panics when it hands out a year that Python's datetime does not reach.
        return str(self.given[row] if value is None or first <= value <= last else value)

    def _no_time(self) -> Violation:
        return Violation(
            "E-SC-DTYPE",
            self._dataset,
            f"{self._column} must be Date or Datetime, found {self.given.dtype}",
            file=self._file,
            column=self._column,
            hint="cast it in the source; integers need a unit, text a format",
        )

    def _inside_range(self) -> pl.Series:
        """Compare with bounds in the stamps' own unit, so that nothing overflows on the way."""
        earliest, begun, over, latest = (
            _physical(day, self.given.dtype)
            for day in (_EARLIEST, _EPOCH_DAY, _EPOCH_DAY + timedelta(days=1), _latest(self._dataset))
        )
        values = self.given.to_physical()
        in_bounds = values.is_between(earliest, latest, closed="left")
        epoch = values.is_between(begun, over, closed="left")
        outside = (~in_bounds | epoch).fill_null(False)
        self.refuse(
            outside,
            "E-TS-RANGE",
            f"{self._column} lies on {_EPOCH_DAY}, before {_EARLIEST} or in the future",
            "check the unit and the zone of the timestamps",
        )
        return self._without(self.given, outside) if outside.any() else self.given

    def _as_utc(self, stamps: pl.Series, timezone: str) -> pl.Series:
        if isinstance(stamps.dtype, pl.Datetime) and stamps.dtype.time_unit == "ns":
            finer = stamps.to_physical() % 1_000 != 0
            hint = "round up to microseconds in the source: two instants must not become one"
            self.refuse(finer, "E-TS-RES", f"{self._column} is finer than a microsecond", hint)
        if getattr(stamps.dtype, "time_zone", None) is not None:
            return stamps.cast(UTC_MICROSECONDS)
        return self._localize(stamps.cast(pl.Datetime("us")), timezone)

    def _localize(self, stamps: pl.Series, timezone: str) -> pl.Series:
        local = stamps.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
        if local.null_count() > stamps.null_count():
            exists = stamps.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null").is_not_null()
            hint = "store timestamps in UTC or with their zone"
            absent = ~exists & stamps.is_not_null()
            self.refuse(absent, "E-TS-NONEXIST", f"local time in {timezone} does not exist", hint)
            self.refuse(exists & local.is_null(), "E-TS-AMBIG", f"local time in {timezone} happens twice", hint)
        return local.dt.convert_time_zone("UTC").cast(UTC_MICROSECONDS)

    @staticmethod
    def _without(stamps: pl.Series, offenders: pl.Series) -> pl.Series:
        return stamps.to_frame("t").select(pl.when(~offenders).then("t")).to_series()


def _is_midnight(name: str) -> pl.Expr:
    return pl.col(name).dt.time() == time(0)


def _latest(dataset: str) -> date:
    return datetime.now(UTC).date() + timedelta(days=1) + _AHEAD.get(dataset, _AHEAD_OF_OTHERS)


def _physical(day: date, dtype: pl.DataType) -> int:
    """Return a date as a value of a Date or Datetime column holds it."""
    days = (day - _EPOCH_DAY).days
    return days * 86_400 * _PER_SECOND[dtype.time_unit] if isinstance(dtype, pl.Datetime) else days
