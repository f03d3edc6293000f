"""The feed: the same slices in the same order, however the data lies and however it is cut."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import (
    BacktestError,
    ConfigError,
    DataFeed,
    DataPreparer,
    PolarsDataFeed,
    SignalTimingError,
)
from ml4t_backtest.core.instants import to_instant
from ml4t_backtest.data import polars_feed
from ml4t_backtest.data.prepared import PreparedData


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def stamps(feed: PolarsDataFeed) -> list[datetime]:
    return [timestamp for timestamp, _, _ in feed]


@pytest.fixture
def year(make_bars: Any) -> pl.DataFrame:
    """Raw bars of B and A on 60 sessions from 2023-11-01 on; B has none on every third."""
    days = pl.date_range(date(2023, 11, 1), date(2024, 2, 15), eager=True)
    closed = [date(2023, 11, 23), date(2023, 12, 25), date(2024, 1, 1), date(2024, 1, 15)]
    days = [day for day in days if day.weekday() < 5 and day not in closed][:60]
    rows = [(day, symbol) for index, day in enumerate(days) for symbol in ("B", "A") if symbol == "A" or index % 3]
    return make_bars(
        [day for day, _ in rows], [symbol for _, symbol in rows], close=[9.0 + i / 100 for i in range(len(rows))]
    )


def listed(feed: PolarsDataFeed) -> list[tuple[datetime, list[tuple[Any, ...]], dict[str, Any]]]:
    return [(timestamp, rows.rows(), dict(context)) for timestamp, rows, context in feed]


# --- slices ---------------------------------------------------------------------------------------------------------


def test_slices_come_in_time_order_with_symbols_in_order(make_bars: Any) -> None:
    bars = make_bars([date(2024, 1, 3), date(2024, 1, 2), date(2024, 1, 2)], ["A", "B", "A"], close=[10.3, 10.2, 10.1])
    feed = PolarsDataFeed(bars)
    assert [
        (timestamp, rows["symbol"].to_list(), rows["close"].to_list(), dict(context))
        for timestamp, rows, context in feed
    ] == [
        (at(2024, 1, 2, 21), ["A", "B"], [10.1, 10.2], {}),
        (at(2024, 1, 3, 21), ["A"], [10.3], {}),
    ]
    assert len(feed) == 2
    assert isinstance(feed, DataFeed)


def test_a_feed_can_be_walked_through_twice(year: pl.DataFrame) -> None:
    feed = PolarsDataFeed(year)
    assert listed(feed) == listed(feed)


def test_symbols_are_sorted_categories_common_to_all_slices(year: pl.DataFrame) -> None:
    feed = PolarsDataFeed(year, chunk=7)
    assert feed.symbols == ["A", "B"]
    assert {rows.schema["symbol"] for _, rows, _ in feed} == {pl.Enum(["A", "B"])}


@pytest.mark.parametrize("chunk", [1, 2, 7, 59, 60, 61, 10_000, "1d", "1w", "1mo", "1q", "1y", "36h", "2mo"])
def test_every_chunk_size_gives_the_same_slices(chunk: str | int, year: pl.DataFrame) -> None:
    feed = PolarsDataFeed(year, chunk=chunk)
    assert listed(feed) == listed(PolarsDataFeed(year))
    chunks = list(feed.chunks())
    assert sum(piece.num_slices for piece in chunks) == len(feed) == 60
    seen = [int(stamp) for piece in chunks for stamp in piece.timestamps]
    assert seen == sorted(set(seen))


def test_a_chunk_of_a_month_holds_the_slices_of_that_month(year: pl.DataFrame) -> None:
    # 21 sessions in November 2023, 20 in December, 19 of the 60 are left for January.
    assert [chunk.num_slices for chunk in PolarsDataFeed(year, chunk="1mo").chunks()] == [21, 20, 19]


def test_months_with_few_rows_are_read_together_unless_a_span_is_asked_for(year: pl.DataFrame) -> None:
    assert [chunk.num_slices for chunk in PolarsDataFeed(year).chunks()] == [60]


@pytest.mark.parametrize("chunk", [0, -1, "", "1", "mo", "0d", "-1d", "1m", "1.5d", 2.5, None, "1mo "])
def test_a_chunk_that_is_no_span_is_refused(chunk: Any, make_bars: Any) -> None:
    with pytest.raises(ConfigError, match="chunk"):
        PolarsDataFeed(make_bars(), chunk=chunk)


def test_a_chunk_knows_rows_instants_and_sessions(prepared: PreparedData) -> None:
    (chunk,) = PolarsDataFeed(prepared.asset_data, chunk="1y").chunks()
    assert chunk.num_slices == 3
    assert chunk.offsets.tolist() == [0, 2, 4, 6]
    assert chunk.symbol_ids.tolist() == [0, 1] * 3
    assert chunk.timestamps.tolist() == [to_instant(at(2024, 1, day, 21)) for day in (2, 3, 4)]
    assert chunk.decided.tolist() == chunk.timestamps.tolist()
    assert chunk.opened.tolist() == [to_instant(at(2024, 1, day, 14, 30)) for day in (2, 2, 3, 3, 4, 4)]
    assert chunk.sessions.tolist() == [(date(2024, 1, day) - date(1970, 1, 1)).days for day in (2, 3, 4)]
    assert chunk.prices["close"].tolist() == [9.1, 10.1, 9.2, 10.2, 9.3, 10.3]
    assert chunk.batch(1)["close"].to_list() == [9.2, 10.2]


def test_minute_bars_of_one_session_share_its_day(minute_bars: pl.DataFrame) -> None:
    (chunk,) = PolarsDataFeed(minute_bars).chunks()
    days = [(date(2024, 1, day) - date(1970, 1, 1)).days for day in (2, 2, 3, 3, 3, 3)]
    assert chunk.sessions.tolist() == days
    assert chunk.opened.tolist()[::2] == [stamp - 60_000_000 for stamp in chunk.timestamps.tolist()]


# --- kinds of source ------------------------------------------------------------------------------------------------


def test_a_frame_a_lazy_frame_a_file_and_a_folder_give_the_same_slices(year: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    year.write_parquet(tmp_path / "one.parquet")
    year[:50].write_parquet(tmp_path / "tree" / "part-10.parquet")
    year[50:].write_parquet(tmp_path / "tree" / "part-2.parquet")
    expected = listed(PolarsDataFeed(year))
    sources = (
        year.lazy(),
        year.reverse(),
        tmp_path / "one.parquet",
        str(tmp_path / "tree"),
        str(tmp_path / "*.parquet"),
    )
    for source in sources:
        assert listed(PolarsDataFeed(source)) == expected


def test_prepared_data_gives_the_same_slices_from_memory_and_from_a_file(
    prepared: PreparedData, tmp_path: Path
) -> None:
    prepared.asset_data.write_parquet(tmp_path / "bars.parquet", row_group_size=2)
    prepared.context_data.write_parquet(tmp_path / "context.parquet")
    names: dict[str, Any] = {
        "signal_columns": prepared.signals,
        "indicator_columns": prepared.indicators,
        "context_columns": prepared.context,
    }
    in_memory = PolarsDataFeed(prepared.asset_data, prepared.context_data, **names)
    on_disk = PolarsDataFeed(tmp_path / "bars.parquet", tmp_path / "context.parquet", chunk=1, **names)
    assert listed(in_memory) == listed(on_disk)
    assert [rows["prediction"].to_list() for _, rows, _ in on_disk] == [[None, None], [0.7, None], [0.7, None]]
    assert [context["vix"] for _, _, context in on_disk] == [13.0, 14.0, 14.0]


def test_prepared_rows_in_any_order_give_the_same_slices(prepared: PreparedData) -> None:
    shuffled = prepared.asset_data[[4, 1, 5, 0, 3, 2]]
    lying = shuffled.with_columns(pl.col("timestamp", "symbol").set_sorted())
    expected = listed(PolarsDataFeed(prepared.asset_data))
    assert listed(PolarsDataFeed(shuffled)) == expected
    assert listed(PolarsDataFeed(lying)) == expected


def test_raw_bars_behind_a_lying_sortedness_flag_come_in_time_order(make_bars: Any) -> None:
    days = pl.Series([date(2024, 3, 4), date(2024, 1, 3), date(2024, 2, 2)]).set_sorted()
    assert [stamp.month for stamp in stamps(PolarsDataFeed(make_bars(days)))] == [1, 2, 3]


# --- span -----------------------------------------------------------------------------------------------------------


def days_of(feed: PolarsDataFeed) -> list[tuple[int, int]]:
    return [(stamp.month, stamp.day) for stamp in stamps(feed)]


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (date(2024, 1, 3), None, [(1, 3), (1, 4)]),
        (None, date(2024, 1, 3), [(1, 2), (1, 3)]),
        (date(2024, 1, 3), date(2024, 1, 3), [(1, 3)]),
        (date(2023, 12, 30), date(2024, 1, 7), [(1, 2), (1, 3), (1, 4)]),  # weekends on both sides
        (date(1999, 1, 1), date(2050, 1, 1), [(1, 2), (1, 3), (1, 4)]),
        (at(2024, 1, 2, 21), at(2024, 1, 3, 21), [(1, 2), (1, 3)]),  # instants are inclusive
        (at(2024, 1, 2, 21, 0, 0, 1), at(2024, 1, 4, 20, 59), [(1, 3)]),
    ],
)
def test_a_span_is_given_by_sessions_or_instants_inclusive(
    start: Any, end: Any, days: list[tuple[int, int]], make_bars: Any
) -> None:
    assert days_of(PolarsDataFeed(make_bars(), start=start, end=end)) == days


def test_the_last_session_of_a_span_is_delivered_to_its_close(minute_bars: pl.DataFrame) -> None:
    first = PolarsDataFeed(minute_bars, end=date(2024, 1, 2))
    second = PolarsDataFeed(minute_bars, start=date(2024, 1, 3))
    assert stamps(first) == [at(2024, 1, 2, 20, 59), at(2024, 1, 2, 21)]
    assert stamps(second) == [at(2024, 1, 3, 14, minute) for minute in (31, 32, 33, 34)]


def test_an_instant_in_any_zone_starts_a_span(make_bars: Any) -> None:
    noon = datetime(2024, 1, 3, 12, tzinfo=ZoneInfo("America/New_York"))
    assert days_of(PolarsDataFeed(make_bars(), start=noon)) == [(1, 3), (1, 4)]
    assert days_of(PolarsDataFeed(make_bars(), end=noon)) == [(1, 2)]


@pytest.mark.parametrize("side", ["start", "end"])
def test_a_naive_instant_is_read_in_the_declared_zone_or_refused(side: str, make_bars: Any) -> None:
    # Noon in New York is 17:00 UTC, before the close of 3 January; so is noon UTC.
    span = {side: datetime(2024, 1, 3, 12)}
    try:
        feed = PolarsDataFeed(make_bars(), timezone="America/New_York", **span)
    except ConfigError:
        return
    assert days_of(feed) == ([(1, 3), (1, 4)] if side == "start" else [(1, 2)])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2030, 1, 1), None),
        (None, date(2000, 1, 1)),
        (date(2024, 1, 4), date(2024, 1, 2)),
        (at(2024, 1, 2, 22), at(2024, 1, 3, 20)),
    ],
)
def test_a_span_without_data_is_refused_with_what_there_is(start: Any, end: Any, make_bars: Any) -> None:
    with pytest.raises(ConfigError, match=r"2024-01-02.*2024-01-04"):
        PolarsDataFeed(make_bars(), start=start, end=end)


def test_warm_up_reaches_back_in_calendar_days(year: pl.DataFrame) -> None:
    # 2024-01-03 is a Wednesday; seven calendar days before it is Wednesday 2023-12-27.
    feed = PolarsDataFeed(year, start=date(2024, 1, 3), end=date(2024, 1, 4), warm_up_days=7)
    assert days_of(feed) == [(12, 27), (12, 28), (12, 29), (1, 2), (1, 3), (1, 4)]
    assert feed.trading_start is not None
    assert to_instant(at(2024, 1, 2, 21)) < feed.trading_start <= to_instant(at(2024, 1, 3, 21))


def test_without_start_everything_is_traded(make_bars: Any) -> None:
    assert PolarsDataFeed(make_bars()).trading_start is None


def test_signals_from_before_the_start_stay_joinable(make_bars: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [0.2]})
    feed = PolarsDataFeed(
        make_bars(), None, rows, signal_columns=["p"], signal_available_at="market_close", start=date(2024, 1, 4)
    )
    assert [rows["p"].to_list() for _, rows, _ in feed] == [[0.2]]


def test_symbols_are_those_of_the_span(make_bars: Any) -> None:
    bars = make_bars([date(2024, 1, 2), date(2024, 1, 3)], ["A", "B"])
    assert PolarsDataFeed(bars, start=date(2024, 1, 3)).symbols == ["B"]


def test_negative_warm_up_is_refused(make_bars: Any) -> None:
    with pytest.raises(ConfigError, match="warm_up_days"):
        PolarsDataFeed(make_bars(), start=date(2024, 1, 3), warm_up_days=-1)


# --- signals and context --------------------------------------------------------------------------------------------


def test_signals_are_joined_by_when_they_became_known(make_bars: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [0.2]})
    how = {"market_open": [0.2, 0.2, 0.2], "market_close": [0.2, 0.2, 0.2], "next_day": [None, 0.2, 0.2]}
    for rule, expected in how.items():
        feed = PolarsDataFeed(make_bars(), None, rows, signal_columns=["p"], signal_available_at=rule)
        assert [rows["p"][0] for _, rows, _ in feed] == expected


def test_deciding_at_the_next_open_shows_what_is_known_by_then(make_bars: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [0.2]})
    feed = PolarsDataFeed(
        make_bars(), None, rows, signal_columns=["p"], signal_available_at="next_day", decide_at="next_open"
    )
    assert [rows["p"][0] for _, rows, _ in feed] == [0.2, 0.2, 0.2]
    (chunk,) = feed.chunks()
    assert chunk.decided[0] == to_instant(at(2024, 1, 3, 14, 30))


def test_signals_without_declared_availability_are_refused(make_bars: Any, violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [0.2]})
    (violation,) = violations_of(PolarsDataFeed, make_bars(), None, rows, signal_columns=["p"])
    assert violation.code == "E-SG-AVAILABILITY"


def test_context_is_looked_up_per_slice(make_bars: Any) -> None:
    vix = pl.DataFrame({"timestamp": [date(2024, 1, 2), date(2024, 1, 3)], "vix": [13.0, 14.0], "skip": [0.0, 0.0]})
    feed = PolarsDataFeed(make_bars(), vix, context_columns=["vix"], context_available_at="next_day")
    assert [dict(context) for _, _, context in feed] == [{"vix": None}, {"vix": 13.0}, {"vix": 14.0}]


def test_without_context_every_slice_has_an_empty_one(make_bars: Any) -> None:
    assert [dict(context) for _, _, context in PolarsDataFeed(make_bars())] == [{}, {}, {}]


def test_context_without_declared_availability_is_refused(make_bars: Any, violations_of: Any) -> None:
    vix = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "vix": [13.0]})
    (violation,) = violations_of(PolarsDataFeed, make_bars(), vix, context_columns=["vix"])
    assert (violation.code, violation.dataset) == ("E-SG-AVAILABILITY", "context")


def test_a_signal_that_says_nothing_of_its_time_is_noted(make_bars: Any) -> None:
    feed = PolarsDataFeed(make_bars(p=[0.1, 0.2, 0.3], q=[1.0, 2.0, 3.0]), signal_columns=["p", "q"])
    (note,) = feed.notes
    assert "p, q" in note
    first = next(iter(feed))[1].row(0, named=True)
    assert (first["p"], first["p_available_at"], first["p_is_new"]) == (0.1, at(2024, 1, 2, 21), True)


def test_a_signal_that_says_when_it_was_known_is_not_noted(make_bars: Any) -> None:
    known = pl.Series([at(2024, 1, 2, 20), at(2024, 1, 3, 20), at(2024, 1, 4, 20)]).cast(pl.Datetime("us", "UTC"))
    feed = PolarsDataFeed(make_bars(p=[0.1, 0.2, 0.3], p_available_at=known), signal_columns=["p"])
    assert feed.notes == ()
    assert [rows["p_available_at"][0] for _, rows, _ in feed] == known.to_list()


def test_a_plain_feed_notes_nothing(make_bars: Any) -> None:
    assert PolarsDataFeed(make_bars()).notes == ()


def test_a_joined_signal_is_new_on_the_first_bar_that_shows_it(minute_bars: pl.DataFrame) -> None:
    # One prediction for the second day, repeated on each of its minutes, as people join them by date.
    overnight = pl.when(pl.col("timestamp").dt.day() == 3).then(pl.lit(at(2024, 1, 3, 3)))
    bars = minute_bars.with_columns(
        p=pl.when(pl.col("timestamp").dt.day() == 3).then(0.5), p_available_at=overnight.cast(pl.Datetime("us", "UTC"))
    )
    feed = PolarsDataFeed(bars, signal_columns=["p"])
    shown = [rows["p_is_new"].to_list() for _, rows, _ in feed]
    assert shown == [[False, False], [False, False], [True, True], [False, False], [False, False], [False, False]]


@pytest.mark.parametrize("unit", ["us", "ns", "ms"])
def test_a_joined_signal_known_after_the_decision_is_refused(unit: Any, make_bars: Any) -> None:
    known = pl.Series([at(2024, 1, 2, 21), at(2024, 1, 4, 14, 30), at(2024, 1, 4, 21)]).cast(pl.Datetime(unit, "UTC"))
    bars = make_bars(p=[0.1, 0.2, 0.3], p_available_at=known)
    with pytest.raises(SignalTimingError) as caught:
        PolarsDataFeed(bars, signal_columns=["p"])
    (violation,) = caught.value.violations
    assert violation.count == 1
    assert "A 2024-01-03T21:00:00" in str(caught.value)


def test_prepared_data_that_uses_a_signal_before_it_was_known_is_refused(prepared: PreparedData) -> None:
    late = prepared.asset_data.with_columns(pl.col("prediction_available_at") + timedelta(hours=8))
    with pytest.raises(SignalTimingError) as caught:
        PolarsDataFeed(late, signal_columns=["prediction"])
    assert isinstance(caught.value, ValueError)
    assert caught.value.violations[0].count == 1  # 22:00 of the 3rd: too late for that day's close only


def test_a_late_signal_in_prepared_data_is_found_in_every_row_not_in_a_sample(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polars_feed, "_ROWS_CHECKED_AT_ONCE", 2)
    here = (pl.col("symbol") == "A") & (pl.col("timestamp") == at(2024, 1, 4, 21))
    late = pl.when(here).then(pl.lit(at(2024, 1, 5))).otherwise("prediction_available_at")
    data = prepared.asset_data.with_columns(prediction_available_at=late.cast(pl.Datetime("us", "UTC")))
    with pytest.raises(SignalTimingError):
        PolarsDataFeed(data, signal_columns=["prediction"])


def test_prepared_context_used_before_it_was_known_is_refused(prepared: PreparedData) -> None:
    late = prepared.context_data.with_columns(pl.col("vix_available_at") + timedelta(seconds=1))
    with pytest.raises(SignalTimingError):
        PolarsDataFeed(prepared.asset_data, late, context_columns=["vix"])


def test_context_prepared_for_later_decisions_is_refused(make_bars: Any) -> None:
    """What is known at the next open is not known at the close, whatever the context's own decision instant says."""
    vix = pl.DataFrame({"timestamp": [at(2024, 1, 3, 13)], "available_at": [at(2024, 1, 3, 14)], "vix": [20.0]})

    def prepare(decide_at: Any) -> PreparedData:
        preparer = DataPreparer(decide_at=decide_at).add_prices(make_bars(), bar_label="session")
        return preparer.add_context(vix, names=["vix"]).prepare()

    bars, context = prepare("close").asset_data, prepare("next_open").context_data
    with pytest.raises(SignalTimingError):
        PolarsDataFeed(bars, context, context_columns=["vix"])


