"""When exchanges open and close, for tests that must not ask the code under test.

Sessions are those of `exchange_calendars`, asked for directly; every rule of timing is then a search through plain
lists. Hours by hand, from local times and `zoneinfo` alone, stand beside them.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

FIRST, LAST = date(1995, 1, 2), date(2024, 12, 31)
RULES = ("market_open", "market_close", "next_day")
# Calendar: zone, local time of the open, days from the session's date to that of its open, the same of its close.
HOURS = {
    "XNYS": ("America/New_York", time(9, 30), 0, time(16), 0),
    "XLON": ("Europe/London", time(8), 0, time(16, 30), 0),
    "CMES": ("America/Chicago", time(17), -1, time(17), 0),
    "24/7": ("UTC", time(0), 0, time(0), 1),
}
CALENDARS = tuple(HOURS)
EARLY_CLOSE = {"XNYS": time(13), "XLON": time(12, 30), "CMES": time(12), "24/7": time(0)}


class Exchange:
    """Sessions of an exchange as plain lists: `days`, `opens` and `closes`, which are aware datetimes in UTC."""

    def __init__(self, name: str, first: date, last: date) -> None:
        import exchange_calendars

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            month = timedelta(days=31)
            calendar = exchange_calendars.get_calendar(name, start=first - month, end=last + month)
        self.name, self.zone = name, ZoneInfo(HOURS[name][0])
        schedule = calendar.schedule
        self.days = [stamp.date() for stamp in schedule.index]
        self.opens = [stamp.to_pydatetime().astimezone(UTC) for stamp in schedule["open"]]
        self.closes = [stamp.to_pydatetime().astimezone(UTC) for stamp in schedule["close"]]

    def known(self, rule: str, about: date | datetime) -> datetime:
        """Return when a row becomes known that is about a session (a date) or an instant, by the words of the rule."""
        if not isinstance(about, datetime):
            if rule == "next_day":
                return self.opens[bisect_right(self.days, about)]
            return (self.opens if rule == "market_open" else self.closes)[bisect_left(self.days, about)]
        if rule == "next_day":
            # Its session is the first one that closes then or later.
            return self.opens[bisect_left(self.closes, about) + 1]
        moments = self.opens if rule == "market_open" else self.closes
        return moments[bisect_left(moments, about)]

    def next_open(self, moment: datetime) -> datetime:
        return self.opens[bisect_left(self.opens, moment)]

    def sessions(self, first: date, last: date) -> list[tuple[date, datetime, datetime]]:
        """Return day, open and close of the sessions between two dates, inclusive."""
        inside = slice(bisect_left(self.days, first), bisect_right(self.days, last))
        return list(zip(self.days[inside], self.opens[inside], self.closes[inside], strict=True))


@cache
def exchange(name: str) -> Exchange:
    """Return an exchange over thirty years."""
    return Exchange(name, FIRST, LAST)


def hours_by_hand(name: str, day: date, *, early: bool) -> tuple[datetime, datetime]:
    """Return when the session of a date opens and closes, from local times."""
    zone, opened, before, closed, after = HOURS[name]
    ends = EARLY_CLOSE[name] if early else closed
    local = (datetime.combine(day + timedelta(before), opened), datetime.combine(day + timedelta(after), ends))
    begin, end = (moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for moment in local)
    return begin, end
