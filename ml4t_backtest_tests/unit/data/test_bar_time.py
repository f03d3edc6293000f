"""From a source's labels to instants: when a bar opened, when it was complete, when a strategy decides on it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from ml4t_backtest import ConfigError
from ml4t_backtest.core.instants import instants as to_integers
from ml4t_backtest.core.instants import span_microseconds, to_datetime, to_instant
from ml4t_backtest.data.bar_time import BarClock, add_instants, as_utc, infer_frequency

UTC_US = pl.Datetime("us", "UTC")
NEW_YORK = "America/New_York"


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def clocked(stamps: Any, **clock: Any) -> pl.DataFrame:
    return add_instants(pl.DataFrame({"timestamp": stamps}), BarClock(**clock))


def closes(stamps: Any, **clock: Any) -> list[datetime]:
    return clocked(stamps, **clock)["timestamp"].to_list()


def opens(stamps: Any, **clock: Any) -> list[datetime]:
    return clocked(stamps, **clock)["open_instant"].to_list()


def decisions(stamps: Any, **clock: Any) -> list[datetime]:
    return clocked(stamps, **clock)["decision_instant"].to_list()


# --- daily bars -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "opened", "closed"),
    [
        (date(2012, 11, 23), at(2012, 11, 23, 14, 30), at(2012, 11, 23, 18)),  # half day
        (date(2024, 3, 8), at(2024, 3, 8, 14, 30), at(2024, 3, 8, 21)),  # the Friday before the clocks change
        (date(2024, 3, 11), at(2024, 3, 11, 13, 30), at(2024, 3, 11, 20)),  # the Monday after
        (date(2024, 11, 1), at(2024, 11, 1, 13, 30), at(2024, 11, 1, 20)),
        (date(2024, 11, 4), at(2024, 11, 4, 14, 30), at(2024, 11, 4, 21)),
    ],
)
def test_a_session_label_is_known_at_the_sessions_close(day: date, opened: datetime, closed: datetime) -> None:
    bar = clocked([day], label="session").row(0, named=True)
    assert bar == {"timestamp": closed, "open_instant": opened, "decision_instant": closed}


@pytest.mark.parametrize("label", ["close", "open", "session"])
def test_a_date_is_a_session_whatever_label_was_declared(label: str) -> None:
    assert closes([date(2024, 1, 2)], label=label) == [at(2024, 1, 2, 21)]
    assert opens([date(2024, 1, 2)], label=label) == [at(2024, 1, 2, 14, 30)]


def test_midnight_stamps_declared_as_sessions_are_their_days() -> None:
    assert closes([datetime(2024, 1, 2), datetime(2024, 1, 3)], label="session") == [
        at(2024, 1, 2, 21),
        at(2024, 1, 3, 21),
    ]


def test_a_session_label_is_a_day_of_the_declared_zone_not_of_utc() -> None:
    # Midnight of 10 January in Tokyo is 15:00 UTC of the 9th; the session is that of the 10th, closing 06:00 UTC.
    tokyo = {"calendar": "XTKS", "timezone": "Asia/Tokyo", "label": "session"}
    assert closes([datetime(2024, 1, 10), datetime(2024, 1, 11)], **tokyo) == [at(2024, 1, 10, 6), at(2024, 1, 11, 6)]


def test_a_session_label_with_a_zone_is_a_day_of_that_zone() -> None:
    stamps = pl.Series([datetime(2024, 1, 10)]).dt.replace_time_zone("Asia/Tokyo")
    assert closes(stamps, calendar="XTKS", label="session") == [at(2024, 1, 10, 6)]


def test_a_session_label_west_of_greenwich_is_its_own_day_too() -> None:
    stamps = pl.Series([datetime(2024, 1, 2, 20)]).dt.replace_time_zone(NEW_YORK)  # 01:00 UTC of the 3rd
    assert closes(stamps, label="session") == [at(2024, 1, 2, 21)]


@pytest.mark.parametrize("label", ["close", "open"])
def test_daily_bars_stamped_at_midnight_are_refused_unless_declared_as_sessions(label: str, violations_of: Any) -> None:
    (violation,) = violations_of(clocked, [at(2024, 1, 2), at(2024, 1, 3)], label=label)
    assert (violation.code, violation.count, violation.row) == ("E-TS-LABEL", 2, 0)
    assert "session" in violation.hint


@pytest.mark.parametrize("zoned", [True, False])
def test_midnight_of_the_exchanges_own_zone_is_midnight_too(zoned: bool, violations_of: Any) -> None:
    stamps = pl.Series([datetime(2024, 1, 2), datetime(2024, 1, 3)])
    stamps = stamps.dt.replace_time_zone(NEW_YORK) if zoned else stamps
    (violation,) = violations_of(clocked, stamps, timezone=NEW_YORK)
    assert violation.code == "E-TS-LABEL"


def test_one_honest_stamp_does_not_excuse_midnight_stamps(violations_of: Any) -> None:
    (violation,) = violations_of(clocked, [at(2024, 1, 2, 21), at(2024, 1, 3)])
    assert (violation.code, violation.row) == ("E-TS-LABEL", 1)


def test_a_calendar_that_closes_at_midnight_may_stamp_its_closes_so() -> None:
    assert closes([at(2024, 1, 2), at(2024, 1, 3)], calendar="24/7") == [at(2024, 1, 2), at(2024, 1, 3)]


def test_daily_close_labels_are_kept_and_open_with_their_session() -> None:
    stamps = [at(2012, 11, 21, 21), at(2012, 11, 23, 18)]
    assert closes(stamps) == stamps
    assert opens(stamps) == [at(2012, 11, 21, 14, 30), at(2012, 11, 23, 14, 30)]


def test_daily_open_labels_are_known_at_their_sessions_close() -> None:
    stamps = [at(2012, 11, 21, 14, 30), at(2012, 11, 23, 14, 30), at(2024, 3, 11, 13, 30)]
    assert closes(stamps, label="open") == [at(2012, 11, 21, 21), at(2012, 11, 23, 18), at(2024, 3, 11, 20)]
    assert opens(stamps, label="open") == stamps


def test_a_daily_bar_opens_when_its_session_does_even_if_labelled_earlier() -> None:
    assert opens([at(2024, 1, 2, 13)], label="open") == [at(2024, 1, 2, 14, 30)]


def test_a_session_label_on_a_holiday_is_refused_with_its_row(violations_of: Any) -> None:
    (violation,) = violations_of(clocked, [date(2024, 3, 28), date(2024, 3, 29)], label="session")
    assert (violation.code, violation.row, violation.column, violation.value, violation.count) == (
        "E-TS-HOLIDAY",
        1,
        "timestamp",
        "2024-03-29",
        1,
    )


# --- intraday bars --------------------------------------------------------------------------------------------------


def test_minute_bars_labelled_by_close_opened_a_minute_before() -> None:
    stamps = [at(2024, 3, 8, 14, 31), at(2024, 3, 8, 21, 0), at(2024, 3, 11, 13, 31)]
    assert closes(stamps, frequency="1m") == stamps
    assert opens(stamps, frequency="1m") == [at(2024, 3, 8, 14, 30), at(2024, 3, 8, 20, 59), at(2024, 3, 11, 13, 30)]


def test_minute_bars_labelled_by_open_are_known_a_minute_later() -> None:
    stamps = [at(2024, 3, 8, 14, 30), at(2024, 3, 8, 20, 59), at(2024, 3, 11, 13, 30)]
    assert closes(stamps, label="open", frequency="1m") == [
        at(2024, 3, 8, 14, 31),
        at(2024, 3, 8, 21, 0),
        at(2024, 3, 11, 13, 31),
    ]
    assert opens(stamps, label="open", frequency="1m") == stamps


def test_the_last_bar_of_a_half_day_is_complete_at_the_early_close() -> None:
    # Hourly bars from 9:30 local time: the one opening at 17:30 UTC ends with the session at 18:00.
    stamps = [at(2012, 11, 23, 16, 30), at(2012, 11, 23, 17, 30)]
    assert closes(stamps, label="open", frequency="1h") == [at(2012, 11, 23, 17, 30), at(2012, 11, 23, 18)]


def test_the_first_bar_of_a_session_does_not_open_before_the_session() -> None:
    # Bars on the full hour: the one closing at 15:00 UTC began with the session at 14:30.
    assert opens([at(2024, 1, 2, 15), at(2024, 1, 2, 16)], frequency="1h") == [
        at(2024, 1, 2, 14, 30),
        at(2024, 1, 2, 15),
    ]


def test_open_and_close_labels_of_the_same_bars_mean_the_same_instants() -> None:
    by_close = clocked([at(2024, 1, 2, 15), at(2024, 1, 2, 16), at(2024, 1, 2, 21)], frequency="1h")
    by_open = clocked([at(2024, 1, 2, 14), at(2024, 1, 2, 15), at(2024, 1, 2, 20)], frequency="1h", label="open")
    assert by_open.rows() == by_close.rows()


def test_rows_keep_their_order_and_their_other_columns() -> None:
    bars = pl.DataFrame({"timestamp": [date(2024, 1, 4), date(2024, 1, 2)], "symbol": ["B", "A"]})
    clocked_bars = add_instants(bars, BarClock(label="session"))
    assert clocked_bars["symbol"].to_list() == ["B", "A"]
    assert clocked_bars["timestamp"].to_list() == [at(2024, 1, 4, 21), at(2024, 1, 2, 21)]
    assert clocked_bars.columns == ["timestamp", "symbol", "open_instant", "decision_instant"]
    assert {clocked_bars.schema[name] for name in clocked_bars.columns if name != "symbol"} == {UTC_US}


# --- decisions ------------------------------------------------------------------------------------------------------


def test_a_strategy_decides_at_the_close_by_default() -> None:
    assert decisions([date(2024, 1, 2)], label="session") == [at(2024, 1, 2, 21)]


@pytest.mark.parametrize(
    ("day", "decided"),
    [
        (date(2024, 1, 2), at(2024, 1, 3, 14, 30)),
        (date(2024, 3, 8), at(2024, 3, 11, 13, 30)),  # over the weekend the clocks change
        (date(2024, 11, 1), at(2024, 11, 4, 14, 30)),
        (date(2024, 7, 3), at(2024, 7, 5, 13, 30)),  # over a holiday
    ],
)
def test_deciding_at_the_next_open_waits_for_the_next_session(day: date, decided: datetime) -> None:
    assert decisions([day], label="session", decide_at="next_open") == [decided]


def test_deciding_at_the_next_open_on_minute_bars_waits_for_the_next_session_too() -> None:
    stamps = [at(2024, 1, 2, 15), at(2024, 1, 2, 21)]
    assert decisions(stamps, frequency="1m", decide_at="next_open") == [at(2024, 1, 3, 14, 30)] * 2


@pytest.mark.parametrize("wrong", [{"label": "banana"}, {"decide_at": "banana"}, {"frequency": "banana"}])
def test_a_clock_that_says_something_unknown_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="banana"):
        clocked([at(2024, 1, 2, 15)], **wrong)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="Mars/Base"):
        clocked([datetime(2024, 1, 2, 16)], timezone="Mars/Base")


# --- zones and types ------------------------------------------------------------------------------------------------


def test_naive_stamps_are_read_in_the_declared_zone() -> None:
    stamps = [datetime(2024, 3, 8, 16), datetime(2024, 3, 11, 16)]
    assert closes(stamps, timezone=NEW_YORK) == [at(2024, 3, 8, 21), at(2024, 3, 11, 20)]
    assert closes([datetime(2024, 3, 8, 21)]) == [at(2024, 3, 8, 21)]


def test_stamps_with_a_zone_keep_it_whatever_was_declared() -> None:
    stamps = pl.Series([datetime(2024, 3, 8, 16)]).dt.replace_time_zone(NEW_YORK)
    assert closes(stamps, timezone="Asia/Tokyo") == [at(2024, 3, 8, 21)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_every_time_unit_is_read(unit: Any) -> None:
    assert closes(pl.Series([at(2024, 3, 8, 21)], dtype=pl.Datetime(unit, "UTC"))) == [at(2024, 3, 8, 21)]


def test_two_instants_of_a_fall_back_hour_stay_two_instants() -> None:
    # 01:30 happens twice in New York on 2024-11-03: at 05:30 and at 06:30 UTC.
    stamps = pl.Series([at(2024, 11, 3, 5, 30), at(2024, 11, 3, 6, 30)]).dt.convert_time_zone(NEW_YORK)
    assert as_utc(stamps, "UTC", dataset="prices").to_list() == [at(2024, 11, 3, 5, 30), at(2024, 11, 3, 6, 30)]


def test_a_local_time_that_does_not_exist_is_refused_with_its_row(violations_of: Any) -> None:
    stamps = pl.Series([datetime(2024, 3, 10, 1, 59), datetime(2024, 3, 10, 2, 30), datetime(2024, 3, 10, 3, 0)])
    (violation,) = violations_of(as_utc, stamps, NEW_YORK, dataset="prices", file="p.parquet")
    assert (violation.code, violation.row, violation.value, violation.count, violation.file) == (
        "E-TS-NONEXIST",
        1,
        "2024-03-10 02:30:00",
        1,
        "p.parquet",
    )


def test_a_local_time_that_happens_twice_is_refused_with_its_row(violations_of: Any) -> None:
    stamps = pl.Series([datetime(2024, 11, 3, 0, 59), datetime(2024, 11, 3, 1, 30), datetime(2024, 11, 3, 2, 0)])
    (violation,) = violations_of(as_utc, stamps, NEW_YORK, dataset="prices")
    assert (violation.code, violation.row, violation.value, violation.count) == (
        "E-TS-AMBIG",
        1,
        "2024-11-03 01:30:00",
        1,
    )


def test_a_gap_hour_and_a_fold_hour_are_reported_each(violations_of: Any) -> None:
    stamps = pl.Series([datetime(2024, 3, 10, 2, 30), datetime(2024, 11, 3, 1, 30)])
    found = {violation.code: violation for violation in violations_of(as_utc, stamps, NEW_YORK, dataset="prices")}
    assert {code: (violation.row, violation.count) for code, violation in found.items()} == {
        "E-TS-NONEXIST": (0, 1),
        "E-TS-AMBIG": (1, 1),
    }


def test_a_null_timestamp_is_refused_with_its_row(violations_of: Any) -> None:
    (violation,) = violations_of(clocked, [date(2024, 1, 2), None, None], label="session")
    assert (violation.code, violation.row, violation.column, violation.count) == ("E-TS-NULL", 1, "timestamp", 2)


@pytest.mark.parametrize("stamps", [["2024-01-02"], [1704229200000], [1.5], [True], [[date(2024, 1, 2)]]])
def test_timestamps_of_another_type_are_refused(stamps: list[Any], violations_of: Any) -> None:
    (violation,) = violations_of(clocked, stamps)
    assert (violation.code, violation.column) == ("E-SC-DTYPE", "timestamp")


def test_a_sortedness_flag_is_not_believed() -> None:
    lying = pl.Series([date(2024, 3, 4), date(2024, 1, 3), date(2024, 2, 2)]).set_sorted()
    assert closes(lying, label="session") == [at(2024, 3, 4, 21), at(2024, 1, 3, 21), at(2024, 2, 2, 21)]


# --- frequency ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "frequency"),
    [
        ([date(2024, 1, 2), date(2024, 1, 3)], "1d"),
        ([at(2024, 1, 2, 21)], "1d"),
        ([at(2024, 1, 5, 21), at(2024, 1, 8, 21)], "1d"),
        ([at(2024, 1, 2, 15, 0), at(2024, 1, 2, 15, 1), at(2024, 1, 2, 15, 2), at(2024, 1, 3, 15, 0)], "1m"),
        ([at(2024, 1, 2, 15, 30), at(2024, 1, 2, 15, 0), at(2024, 1, 2, 15, 0), at(2024, 1, 2, 15, 15)], "15m"),
        ([at(2024, 1, 2, 15), at(2024, 1, 2, 16), at(2024, 1, 2, 17)], "60m"),
    ],
)
def test_the_frequency_is_the_most_frequent_distance_between_bars(stamps: list[Any], frequency: str) -> None:
    assert span_microseconds(infer_frequency(pl.Series(stamps))) == span_microseconds(frequency)


def test_bars_seconds_apart_must_declare_their_frequency() -> None:
    with pytest.raises(ConfigError, match="frequency"):
        infer_frequency(pl.Series([at(2024, 1, 2, 15, 0, 0), at(2024, 1, 2, 15, 0, 5)]))


# --- instants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "microseconds"),
    [("0m", 0), ("30s", 30_000_000), ("15m", 900_000_000), ("2h", 7_200_000_000), ("1d", 86_400_000_000)],
)
def test_a_span_of_time_carries_its_unit(span: str, microseconds: int) -> None:
    assert span_microseconds(span) == microseconds


@pytest.mark.parametrize("span", ["", "15", "m", "-5m", "1.5h", "5 m", "1w", "\u0661m\n", "5m "])
def test_a_span_without_number_and_unit_is_refused(span: str) -> None:
    with pytest.raises(ConfigError, match="span"):
        span_microseconds(span)


def test_instants_are_microseconds_since_1970_utc_whatever_the_zone() -> None:
    second = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert to_instant(second) == to_instant(second.astimezone(ZoneInfo(NEW_YORK))) == 1_000_000
    assert to_datetime(1_000_000) == second
    assert to_datetime(-1) == datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    column = pl.Series([second]).dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime("ns", "Asia/Tokyo"))
    assert to_integers(column).to_list() == [1_000_000]


def test_both_instants_of_a_fall_back_hour_have_their_own_integer() -> None:
    zone = ZoneInfo(NEW_YORK)
    first, second = datetime(2024, 11, 3, 1, 30, tzinfo=zone), datetime(2024, 11, 3, 1, 30, tzinfo=zone, fold=1)
    assert first == second  # what Python says
    assert to_instant(second) - to_instant(first) == 3_600_000_000


def test_daily_bars_stamped_at_a_close_are_refused_as_opens(violations_of: Any) -> None:
    """Taken for opens, each would wait for the next close, and its price would fill orders decided after it."""
    winter, half_day = at(2024, 1, 2, 21), at(2024, 7, 3, 17)  # 16:00 in New York; 13:00 before a holiday
    (violation,) = violations_of(clocked, [winter, at(2024, 1, 3, 14, 30), half_day], label="open")
    assert (violation.code, violation.count, violation.row) == ("E-TS-LABEL", 2, 0)
    assert "declare bar_label: close" in violation.hint


def test_an_open_that_is_the_close_of_the_session_before_is_an_open() -> None:
    assert closes([at(2024, 1, 2), at(2024, 1, 3)], calendar="24/7", label="open") == [at(2024, 1, 3), at(2024, 1, 4)]
