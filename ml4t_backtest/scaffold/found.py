"""What a user's file shows of itself: which column is what, and how far its rows are apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from ml4t_backtest.config.dataset_schema import RESERVED
from ml4t_backtest.config.fields import fits_column_name
from ml4t_backtest.data.sources import collect, scan, schema_of
from ml4t_backtest.errors import ConfigError

# In lower case, with '_' for whatever is no letter or digit, and without the words below.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "timestamp": (
        *("timestamp", "date", "datetime", "date_time", "time", "day", "session", "ts", "dt", "ts_event", "event_time"),
        *("asof", "as_of", "asof_date", "as_of_date", "trade_date", "trading_date", "trading_day", "session_date"),
        *("window_start", "bar_time", "time_key", "caldt", "index"),
    ),
    "symbol": (
        *("symbol", "ticker", "asset", "instrument", "sym", "security", "ric", "tic", "stock", "code", "name"),
        *("permno", "isin", "cusip", "figi", "sid", "symbol_id", "asset_id", "instrument_id"),
    ),
    "open": ("open", "o", "op", "opening", "first"),
    "high": ("high", "h", "hi", "max"),
    "low": ("low", "l", "lo", "min"),
    "close": ("close", "c", "cl", "closing", "last", "settle"),
    "volume": ("volume", "vol", "v", "qty", "quantity", "shares", "size", "volume_shares"),
}
_FILLERS = frozenset({"px", "price", "prices", "prc", "bar", "daily"})
_PREDICTIONS = ("prediction", "score", "pred", "proba", "probability", "y_pred", "y_hat", "signal", "alpha")
_ENOUGH_ROWS = 100_000


@dataclass(frozen=True)
class Found:
    """What a file shows of itself.

    Attributes:
        path: Absolute path.
        columns: Our name -> the file's, where they differ.
        values: Number columns that are none of ours, under the names a configuration can give them, in the file's
            order.
        by_session: Whether timestamps are dates, or all at midnight.
        is_naive: Whether timestamps are times of day without a zone.
        frequency: `1d`, or the least span between two bars of a symbol; None where that is no whole minutes.
        has_available_at: Whether rows say when they became known.
        first: The first timestamp as it stands there.
    """

    path: Path
    columns: dict[str, str]
    values: tuple[str, ...]
    by_session: bool
    is_naive: bool
    frequency: str | None
    has_available_at: bool
    first: str

    @property
    def prediction(self) -> str:
        """The value that is a prediction by its name, else the first.

        Raises:
            ConfigError: There is none.
        """
        if not self.values:
            raise ConfigError(f"{self.path}: no number column beside the keys, so no prediction; it needs at least one")
        plain = {_plain(name): name for name in reversed(self.values)}
        return next((plain[name] for name in _PREDICTIONS if name in plain), self.values[0])


def look_at(
    path: str | Path, needed: Sequence[str], columns: Mapping[str, str] | None = None, option: str = "--columns"
) -> Found:
    """Return what a file (Parquet, CSV or Arrow) shows of itself.

    Args:
        path: The file.
        needed: Which of our columns it must have.
        columns: Our name -> the file's, as far as somebody has said it.
        option: Where that is said, for the message.

    Raises:
        ConfigError: A column that is needed has no known name, or one that was said is not there.
        CorruptDatasetError: It cannot be read.
    """
    home = Path(path).resolve()
    there = schema_of(scan(home), file=str(home)).names()
    told = dict(columns or {})
    ours = {**_by_name(there, needed), **told}
    _refuse_absent(home, there, needed, ours, told, option)
    rows = collect(scan(home, columns=ours).head(_ENOUGH_ROWS), file=str(home))
    taken = {*needed, *ours.values(), "available_at"}
    values = [name for name, dtype in rows.schema.items() if dtype.is_numeric() and name not in taken]
    named = _value_names(values, home.stem)
    stamps = rows.select("timestamp", symbol=pl.col("symbol") if "symbol" in needed else pl.lit(""))
    by_session = _by_session(stamps["timestamp"])
    return Found(
        path=home,
        columns={name: found for name, found in {**ours, **named}.items() if name != found},
        values=tuple(named),
        by_session=by_session,
        is_naive=not by_session and getattr(rows.schema["timestamp"], "time_zone", None) is None,
        frequency="1d" if by_session else _span(stamps),
        has_available_at="available_at" in rows.columns,
        first=str(stamps["timestamp"].min()),
    )


def _by_name(there: Sequence[str], needed: Iterable[str]) -> dict[str, str]:
    """Return our name -> the file's for what can be told by its name; what two columns could be stays open."""
    found = {}
    for ours in needed:
        alike = [name for name in there if _plain(name) in _NAMES[ours]]
        # Of `close` and `adj_close`, or `date` and `time`, the one whose name comes first above.
        best = min((_NAMES[ours].index(_plain(name)) for name in alike), default=None)
        chosen = [name for name in alike if _NAMES[ours].index(_plain(name)) == best]
        exact = [name for name in chosen if name == ours]
        if len(exact or chosen) == 1:
            found[ours] = (exact or chosen)[0]
    return found


