"""Words that are one of a few: checked in one place, and a mistake names what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from functools import lru_cache
from numbers import Real
from typing import TypeGuard
from zoneinfo import ZoneInfo

import polars as pl

from ml4t_backtest.errors import ConfigError

_LISTED = 6


def require_choice(what: str, word: object, choices: Iterable[str]) -> None:
    """Refuse a word that is none of the choices; the error lists them, or the nearest where they are many.

    >>> require_choice("bar_label", "opne", ("close", "open", "session"))
    Traceback (most recent call last):
    ml4t_backtest.errors.ConfigError: bar_label must be one of close, open, session, got 'opne'

    Raises:
        ConfigError: It is none.
    """
    known = list(choices)
    if word in known:
        return
    if len(known) <= _LISTED:
        raise ConfigError(f"{what} must be one of {', '.join(known)}, got {word!r}")
    near = difflib.get_close_matches(str(word), known, n=3) or known[:3]
    raise ConfigError(f"{what} {word!r} is unknown; nearest: {', '.join(near)}")


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number; text and booleans are none."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


@lru_cache(maxsize=64)
def require_timezone(name: str) -> None:
    """Refuse a time zone that Python or Polars does not know.

    Raises:
        ConfigError: It is unknown.
    """
    try:
        ZoneInfo(name)
        pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone(name)
    except (KeyError, ValueError, TypeError, OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"timezone {name!r} is unknown; write UTC or a place such as America/New_York") from error