@pytest.mark.parametrize("given", ["signals", "context"])
def test_data_without_named_columns_is_not_ignored_in_silence(given: str, make_bars: Any) -> None:
    signals = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [0.2]})
    sources = (None, signals) if given == "signals" else (signals.drop("symbol"), None)
    rules = {"signal_available_at": "market_close", "context_available_at": "market_close"}
    try:
        feed = PolarsDataFeed(make_bars(), *sources, **rules)
    except BacktestError:
        return
    assert any(given.removesuffix("s") in note for note in feed.notes)


# --- checks of prepared data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2, 4, 1_000_000])
def test_a_broken_row_of_prepared_data_is_named_by_its_place_in_the_file(
    at_once: int, prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, violations_of: Any
) -> None:
    monkeypatch.setattr(polars_feed, "_ROWS_CHECKED_AT_ONCE", at_once)
    broken = prepared.asset_data.with_columns(
        volume=pl.when(pl.int_range(pl.len()) == 4).then(-1.0).otherwise("volume")
    )
    broken.write_parquet(tmp_path / "bars.parquet")
    (violation,) = violations_of(PolarsDataFeed, tmp_path / "bars.parquet")
    assert (violation.code, violation.row, violation.file) == ("E-PX-NEGVOL", 4, str(tmp_path / "bars.parquet"))