def _plain(name: str) -> str:
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    return "_".join([word for word in words if word not in _FILLERS] or words)


def _refuse_absent(
    home: Path,
    there: Sequence[str],
    needed: Sequence[str],
    ours: Mapping[str, str],
    told: Mapping[str, str],
    option: str,
) -> None:
    listed = f"it has {', '.join(there)}"
    wrong = [name for name in told if name not in needed]
    if wrong:
        raise ConfigError(f"{home}: {option} names {', '.join(wrong)}; it can name {', '.join(needed)}")
    absent = [theirs for theirs in told.values() if theirs not in there]
    if absent:
        raise ConfigError(f"{home}: {option} names the columns {', '.join(absent)}; {listed}")
    missing = [name for name in needed if name not in ours]
    if missing:
        example = ",".join(f"{name}=COLUMN" for name in missing)
        raise ConfigError(f"{home}: no column for {', '.join(missing)}; {listed}. Say which it is: {option} {example}")


def _value_names(there: Iterable[str], stem: str) -> dict[str, str]:
    """Return names that a configuration can give to value columns -> what they are called in the file."""
    named: dict[str, str] = {}
    for theirs in there:
        wanted = (theirs, _words(theirs), f"{_words(stem)}_{_words(theirs)}")
        numbered = (f"{wanted[-1]}_{count}" for count in range(2, 100))
        name = next((each for each in (*wanted, *numbered) if _is_free(each) and each not in named), None)
        if name is not None:
            named[name] = theirs
    return named


def _words(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def _is_free(name: str) -> bool:
    return fits_column_name(name) and name not in RESERVED


def _by_session(stamps: pl.Series) -> bool:
    if stamps.dtype == pl.Date:
        return True
    if not isinstance(stamps.dtype, pl.Datetime):
        raise ConfigError(f"the column {stamps.name} holds {stamps.dtype}: write dates or times there")
    return stamps.len() > 0 and stamps.dt.truncate("1d").equals(stamps)


def _span(stamps: pl.DataFrame) -> str | None:
    """Return the least span between two bars of a symbol as text: 5m, 1h; 1d where no day has two."""
    apart = stamps.sort("symbol", "timestamp").select(pl.col("timestamp").diff().over("symbol")).to_series()
    least = apart.filter(apart > timedelta(0)).min()
    minutes = least / timedelta(minutes=1) if isinstance(least, timedelta) else 0.0
    if minutes < 1 or minutes != int(minutes):
        return None
    # Daily bars named by their close are less than a day apart around half days and changes of the clock.
    days = stamps.unique().select(pl.struct("symbol", pl.col("timestamp").dt.date()).is_unique().all()).item()
    if days:
        return "1d"
    return f"{int(minutes) // 60}h" if minutes % 60 == 0 else f"{int(minutes)}m"
