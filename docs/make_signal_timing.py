"""Draws the timing diagrams of concepts/signal_timing.md, from what preparation and the engine do.

`python -m docs.make_signal_timing` brings the page up to date; a test holds that it is, and that its tables are true.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from docs.generated_blocks import with_blocks
from ml4t_backtest import BacktestEngine, DataPreparer, PolarsDataFeed, Strategy
from ml4t_backtest.core.instants import span_microseconds
from ml4t_backtest.data.calendar import TradingCalendar

PAGE = Path(__file__).parent / "concepts" / "signal_timing.md"
_SESSION, _NIGHT, _MARGIN = 16, 8, 11
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """One row of signals, and the bars it is given to.

    Attributes:
        about: What the row is about: a session, or an instant.
        rule: How it becomes known: `market_close`, ...; or a moment that the row says itself.
        latency: Time until it can be used.
        decide_at: When a strategy decides on a slice.
        bars: Length of the bars.
        calendar: Exchange.
    """

    about: date
    rule: str | datetime
    latency: str = "0m"
    decide_at: str = "close"
    bars: str = "1d"
    calendar: str = "XNYS"

    @property
    def zone(self) -> ZoneInfo:
        """Zone of the exchange."""
        return ZoneInfo(TradingCalendar(self.calendar, date(2024, 1, 2), date(2024, 1, 2)).timezone)

    def sessions(self) -> list[tuple[datetime, datetime]]:
        """Return open and close of the session before the row's, of its own, and of the three after."""
        day = self.about.date() if isinstance(self.about, datetime) else self.about
        all_ = TradingCalendar(self.calendar, day, day).sessions
        own = int(all_["session"].search_sorted(day))
        return list(all_[own - 1 : own + 4].select("open", "close").iter_rows())


@dataclass(frozen=True)
class Moments:
    """What became of the row: when it was known, which bar shows it first, when one decides and what fills."""

    known: datetime
    opened: datetime
    shown: datetime
    decided: datetime
    filled: datetime


class _BuyOnce(Strategy):
    """Buys on the first slice that shows the row."""

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
        if asset_batch["signal_is_new"][0]:
            self.buy("A", 1)


@cache
def lived(case: Case) -> Moments:
    """Return what preparation and the engine make of a case."""
    row: dict[str, Any] = {"timestamp": [_in_utc(case.about)], "symbol": ["A"], "signal": [1.0]}
    rule = case.rule if isinstance(case.rule, str) else None
    row |= {} if rule else {"available_at": [_in_utc(case.rule)]}
    preparer = DataPreparer(calendar=case.calendar, decide_at=case.decide_at)  # type: ignore[arg-type]
    preparer.add_prices(_bars(case), freq=case.bars, bar_label="close")
    preparer.add_signals(pl.DataFrame(row), valid_from=rule, latency=case.latency)  # type: ignore[arg-type]
    prepared = preparer.prepare()
    first = prepared.asset_data.filter("signal_is_new").row(0, named=True)
    feed = PolarsDataFeed(prepared.asset_data, signal_columns=["signal"], calendar=case.calendar)
    filled = BacktestEngine(feed, _BuyOnce()).run().fills["fill_instant"][0]
    moments = (
        first["signal_available_at"],
        first["open_instant"],
        first["timestamp"],
        first["decision_instant"],
        filled,
    )
    return Moments(*(moment.astimezone(case.zone) for moment in moments))


def _in_utc(moment: Any) -> Any:
    """Return an instant in the zone of the bars, for zones are not mixed; a date is left as it is."""
    return moment.astimezone(UTC) if isinstance(moment, datetime) else moment


