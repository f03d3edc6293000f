"""The kinds of value a configuration holds: names, spans of time, dates, paths, zones, calendars.

Each is a Pydantic type: plain text with one rule, whose error says what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, JsonValue
from pydantic_core import PydanticCustomError

from ml4t_backtest.config.document import did_you_mean, nearest
from ml4t_backtest.errors import ConfigError

UNSAFE_NAME: Final = "unsafe_name"
MUST: Final = "must"
UNKNOWN_KEY: Final = "unknown_key"
DEFAULT_CALENDAR: Final = "XNYS"
LONGEST_NAME: Final = 100

_SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
_COLUMN = re.compile(r"[^\W\d][\w.-]*")
_SPAN = re.compile(r"[0-9]{1,6}[mhd]")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_PLACE = ("posix", "right", "SystemV")


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no silent conversions, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def must(text: str, *, key: str = "") -> PydanticCustomError:
    """Return the error of a rule.

    Args:
        text: What is allowed, starting with `must`.
        key: Key inside the section concerned, where the rule is about a whole section.
    """
    return PydanticCustomError(MUST, "{text}", {"text": text, "key": key})


def unknown_key(name: str, allowed: Sequence[str], *, key: str, also: str) -> PydanticCustomError:
    """Return the error of a key that does not belong where it stands.

    Args:
        name: The key.
        allowed: Those that do.
        key: Where it stands inside the section concerned.
        also: What else would do, for the message.
    """
    text = f"unknown key.{did_you_mean(name, allowed)} Allowed here: {', '.join(allowed)}, {also}"
    return PydanticCustomError(UNKNOWN_KEY, "{text}", {"text": text, "key": key})


def unsafe_name_reason(name: str) -> str | None:
    """Return why a name is no safe file name on every system, or None.

    >>> unsafe_name_reason("my_run-2.1") is None
    True
    """
    if not _SAFE_NAME.fullmatch(name):
        return "must be 1 to 64 of a-z, 0-9, '_', '.', '-', starting with a letter or digit"
    if name.endswith("."):
        return "must not end with a dot"
    if name.split(".")[0] in _DEVICES:
        return "must not be a device name of Windows (con, nul, com1, ...)"
    return None


def _safe_name(name: str) -> str:
    reason = unsafe_name_reason(name)
    if reason is not None:
        raise PydanticCustomError(UNSAFE_NAME, "{text}", {"text": reason, "key": ""})
    return name


def _column_name(name: str) -> str:
    found = _COLUMN.match(name)
    if found is None or found.end() < len(name):
        at = found.end() if found else 0
        raise must(
            "must be the name of a column (letters, digits, '_', '.', '-', not starting with a digit), "
            f"never an expression; character {at + 1} is {name[at : at + 1]!r}. A column that is called so in its file "
            "gets a name of yours by columns: {my_name: its name}"
        )
    if len(name) > LONGEST_NAME:
        raise must(f"must have at most {LONGEST_NAME} characters")
    return name


def fits_column_name(name: str) -> bool:
    """Return whether a configuration can give this name to a column.

    >>> fits_column_name("vix_close"), fits_column_name("VIX Close")
    (True, False)
    """
    return _COLUMN.fullmatch(name) is not None and len(name) <= LONGEST_NAME


def _plain_text(text: str) -> str:
    if not text.strip() or _CONTROL.search(text) or len(text) > 4096:
        raise must("must be text of 1 to 4096 characters without control characters")
    return text


def _span(text: str) -> str:
    if not _SPAN.fullmatch(text):
        raise must("must be a whole number and m (minutes), h (hours) or d (days), for example 15m or 5d")
    return text


def _frequency(text: str) -> str:
    if not _SPAN.fullmatch(text) or int(text[:-1]) == 0:
        raise must("must be a whole number from 1 and m, h or d, for example 5m, 1h or 1d (one bar per session)")
    return text


def _iso_date(value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise must(f"must be a day that exists ({error})") from error
    raise must("must be a date as YYYY-MM-DD, for example 2003-01-02")


@cache
def _zone_names() -> list[str]:
    import zoneinfo

    places = (name for name in zoneinfo.available_timezones() if "/" in name)
    return sorted(["UTC", *(name for name in places if not name.startswith(_NO_PLACE))])


def _time_zone(name: str) -> str:
    if name != "UTC" and name not in _zone_names():
        near = nearest(name, _zone_names()) or ["America/New_York", "Europe/London", "Asia/Tokyo"]
        raise must(f"must be UTC or an IANA zone of a place, for example {', '.join(near)}")
    return name


def _calendar(name: str) -> str:
    if name == DEFAULT_CALENDAR:
        return name
    from ml4t_backtest.data.calendar import calendar_names

    known = calendar_names()
    if name not in known:
        near = nearest(name, known, count=5) or ["XNYS", "XLON", "XTKS", "24/7"]
        raise must(f"must be a calendar that exchange_calendars knows; nearest: {', '.join(near)}")
    return name


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that are each given once.

    Raises:
        PydanticCustomError: One is given twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise must(f"must name each once; twice: {', '.join(twice)}")
    return names


def _distinct_sources(columns: dict[Any, str]) -> dict[Any, str]:
    distinct(tuple(columns.values()))
    return columns


def _finite(value: Any) -> Any:
    if any(not math.isfinite(number) for number in _numbers(value)):
        raise must("must hold finite numbers only, no nan and no inf")
    return value


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, (dict, list)):
        items: Iterable[Any] = value.values() if isinstance(value, dict) else value
        for item in items:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value


SafeName = Annotated[str, AfterValidator(_safe_name)]
ColumnName = Annotated[str, AfterValidator(_column_name)]
ColumnNames = Annotated[tuple[ColumnName, ...], AfterValidator(distinct)]
PlainText = Annotated[str, AfterValidator(_plain_text)]
Span = Annotated[str, AfterValidator(_span)]
Frequency = Annotated[str, AfterValidator(_frequency)]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
CalendarName = Annotated[str, AfterValidator(_calendar)]
DistinctSources = AfterValidator(_distinct_sources)
FiniteJson = Annotated[JsonValue, AfterValidator(_finite)]


def check_safe_name(name: str, what: str) -> str:
    """Return `name` if it is safe as a file name on every system.

    Raises:
        UnsafeConfigError: It is not; the text says what is allowed.
    """
    from ml4t_backtest.config.document import UnsafeConfigError

    reason = unsafe_name_reason(name)
    if reason is not None:
        raise UnsafeConfigError(f"{what} {name[:80]!r} {reason}")
    return name


def unknown(what: str, name: str, available: Iterable[str]) -> ConfigError:
    """Return the error for a name that is not among the available ones."""
    known = sorted(available)
    return ConfigError(
        f"there is no {what} {name!r}.{did_you_mean(name, known)} Available: {', '.join(known) or 'none'}."
    )
