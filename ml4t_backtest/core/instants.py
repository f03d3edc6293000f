"""Instants as integers inside, time-zone-aware datetimes at the edge.

Two different instants of a fall-back hour compare equal as Python datetimes of the same zone, so comparisons are
made on integers: microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.errors import ConfigError

UTC_MICROSECONDS = pl.Datetime("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_CENTURY = 36_525 * _MICROSECONDS["d"]
_SPAN = re.compile(r"(\d{1,12})([smhd])")


def to_datetime(instant: int) -> datetime:
    """Return the UTC datetime of an instant.

    >>> to_datetime(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return _EPOCH + timedelta(microseconds=instant)


def to_datetimes(microseconds: npt.NDArray[np.int64]) -> list[datetime]:
    """Return the UTC datetimes of instants, a fifth of the time of one by one.

    >>> to_datetimes(np.array([0, 1]))[1].isoformat()
    '1970-01-01T00:00:00.000001+00:00'
    """
    since: list[timedelta] = microseconds.view("timedelta64[us]").tolist()
    return [*map(_EPOCH.__add__, since)]


def to_instant(moment: datetime) -> int:
    """Return the instant of a time-zone-aware datetime.

    >>> to_instant(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)


def span_microseconds(span: str) -> int:
    """Return the length of a span such as `15m`, `1h`, `1d` in microseconds (a day is 24 hours).

    >>> span_microseconds("15m")
    900000000

    Raises:
        ConfigError: The text is no whole number followed by s, m, h or d, or more than a century.
    """
    match = _SPAN.fullmatch(span)
    if match is None:
        raise ConfigError(f"{span!r} is no span of time; write a whole number and s, m, h or d, for example '15m'")
    length = int(match[1]) * _MICROSECONDS[match[2]]
    if length > _CENTURY:
        raise ConfigError(f"{span!r} is longer than a century")
    return length


def instants(column: pl.Series) -> pl.Series:
    """Return a datetime series as Int64 microseconds since 1970 UTC."""
    return column.cast(UTC_MICROSECONDS).cast(pl.Int64)


def as_moments(name: str, microseconds: npt.NDArray[np.int64]) -> pl.Series:
    """Return microseconds since 1970 UTC as a datetime series.

    >>> as_moments("t", np.array([1_000_000])).dt.to_string("iso").item()
    '1970-01-01 00:00:01.000000+00:00'
    """
    return pl.Series(name, microseconds.view("datetime64[us]")).dt.replace_time_zone("UTC")