def _bars(case: Case) -> pl.DataFrame:
    """Return bars over the sessions of a case; all prices are 100."""
    stamps = []
    for opened, closed in case.sessions():
        length = closed - opened if case.bars == "1d" else timedelta(microseconds=span_microseconds(case.bars))
        stamps += [min(opened + number * length, closed) for number in range(1, -(-(closed - opened) // length) + 1)]
    prices = dict.fromkeys(("open", "high", "low", "close"), [100.0] * len(stamps))
    return pl.DataFrame({"timestamp": stamps, "symbol": ["A"] * len(stamps), **prices, "volume": [1e4] * len(stamps)})


# --- diagrams --------------------------------------------------------------------------------------------------------


class Axis:
    """A line of sessions, all drawn equally long, with shorter nights between."""

    def __init__(self, sessions: Sequence[tuple[datetime, datetime]]) -> None:
        self._edges = [moment for session in sessions for moment in session]
        self.width = len(sessions) * (_SESSION + _NIGHT)

    def column(self, moment: datetime) -> int:
        """Return where a moment stands; a moment right after an edge does not stand on it."""
        for number, (begin, end) in enumerate(zip(self._edges, self._edges[1:], strict=False)):
            if begin <= moment <= end:
                start = number // 2 * (_SESSION + _NIGHT) + number % 2 * _SESSION
                share = (moment - begin) / (end - begin) * (_NIGHT if number % 2 else _SESSION)
                return start + (round(share) or int(moment > begin))
        raise ValueError(f"{moment} lies outside the sessions drawn")


def diagram(case: Case, sessions: int = 3) -> str:
    """Return the picture of a case over some sessions, from the one before the row's."""
    drawn = [
        (opened.astimezone(case.zone), closed.astimezone(case.zone)) for opened, closed in case.sessions()[:sessions]
    ]
    axis, lived_ = Axis(drawn), lived(case)
    days = [(axis.column(opened), f"{closed:%a} {closed.day} {closed:%b}") for opened, closed in drawn]
    hours = [(axis.column(moment), _hour(moment)) for session in drawn for moment in session]
    marks = [(axis.column(opened), axis.column(closed)) for opened, closed in drawn]
    lines = [_line("", days, axis), _line("", hours, axis), _spans("sessions", marks, axis, "├─┤")]
    if isinstance(case.about, datetime):
        lines.append(_line("about", [(axis.column(case.about), f"┬ {_hour(case.about.astimezone(case.zone))}")], axis))
    else:
        lines.append(_spans("about", [marks[1]], axis, "▒▒▒"))
    bar = axis.column(lived_.opened), max(axis.column(lived_.shown), axis.column(lived_.opened) + 1)
    lines += [
        _line("known", [(axis.column(lived_.known), f"● {_hour(lived_.known)}")], axis),
        _spans("shown on", [bar], axis, "╞═╡"),
        _line("decided", [(axis.column(lived_.decided), f"◆ {_hour(lived_.decided)}")], axis),
        _line("filled", [(axis.column(lived_.filled), f"▼ {_hour(lived_.filled)}")], axis),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _line(name: str, texts: Sequence[tuple[int, str]], axis: Axis) -> str:
    cells = [" "] * (axis.width + _SESSION)
    for column, text in texts:
        cells[column : column + len(text)] = text
    return name.ljust(_MARGIN) + "".join(cells)


def _spans(name: str, spans: Sequence[tuple[int, int]], axis: Axis, style: str) -> str:
    return _line(name, [(begin, style[0] + style[1] * (end - begin - 1) + style[2]) for begin, end in spans], axis)


def _hour(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}".removesuffix(":00")


_WEDNESDAY, _HALF_DAY = date(2024, 1, 10), date(2024, 7, 3)
_NEW_YORK = ZoneInfo("America/New_York")
_TEN = datetime(2024, 1, 10, 10, 17, tzinfo=_NEW_YORK)
DIAGRAMS = {
    "market_close": (Case(_WEDNESDAY, "market_close"), 3),
    "market_open": (Case(_WEDNESDAY, "market_open"), 3),
    "market_open, decided at the next open": (Case(_WEDNESDAY, "market_open", decide_at="next_open"), 3),
    "next_day": (Case(_WEDNESDAY, "next_day"), 4),
    "next_day, decided at the next open": (Case(_WEDNESDAY, "next_day", decide_at="next_open"), 3),
    "latency": (Case(_WEDNESDAY, "market_close", latency="15m"), 4),
    "latency, decided at the next open": (Case(_WEDNESDAY, "market_close", latency="15m", decide_at="next_open"), 3),
    "minute bars, market_close": (Case(_WEDNESDAY, "market_close", bars="1m"), 3),
    "minute bars, an instant": (Case(_TEN, _TEN + timedelta(seconds=20), latency="5m", bars="1m"), 3),
    "half day": (Case(_HALF_DAY, "market_close"), 3),
}


# --- the tables of the page ------------------------------------------------------------------------------------------


def case_of(row: dict[str, str], options: dict[str, str]) -> Case:
    """Return the case of a row of a table: its `a row about`, `known by`, and perhaps `decide_at` and `calendar`."""
    calendar = row.get("calendar", options.get("calendar", "XNYS"))
    zone = Case(_WEDNESDAY, "next_day", calendar=calendar).zone
    rule, _, latency = row["known by"].partition(" + ")
    said = rule.removeprefix("available_at ")
    return Case(
        _moment(row["a row about"], zone),
        rule if said == rule else datetime.fromisoformat(said).replace(tzinfo=zone),
        latency or "0m",
        row.get("decide_at", "close"),
        options.get("bars", "1d"),
        calendar,
    )


def _moment(text: str, zone: ZoneInfo) -> date:
    """Return a date, or an instant in the zone of the exchange, of a text that may begin with the day of the week."""
    plain = re.sub(r"^[A-Z][a-z]{2} ", "", text)
    return datetime.fromisoformat(plain).replace(tzinfo=zone) if ":" in plain else date.fromisoformat(plain)


def told(moment: datetime, case: Case) -> str:
    """Return a moment in the words of the tables, by the clock of the exchange."""
    here = moment.astimezone(case.zone)
    return f"{here:%a} {here.day} {here:%b} {_hour(here)}"


def lived_row(case: Case) -> dict[str, str]:
    """Return what a table may have to say of a case."""
    moments = lived(case)
    found = {"known": moments.known, "shown on the bar to": moments.shown}
    found |= {"decided": moments.decided, "filled": moments.filled}
    utc = moments.known.astimezone(UTC)
    return {"in UTC": f"{utc:%Y-%m-%d} {_hour(utc)}", **{name: told(moment, case) for name, moment in found.items()}}


def rewritten(page: str) -> str:
    """Return the page with every diagram brought up to date."""
    drawn = {name: f"```\n{diagram(case, sessions)}\n```" for name, (case, sessions) in DIAGRAMS.items()}
    return with_blocks(page, drawn)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
