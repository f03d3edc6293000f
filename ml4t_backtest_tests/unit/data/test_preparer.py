"""From raw prices, signals and context to one prepared data set."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml4t_backtest import (
    BacktestError,
    ConfigError,
    CorruptDatasetError,
    DataPreparer,
    DataValidationError,
    PolarsDataFeed,
)
from ml4t_backtest.core import schemas
from ml4t_backtest.data.bar_time import BarClock
from ml4t_backtest.data.loading import ValueSource, load_corporate_actions, load_prices, load_values
from ml4t_backtest.data.prepared import PreparedData, read_prepared
from ml4t_backtest.data.store.storage import publish
from ml4t_backtest.data.validation import validate

SESSIONS = BarClock(label="session")
TUESDAY, WEDNESDAY, THURSDAY = date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def scores(*rows: tuple[Any, ...], **columns: Any) -> pl.DataFrame:
    """Signal rows (timestamp, symbol, p) and further columns."""
    return pl.DataFrame(rows, schema=["timestamp", "symbol", "p"], orient="row").with_columns(**columns)


def sessions(bars: Any, **how: Any) -> DataPreparer:
    """A data set of daily bars labelled by their session."""
    return DataPreparer().add_prices(bars, bar_label="session", **how)


def of_source(source: Any, names: tuple[str, ...], **how: Any) -> dict[str, Any]:
    """The arguments of add_signals or add_context."""
    return {"source": source, "names": names, **how}


def by_close(rows: pl.DataFrame, *names: str) -> dict[str, Any]:
    return of_source(rows, names or ("p",), valid_from="market_close")


# --- prices ---------------------------------------------------------------------------------------------------------


def test_prices_are_put_on_the_clock_and_sorted_by_time_and_symbol(make_bars: Any) -> None:
    bars = make_bars([WEDNESDAY, TUESDAY, WEDNESDAY, TUESDAY], ["B", "B", "A", "A"], close=[10.1, 10.2, 10.3, 10.4])
    prepared = sessions(bars).prepare()
    assert prepared.asset_data.select("timestamp", "symbol", "close", "open_instant", "decision_instant").rows() == [
        (at(2024, 1, 2, 21), "A", 10.4, at(2024, 1, 2, 14, 30), at(2024, 1, 2, 21)),
        (at(2024, 1, 2, 21), "B", 10.2, at(2024, 1, 2, 14, 30), at(2024, 1, 2, 21)),
        (at(2024, 1, 3, 21), "A", 10.3, at(2024, 1, 3, 14, 30), at(2024, 1, 3, 21)),
        (at(2024, 1, 3, 21), "B", 10.1, at(2024, 1, 3, 14, 30), at(2024, 1, 3, 21)),
    ]


def test_row_order_column_order_and_sortedness_flags_do_not_matter(make_bars: Any) -> None:
    bars = make_bars([TUESDAY, TUESDAY, WEDNESDAY, THURSDAY], ["A", "B", "A", "B"], close=[10.1, 10.2, 10.3, 10.4])
    clean = sessions(bars).prepare().asset_data
    for order in ([3, 1, 0, 2], [2, 3, 1, 0]):
        lying = bars[order].select(reversed(bars.columns)).with_columns(pl.col("timestamp", "symbol").set_sorted())
        other = sessions(lying).prepare().asset_data
        assert_frame_equal(other.select(clean.columns), clean, check_exact=True)


def test_a_parquet_file_that_lies_about_its_order_is_read_right(make_bars: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    days = [THURSDAY, TUESDAY, WEDNESDAY]
    bars = make_bars(days, close=[10.3, 10.1, 10.2])
    claimed = [pq.SortingColumn(0)]
    pq.write_table(bars.to_arrow(), tmp_path / "p.parquet", sorting_columns=claimed)
    prepared = sessions(tmp_path / "p.parquet").prepare()
    assert prepared.asset_data["close"].to_list() == [10.1, 10.2, 10.3]
    assert [stamp.day for stamp, _, _ in PolarsDataFeed(tmp_path / "p.parquet")] == [2, 3, 4]


def test_unused_columns_are_left_out_and_indicators_come_along(make_bars: Any) -> None:
    bars = make_bars(atr=[1, 2, 3], comment=["x"] * 3)
    asset_data = sessions(bars, indicators=["atr"]).prepare().asset_data
    assert "comment" not in asset_data.columns
    assert asset_data["atr"].to_list() == [1.0, 2.0, 3.0]


def test_an_absent_indicator_is_refused(make_bars: Any, violations_of: Any) -> None:
    (violation,) = violations_of(sessions, make_bars(), indicators=["atr"])
    assert (violation.code, violation.column) == ("E-SC-MISSING", "atr")


def test_prices_come_from_mapped_columns_of_a_file(make_bars: Any, tmp_path: Path) -> None:
    make_bars().rename({"symbol": "ticker", "timestamp": "date"}).write_parquet(tmp_path / "p.parquet")
    columns = {"symbol": "ticker", "timestamp": "date"}
    prepared = sessions(tmp_path / "p.parquet", columns=columns).prepare()
    assert prepared.asset_data["symbol"].to_list() == ["A"] * 3


def test_a_ticker_column_is_refused_with_the_mapping_to_write(make_bars: Any, violations_of: Any) -> None:
    (violation,) = violations_of(sessions, make_bars().rename({"symbol": "ticker"}))
    assert violation.code == "E-SC-MISSING"
    assert "{symbol: ticker}" in violation.hint


def test_symbols_of_a_hive_tree_stay_text(make_bars: Any, tmp_path: Path) -> None:
    for symbol in ("0700", "0005"):
        folder = tmp_path / f"symbol={symbol}"
        folder.mkdir()
        make_bars().drop("symbol").write_parquet(folder / "part.parquet")
    asset_data = sessions(tmp_path).prepare().asset_data
    assert asset_data["symbol"].unique().sort().to_list() == ["0005", "0700"]


def test_volumes_of_small_integers_do_not_wrap(make_bars: Any) -> None:
    huge = 2**31 - 1
    bars = make_bars(volume=[huge] * 3).with_columns(pl.col("volume").cast(pl.Int32))
    assert sessions(bars).prepare().asset_data["volume"].sum() == 3.0 * huge


def test_a_data_set_without_prices_is_refused() -> None:
    with pytest.raises(ConfigError, match="add_prices"):
        DataPreparer().prepare()


def test_timestamps_are_never_merged_below_a_microsecond(make_bars: Any) -> None:
    start = 1_704_207_660_000_000_000  # 2024-01-02 15:01 UTC in nanoseconds
    stamps = pl.Series([start + 1, start + 2]).cast(pl.Datetime("ns", "UTC"))
    with pytest.raises(DataValidationError, match="E-TS-RES"):
        DataPreparer().add_prices(make_bars(stamps, ["A", "B"]), freq="1m").prepare()


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_daily_signal_known_at_the_close_is_seen_at_that_close(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), (WEDNESDAY, "A", 0.3))
    asset_data = sessions(make_bars()).add_signals(**by_close(rows)).prepare().asset_data
    assert asset_data.select("p", "p_available_at", "p_is_new").rows() == [
        (0.2, at(2024, 1, 2, 21), True),
        (0.3, at(2024, 1, 3, 21), True),
        (0.3, at(2024, 1, 3, 21), False),
    ]


def test_a_signal_known_the_next_day_is_seen_a_day_later_or_at_the_next_open(make_bars: Any) -> None:
    spec = of_source(scores((TUESDAY, "A", 0.2)), ("p",), valid_from="next_day")
    at_close = sessions(make_bars()).add_signals(**spec).prepare()
    at_open = DataPreparer(decide_at="next_open").add_prices(make_bars(), bar_label="session").add_signals(**spec)
    assert at_close.asset_data["p"].to_list() == [None, 0.2, 0.2]
    assert at_open.prepare().asset_data["p"].to_list() == [0.2, 0.2, 0.2]


def test_latency_delays_a_signal(make_bars: Any) -> None:
    spec = of_source(scores((TUESDAY, "A", 0.2)), ("p",), valid_from="market_close", latency="1m")
    asset_data = sessions(make_bars()).add_signals(**spec).prepare().asset_data
    assert asset_data["p"].to_list() == [None, 0.2, 0.2]
    assert asset_data["p_available_at"][1] == at(2024, 1, 2, 21, 1)


def test_latency_delays_a_signal_with_its_own_time_too(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), available_at=pl.lit(at(2024, 1, 2, 20, 59)))
    spec = of_source(rows, ("p",), latency="2m")
    asset_data = sessions(make_bars()).add_signals(**spec).prepare().asset_data
    assert asset_data["p"].to_list() == [None, 0.2, 0.2]


def test_a_signal_is_shown_for_its_longest_age_only(make_bars: Any) -> None:
    # A date counts from the start of its day: 45 hours to Wednesday's close, 69 to Thursday's.
    spec = of_source(scores((TUESDAY, "A", 0.2)), ("p",), valid_from="market_close", max_age="45h")
    asset_data = sessions(make_bars()).add_signals(**spec).prepare().asset_data
    assert asset_data["p"].to_list() == [0.2, 0.2, None]


def test_signals_may_begin_later_than_prices_and_cover_some_symbols_only(make_bars: Any) -> None:
    bars = make_bars([TUESDAY, TUESDAY, WEDNESDAY, WEDNESDAY], ["A", "B"] * 2)
    rows = scores((WEDNESDAY, "B", 0.3), (WEDNESDAY, "Z", 0.4))
    asset_data = sessions(bars).add_signals(**by_close(rows)).prepare().asset_data
    assert asset_data["p"].to_list() == [None, None, None, 0.3]
    assert asset_data.height == 4


def test_a_daily_signal_on_minute_bars_is_new_once(minute_bars: pl.DataFrame) -> None:
    rows = scores((TUESDAY, "A", 0.2))
    spec = of_source(rows, ("p",), valid_from="next_day")
    asset_data = DataPreparer().add_prices(minute_bars, freq="1m").add_signals(**spec).prepare().asset_data
    of_a = asset_data.filter(pl.col("symbol") == "A")
    # Known at 14:30 on the 3rd: the bar closing at 14:31 is the first to show it.
    assert of_a["p"].to_list() == [None, None, 0.2, 0.2, 0.2, 0.2]
    assert of_a["p_is_new"].to_list() == [False, False, True, False, False, False]
    assert asset_data.filter(pl.col("symbol") == "B")["p"].null_count() == 6


def test_available_at_may_be_naive_in_the_declared_zone(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), available_at=pl.lit(datetime(2024, 1, 2, 16, 0)))
    clock = BarClock(label="session", timezone="America/New_York")
    loaded = load_values(ValueSource(rows, ("p",)), clock, by_symbol=True)
    assert loaded["available_at"].to_list() == [at(2024, 1, 2, 21)]


def test_signals_that_do_not_say_when_they_were_known_are_refused(make_bars: Any, violations_of: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2))
    (violation,) = violations_of(DataPreparer().add_signals, **of_source(rows, ("p",)))
    assert (violation.code, violation.dataset, violation.column) == ("E-SG-AVAILABILITY", "signals", "available_at")
    for choice in ("market_open", "market_close", "next_day"):
        assert choice in violation.hint


def test_context_that_does_not_say_when_it_was_known_is_refused(violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [TUESDAY], "vix": [13.0]})
    (violation,) = violations_of(DataPreparer().add_context, **of_source(rows, ("vix",)))
    assert (violation.code, violation.dataset) == ("E-SG-AVAILABILITY", "context")


def test_a_date_is_no_moment_at_which_a_row_became_known(violations_of: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), available_at=pl.lit(TUESDAY))
    (violation,) = violations_of(DataPreparer().add_signals, **of_source(rows, ("p",)))
    assert violation.code == "E-SG-AVAILABILITY"


def test_a_null_availability_is_named_by_its_own_column(violations_of: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), (WEDNESDAY, "A", 0.3)).with_columns(
        available_at=pl.Series([at(2024, 1, 2, 21), None])
    )
    (violation,) = violations_of(DataPreparer().add_signals, **of_source(rows, ("p",)))
    assert (violation.code, violation.column, violation.row) == ("E-TS-NULL", "available_at", 1)


def test_an_unknown_rule_is_refused_with_the_choices() -> None:
    spec = of_source(scores((TUESDAY, "A", 0.2)), ("p",), valid_from="market_closed")
    with pytest.raises(ConfigError, match=r"market_open.*market_close.*next_day"):
        DataPreparer().add_signals(**spec)


def test_signal_columns_can_be_mapped(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2)).rename({"p": "yhat", "symbol": "ticker"})
    spec = of_source(rows, ("p",), columns={"p": "yhat", "symbol": "ticker"}, valid_from="market_close")
    prepared = sessions(make_bars()).add_signals(**spec).prepare()
    assert prepared.asset_data["p"].to_list() == [0.2] * 3


def test_future_rows_leave_the_past_to_the_bit(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), (WEDNESDAY, "A", 0.3), (THURSDAY, "A", 0.4))
    perturbed = rows.with_columns(p=pl.when(pl.col("timestamp") >= WEDNESDAY).then(-9.0).otherwise("p"))

    def tuesdays(signals: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
        prepared = sessions(bars).add_signals(**by_close(signals)).prepare()
        return prepared.asset_data.filter(pl.col("timestamp") <= at(2024, 1, 2, 21))

    whole = tuesdays(rows, make_bars())
    assert whole.height == 1
    assert_frame_equal(tuesdays(perturbed, make_bars()), whole, check_exact=True)
    assert_frame_equal(tuesdays(rows.head(1), make_bars().head(1)), whole, check_exact=True)


# --- context --------------------------------------------------------------------------------------------------------


def test_context_has_one_row_per_slice(make_bars: Any) -> None:
    bars = make_bars([TUESDAY, TUESDAY, WEDNESDAY], ["A", "B", "A"])
    rows = pl.DataFrame({"timestamp": [TUESDAY], "vix": [13.0]})
    spec = of_source(rows, ("vix",), available_at="market_close")
    prepared = sessions(bars).add_context(**spec).prepare()
    assert prepared.context == ("vix",)
    assert prepared.context_data.select("timestamp", "vix", "vix_available_at").rows() == [
        (at(2024, 1, 2, 21), 13.0, at(2024, 1, 2, 21)),
        (at(2024, 1, 3, 21), 13.0, at(2024, 1, 2, 21)),
    ]


def test_context_of_a_quarter_past_the_close_is_not_seen_at_the_close(make_bars: Any) -> None:
    rows = pl.DataFrame({"timestamp": [TUESDAY], "available_at": [at(2024, 1, 2, 21, 15)], "vix": [13.0]})
    prepared = sessions(make_bars()).add_context(**of_source(rows, ("vix",))).prepare()
    assert prepared.context_data["vix"].to_list() == [None, 13.0, 13.0]


def test_several_sources_of_context_stand_side_by_side(make_bars: Any) -> None:
    vix = of_source(pl.DataFrame({"timestamp": [TUESDAY], "vix": [13.0]}), ("vix",), available_at="market_close")
    rates = of_source(pl.DataFrame({"timestamp": [TUESDAY], "rate": [0.05]}), ("rate",), available_at="next_day")
    prepared = sessions(make_bars()).add_context(**vix).add_context(**rates).prepare()
    assert prepared.context == ("vix", "rate")
    assert prepared.context_data.select("vix", "rate").rows() == [(13.0, None), (13.0, 0.05), (13.0, 0.05)]


def test_a_data_set_without_signals_or_context_has_schema_valid_tables(make_bars: Any) -> None:
    prepared = sessions(make_bars()).prepare()
    validate(prepared.asset_data, schemas.asset_data_schema((), ()))
    validate(prepared.context_data, schemas.context_data_schema(()))
    validate(prepared.corporate_actions, schemas.corporate_actions_schema(), allow_empty=True)
    assert prepared.corporate_actions.is_empty()
    assert set(prepared.tables()) == {"asset_data", "context_data", "corporate_actions", "source_quality"}


def test_prepared_tables_keep_their_schemas(prepared: PreparedData) -> None:
    validate(prepared.asset_data, schemas.asset_data_schema(("prediction",), ("atr",)))
    validate(prepared.context_data, schemas.context_data_schema(("vix",)))
    assert (prepared.signals, prepared.indicators, prepared.context) == (("prediction",), ("atr",), ("vix",))
    of_a = prepared.asset_data.filter(pl.col("symbol") == "A")
    assert of_a["prediction"].to_list() == [None, 0.7, 0.7]
    assert prepared.context_data["vix"].to_list() == [13.0, 14.0, 14.0]


# --- collisions -----------------------------------------------------------------------------------------------------


def test_two_sources_may_not_give_the_same_column(make_bars: Any, violations_of: Any) -> None:
    spec = by_close(scores((TUESDAY, "A", 0.2)))
    preparer = sessions(make_bars()).add_signals(**spec).add_signals(**spec)
    found = violations_of(preparer.prepare)
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}
    assert "p" in {violation.column for violation in found}


def test_context_and_indicator_may_not_share_a_name(make_bars: Any, violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [TUESDAY], "vix": [13.0]})
    preparer = sessions(make_bars(vix=[1.0] * 3), indicators=["vix"])
    preparer.add_context(**of_source(rows, ("vix",), available_at="market_close"))
    found = violations_of(preparer.prepare)
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}
    assert "vix" in {violation.column for violation in found}


@pytest.mark.parametrize(
    "name",
    ["close", "volume", "timestamp", "symbol", "available_at", "open_instant", "decision_instant"],
)
def test_a_signal_may_not_take_the_name_of_a_column_that_every_data_set_has(
    name: str, make_bars: Any, violations_of: Any
) -> None:
    rows = scores((TUESDAY, "A", 0.2)).with_columns(
        pl.lit(0.3).alias(name) if name not in ("timestamp", "symbol") else "p"
    )
    found = violations_of(lambda: sessions(make_bars()).add_signals(**by_close(rows, name)).prepare())
    assert "E-SC-COLLIDE" in {violation.code for violation in found}
    assert name in {violation.column for violation in found}


@pytest.mark.parametrize("name", ["p_available_at", "p_is_new"])
def test_an_indicator_may_not_take_the_name_of_a_signals_companion(
    name: str, make_bars: Any, violations_of: Any
) -> None:
    preparer = sessions(make_bars(**{name: [1.0] * 3}), indicators=[name])
    preparer.add_signals(**by_close(scores((TUESDAY, "A", 0.2))))
    found = violations_of(preparer.prepare)
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}


@pytest.mark.parametrize("names", [("p", "p"), ("p", "q", "p")])
def test_a_source_may_not_name_a_column_twice(names: tuple[str, ...], violations_of: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), q=pl.lit(1.0))
    found = violations_of(DataPreparer().add_signals, **by_close(rows, *names))
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}


@pytest.mark.parametrize("indicators", [("close",), ("timestamp",), ("atr", "atr")])
def test_an_indicator_may_not_name_a_column_twice(
    indicators: tuple[str, ...], make_bars: Any, violations_of: Any
) -> None:
    found = violations_of(sessions, make_bars(atr=[1.0] * 3), indicators=indicators)
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}


@pytest.mark.parametrize(
    "name", ["_row", "_about", "_position", "_is_new", "physical_row", "^p.*$", "*", "", "a b", "naïve"]
)
def test_a_signal_with_an_odd_name_works_or_is_refused_in_this_packages_words(name: str, make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2)).rename({"p": name})
    try:
        prepared = sessions(make_bars()).add_signals(**by_close(rows, name)).prepare()
    except BacktestError:
        return
    assert prepared.asset_data.get_column(name).to_list() == [0.2] * 3


# --- corporate actions ----------------------------------------------------------------------------------------------


def actions(**changes: Any) -> pl.DataFrame:
    rows = {
        "symbol": ["A", "A", "B"],
        "ex_date": [date(2024, 1, 4), date(2024, 1, 3), date(2024, 1, 3)],
        "kind": ["split", "dividend", "dividend"],
        "value": [2.0, 0.25, 0.5],
    }
    return pl.DataFrame({**rows, **changes})


def test_corporate_actions_come_in_the_order_of_their_dates(make_bars: Any) -> None:
    prepared = sessions(make_bars()).add_corporate_actions(actions()).prepare()
    assert prepared.corporate_actions.select("ex_date", "symbol", "kind", "value").rows() == [
        (date(2024, 1, 3), "A", "dividend", 0.25),
        (date(2024, 1, 3), "B", "dividend", 0.5),
        (date(2024, 1, 4), "A", "split", 2.0),
    ]


def test_without_corporate_actions_there_is_an_empty_table_of_the_right_columns() -> None:
    empty = load_corporate_actions(None)
    assert empty.is_empty()
    assert empty.columns == ["symbol", "ex_date", "kind", "value"]
    assert DataPreparer().add_corporate_actions(None) is not None


@pytest.mark.parametrize(
    ("changes", "code", "column", "value"),
    [
        ({"value": [-2.0, 0.25, 0.5]}, "E-CA-AMOUNT", "value", "-2.0"),
        ({"value": [0.0, 0.25, 0.5]}, "E-CA-AMOUNT", "value", "0.0"),
        ({"kind": ["spinoff", "dividend", "dividend"]}, "E-CA-KIND", "kind", "'spinoff'"),
    ],
)
def test_a_broken_corporate_action_is_named_by_its_row_in_the_source(
    changes: dict[str, Any], code: str, column: str, value: str, violations_of: Any
) -> None:
    (violation,) = violations_of(DataPreparer().add_corporate_actions, actions(**changes))
    assert (violation.code, violation.column, violation.value, violation.row) == (code, column, value, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": ["x", "y", "z"]},
        {"value": [[2.0]] * 3},
        {"ex_date": ["2024-01-04"] * 3},
        {"symbol": [["A"]] * 3},
        {"kind": [1, 2, 3]},
        {"value": [None, 0.25, 0.5]},
        {"ex_date": [None, date(2024, 1, 3), date(2024, 1, 3)]},
    ],
)
def test_nonsense_in_corporate_actions_is_refused_in_this_packages_words(changes: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError):
        DataPreparer().add_corporate_actions(actions(**changes))


def test_a_repeated_corporate_action_is_refused(violations_of: Any) -> None:
    (violation,) = violations_of(DataPreparer().add_corporate_actions, pl.concat([actions(), actions().head(1)]))
    assert violation.code == "E-KEY-DUP"


# --- publishing -----------------------------------------------------------------------------------------------------


def test_a_saved_data_set_is_read_back_to_the_bit(make_bars: Any, tmp_path: Path) -> None:
    preparer = sessions(make_bars(atr=[0.1, 0.2, 0.3]), indicators=["atr"])
    preparer.add_signals(**by_close(scores((TUESDAY, "A", 0.2)))).add_corporate_actions(actions())
    saved = preparer.validate_and_save(tmp_path / "mine")
    read = read_prepared(tmp_path / "mine")
    for table, frame in saved.tables().items():
        assert_frame_equal(read.tables()[table], frame, check_exact=True)
    assert (read.signals, read.indicators, read.context) == (("p",), ("atr",), ())


def test_nothing_is_saved_when_a_check_fails(make_bars: Any, tmp_path: Path) -> None:
    spec = by_close(scores((TUESDAY, "A", 0.2)))
    preparer = sessions(make_bars()).add_signals(**spec).add_signals(**spec)
    with pytest.raises(DataValidationError):
        preparer.validate_and_save(tmp_path / "mine")
    assert list(tmp_path.rglob("*.parquet")) == []
    with pytest.raises(CorruptDatasetError, match="mine"):
        read_prepared(tmp_path / "mine")


def test_a_data_set_of_another_kind_is_not_read_as_prepared(make_bars: Any, tmp_path: Path) -> None:
    prepared = sessions(make_bars()).prepare()
    publish(tmp_path, "mine", prepared.tables(), kind="result")
    with pytest.raises(CorruptDatasetError):
        read_prepared(tmp_path / "mine")


# --- nothing foreign escapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["timestamp", "symbol", "open", "close", "volume"])
@pytest.mark.parametrize(
    "value", [b"\xff", [1.0], {"a": 1}, "text", True, None, timedelta(days=1), datetime(1, 1, 1), date(9999, 12, 31)]
)
def test_only_this_packages_errors_escape_from_prices(column: str, value: Any, make_bars: Any) -> None:
    bars = make_bars().with_columns(pl.Series(column, [value] * 3) if value is not None else pl.lit(None).alias(column))
    for use in (lambda frame: load_prices(frame, SESSIONS), lambda frame: sessions(frame).prepare()):
        try:
            use(bars)
        except BacktestError:
            continue


@pytest.mark.parametrize("column", ["timestamp", "symbol", "available_at", "p"])
@pytest.mark.parametrize("value", [b"\xff", [1.0], {"a": 1}, "text", True, None, datetime(1, 1, 1), date(9999, 12, 31)])
def test_only_this_packages_errors_escape_from_signals(column: str, value: Any, make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), available_at=pl.lit(at(2024, 1, 2, 21)))
    odd = rows.with_columns(pl.Series(column, [value]) if value is not None else pl.lit(None).alias(column))
    for rule in (None, "market_close", "next_day"):
        try:
            sessions(make_bars()).add_signals(**of_source(odd, ("p",), valid_from=rule)).prepare()
        except BacktestError:
            continue


# --- how often signals come, what is shown --------------------------------------------------------------------------


def test_without_names_all_number_columns_of_a_source_are_shown(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2), q=pl.lit(1), note=pl.lit("x"), available_at=pl.lit(at(2024, 1, 2, 21)))
    prepared = sessions(make_bars()).add_signals(rows).prepare()
    assert prepared.signals == ("p", "q")


def test_a_source_without_anything_to_show_is_refused() -> None:
    with pytest.raises(ConfigError, match="names"):
        DataPreparer().add_signals(scores((TUESDAY, "A", 0.2)).drop("p"), valid_from="next_day")
    with pytest.raises(ConfigError, match="list of text"):
        DataPreparer().add_signals(scores((TUESDAY, "A", 0.2)), names="p", valid_from="next_day")


def test_daily_signals_stamped_at_midnight_in_new_york_are_about_that_day(make_bars: Any) -> None:
    # 05:00 UTC on the 3rd is midnight in New York; read as an instant it would be about the 3rd in UTC too, but a
    # midnight in UTC on the 3rd is the evening of the 2nd in New York.
    for hour in (0, 5):
        rows = scores((at(2024, 1, 3, hour), "A", 0.2))
        daily = sessions(make_bars()).add_signals(rows, freq="1d", valid_from="market_close").prepare().asset_data
        assert daily["p"].to_list() == [None, 0.2, 0.2]
        assert daily["p_available_at"][1] == at(2024, 1, 3, 21)


def test_two_daily_signals_of_one_session_are_refused(violations_of: Any) -> None:
    rows = scores((at(2024, 1, 3, 15), "A", 0.2), (at(2024, 1, 3, 16), "A", 0.3))
    (violation,) = violations_of(DataPreparer().add_signals, rows, freq="1d", valid_from="market_close")
    assert violation.code == "E-KEY-DUP"


def test_signals_that_come_more_often_than_declared_are_named_by_their_row(violations_of: Any) -> None:
    rows = scores(
        (at(2024, 1, 3, 15), "A", 0.2),
        (at(2024, 1, 3, 15, 30), "B", 0.2),
        (at(2024, 1, 3, 16), "A", 0.3),
        (at(2024, 1, 3, 16, 59), "A", 0.4),
    )
    (violation,) = violations_of(DataPreparer().add_signals, rows, freq="1h", valid_from="market_close")
    assert (violation.code, violation.row, violation.count) == ("E-SG-FREQ", 3, 1)
    assert DataPreparer().add_signals(rows.head(3), freq="1h", valid_from="market_close") is not None


def test_the_order_of_the_steps_does_not_matter(make_bars: Any) -> None:
    rows = scores((TUESDAY, "A", 0.2))
    one = sessions(make_bars()).add_signals(**by_close(rows)).add_indicators(["sma:2"]).add_corporate_actions(actions())
    other = DataPreparer().add_corporate_actions(actions()).add_indicators(["sma:2"]).add_signals(**by_close(rows))
    expected = one.prepare().asset_data
    found = other.add_prices(make_bars(), bar_label="session").prepare().asset_data
    assert_frame_equal(found.select(expected.columns), expected, check_exact=True)


# --- indicators and universe ----------------------------------------------------------------------------------------


def test_indicators_are_columns_of_the_prepared_bars(make_bars: Any) -> None:
    prepared = sessions(make_bars(close=[10.0, 10.5, 10.0])).add_indicators(["sma:2", "obv", "macd"]).prepare()
    assert prepared.indicators == ("sma_2", "obv", "macd", "macd_signal", "macd_histogram")
    assert prepared.asset_data.select("sma_2", "obv", "macd").rows() == [
        (None, 100.0, None),
        (10.25, 200.0, None),
        (10.25, 100.0, None),
    ]


def test_indicators_see_the_splits_of_the_data_set_whatever_is_added_first(make_bars: Any) -> None:
    bars = make_bars(close=[10.0, 10.0, 5.0], low=[4.0] * 3)
    split = pl.DataFrame({"symbol": ["A"], "ex_date": [THURSDAY], "kind": ["split"], "value": [2.0]})
    prepared = sessions(bars).add_indicators(["roc:1"]).add_corporate_actions(split).prepare()
    assert prepared.asset_data["roc_1"].to_list() == [None, 0.0, 0.0]
    adjusted = sessions(bars).add_indicators(["roc:1"]).add_corporate_actions(split, adjustment="split").prepare()
    assert adjusted.asset_data["roc_1"].to_list() == [None, 0.0, -50.0]


def test_an_unknown_adjustment_is_refused(make_bars: Any) -> None:
    preparer = sessions(make_bars()).add_indicators(["obv"]).add_corporate_actions(None, adjustment="splits")
    with pytest.raises(ConfigError, match="split, total_return"):
        preparer.prepare()


def test_the_same_indicator_asked_for_twice_is_refused(make_bars: Any, violations_of: Any) -> None:
    found = violations_of(sessions(make_bars()).add_indicators(["obv"]).add_indicators(["obv"]).prepare)
    assert {violation.code for violation in found} == {"E-SC-COLLIDE"}


def test_indicators_are_a_list(make_bars: Any) -> None:
    with pytest.raises(ConfigError, match="list of text"):
        DataPreparer().add_indicators("rsi:14")


def universe(*rows: tuple[Any, ...]) -> pl.DataFrame:
    schema = {"symbol": pl.String, "start": pl.Date, "end": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_membership_is_that_of_the_bars_session_and_bars_of_others_stay(make_bars: Any) -> None:
    bars = make_bars([TUESDAY, WEDNESDAY, THURSDAY] * 2, ["A"] * 3 + ["B"] * 3)
    spans = universe(("A", TUESDAY, TUESDAY), ("A", THURSDAY, None))
    prepared = sessions(bars).add_universe(spans).prepare()
    of = {symbol: rows["in_universe"].to_list() for (symbol,), rows in prepared.asset_data.group_by("symbol")}
    assert of == {"A": [1.0, 0.0, 1.0], "B": [0.0, 0.0, 0.0]}
    assert prepared.indicators == ("in_universe",)


def test_a_member_to_come_is_no_member_yet(make_bars: Any) -> None:
    early = sessions(make_bars()).add_universe(universe(("A", TUESDAY, None))).prepare().asset_data
    later = sessions(make_bars()).add_universe(universe(("A", THURSDAY, None))).prepare().asset_data
    assert early["in_universe"].to_list() == [1.0, 1.0, 1.0]
    assert later["in_universe"].to_list() == [0.0, 0.0, 1.0]


def test_membership_of_minute_bars_is_by_session(minute_bars: pl.DataFrame) -> None:
    spans = universe(("A", WEDNESDAY, WEDNESDAY))
    found = DataPreparer().add_prices(minute_bars, freq="1m").add_universe(spans).prepare().asset_data
    assert found.filter(pl.col("symbol") == "A")["in_universe"].to_list() == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("rows", "code", "row"),
    [
        ([("A", WEDNESDAY, TUESDAY)], "E-UNI-RANGE", 0),
        ([("A", WEDNESDAY, THURSDAY), ("A", TUESDAY, WEDNESDAY)], "E-UNI-OVERLAP", 0),
        ([("A", TUESDAY, None), ("B", TUESDAY, None), ("A", THURSDAY, None)], "E-UNI-OVERLAP", 2),
        ([("A", TUESDAY, TUESDAY), ("A", TUESDAY, TUESDAY)], "E-KEY-DUP", 1),
        ([(None, TUESDAY, None)], "E-KEY-NULL", 0),
    ],
)
def test_a_broken_span_of_membership_is_named_by_its_row(rows: Any, code: str, row: int, violations_of: Any) -> None:
    found = {violation.code: violation.row for violation in violations_of(DataPreparer().add_universe, universe(*rows))}
    assert found[code] == row


def test_a_universe_may_come_from_a_csv(make_bars: Any, tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("ticker,start,end\nA,2024-01-02,2024-01-03\n")
    prepared = sessions(make_bars()).add_universe(tmp_path / "u.csv", columns={"symbol": "ticker"}).prepare()
    assert prepared.asset_data["in_universe"].to_list() == [1.0, 1.0, 0.0]