@pytest.mark.parametrize("at_once", [2, 1_000_000])
def test_a_null_timestamp_in_prepared_data_is_refused_with_its_row(
    at_once: int, prepared: PreparedData, monkeypatch: pytest.MonkeyPatch, violations_of: Any
) -> None:
    monkeypatch.setattr(polars_feed, "_ROWS_CHECKED_AT_ONCE", at_once)
    broken = prepared.asset_data.with_columns(timestamp=pl.when(pl.int_range(pl.len()) != 3).then("timestamp"))
    found = violations_of(PolarsDataFeed, broken)
    assert [(violation.code, violation.row) for violation in found] == [("E-TS-NULL", 3)]


def test_a_repeated_key_in_prepared_data_is_refused(prepared: PreparedData, violations_of: Any) -> None:
    (violation,) = violations_of(PolarsDataFeed, pl.concat([prepared.asset_data, prepared.asset_data[2:3]]))
    assert violation.code == "E-KEY-DUP"


def test_a_missing_signal_column_of_prepared_data_is_named(prepared: PreparedData, violations_of: Any) -> None:
    found = violations_of(PolarsDataFeed, prepared.asset_data, signal_columns=["alpha"])
    assert found[0].code == "E-SC-MISSING"
    assert "alpha" in {violation.column for violation in found}


def test_bad_raw_bars_are_refused_before_the_first_slice(make_bars: Any, violations_of: Any) -> None:
    (violation,) = violations_of(PolarsDataFeed, make_bars(volume=[1.0, 1.0, -1.0]))
    assert (violation.code, violation.row) == ("E-PX-NEGVOL", 2)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"bar_label": "banana"},
        {"decide_at": "banana"},
        {"validation": "banana"},
        {"frequency": "banana"},
        {"timezone": "banana"},
        {"calendar": "banana"},
    ],
)
def test_an_unknown_choice_is_refused_by_name(wrong: dict[str, Any], make_bars: Any) -> None:
    with pytest.raises(ConfigError, match="banana"):
        PolarsDataFeed(make_bars([datetime(2024, 1, 2, 15), datetime(2024, 1, 2, 16)]), **wrong)


def test_an_unknown_rule_of_availability_is_refused_by_name(make_bars: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [0.2]})
    with pytest.raises(ConfigError, match="banana"):
        PolarsDataFeed(make_bars(), None, rows, signal_columns=["p"], signal_available_at="banana")
    with pytest.raises(ConfigError, match="banana"):
        PolarsDataFeed(make_bars(), rows, context_columns=["p"], context_available_at="banana")


@pytest.mark.parametrize("names", [("close",), ("timestamp",), ("p", "p"), ("decision_instant",)])
def test_a_signal_may_not_take_a_name_twice(names: tuple[str, ...], make_bars: Any, violations_of: Any) -> None:
    found = violations_of(PolarsDataFeed, make_bars(p=[1.0] * 3, decision_instant=[1.0] * 3), signal_columns=names)
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}


@pytest.mark.parametrize("values", [["2024-01-02"] * 3, [1, 2, 3], [None] * 3, [True] * 3, [b"x"] * 3, [[1]] * 3])
def test_timestamps_of_another_type_are_refused_in_this_packages_words(values: Any, make_bars: Any) -> None:
    with pytest.raises(BacktestError):
        PolarsDataFeed(make_bars(values))


def test_no_rows_are_refused(make_bars: Any, violations_of: Any) -> None:
    (violation,) = violations_of(PolarsDataFeed, make_bars().clear())
    assert violation.code == "E-DS-EMPTY"


def test_one_bar_of_one_symbol_is_enough(make_bars: Any) -> None:
    assert stamps(PolarsDataFeed(make_bars([date(2024, 2, 29)]))) == [at(2024, 2, 29, 21)]


# --- repr -----------------------------------------------------------------------------------------------------------


def test_a_feed_says_what_it_holds(prepared: PreparedData) -> None:
    feed = PolarsDataFeed(
        prepared.asset_data,
        prepared.context_data,
        signal_columns=prepared.signals,
        indicator_columns=prepared.indicators,
        context_columns=prepared.context,
    )
    assert repr(feed) == ("PolarsDataFeed(6 rows, 2 symbols, 2024-01-02 to 2024-01-04, columns: prediction, atr, vix)")


def test_a_feed_of_prices_says_so(year: pl.DataFrame) -> None:
    assert repr(PolarsDataFeed(year, start=date(2024, 1, 2), end=date(2024, 1, 2))).endswith("columns: prices only)")


def test_a_batch_cannot_change_what_comes_later(year: pl.DataFrame) -> None:
    feed = PolarsDataFeed(year)
    expected = listed(feed)
    for _, rows, _ in feed:
        rows.drop_in_place("close")
    assert listed(feed) == expected
    assert_frame_equal(year, year.clone())
