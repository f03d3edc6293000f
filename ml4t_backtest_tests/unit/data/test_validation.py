"""Every rule of the schemas breaks with its code, row, column, value and count; all of them at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestError, DataPreparer, DataValidationError, SignalTimingError
from ml4t_backtest.core import schemas
from ml4t_backtest.data.validation import find_violations, validate

UTC_US = pl.Datetime("us", "UTC")
NAN, INF = math.nan, math.inf


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def load(frame: pl.DataFrame) -> Any:
    return DataPreparer().add_prices(frame, bar_label="session")


@pytest.fixture
def good(make_bars: Any) -> pl.DataFrame:
    """Four bars: A and B on two days."""
    return make_bars([date(2024, 1, 2), date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 3)], ["A", "B", "A", "B"])


def broken(frame: pl.DataFrame, changes: dict[str, Any], row: int = 2) -> pl.DataFrame:
    """Return the frame with values of one row replaced."""
    here = pl.int_range(pl.len()) == row
    return frame.with_columns(
        pl.when(here).then(pl.lit(value, dtype=frame.schema[name])).otherwise(name).alias(name)
        for name, value in changes.items()
    )


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "column", "value"),
    [
        ({"open": None}, "E-PX-NULL", "open", "None"),
        ({"close": None}, "E-PX-NULL", "close", "None"),
        ({"volume": None}, "E-PX-NULL", "volume", "None"),
        ({"close": NAN}, "E-PX-NAN", "close", "nan"),
        ({"high": NAN}, "E-PX-NAN", "high", "nan"),
        ({"volume": NAN}, "E-PX-NAN", "volume", "nan"),
        ({"close": INF}, "E-PX-INF", "close", "inf"),
        ({"low": -INF}, "E-PX-INF", "low", "-inf"),
        ({"volume": INF}, "E-PX-INF", "volume", "inf"),
        ({"close": 0.0}, "E-PX-NONPOS", "close", "0.0"),
        ({"open": 0.0}, "E-PX-NONPOS", "open", "0.0"),
        ({"open": -37.63, "high": -37.0, "low": -38.0, "close": -37.5}, "E-PX-NONPOS", "open", "-37.63"),
        ({"open": 1e308, "high": 1e308}, "E-PX-RANGE", "open", "1e+308"),
        ({"volume": -1.0}, "E-PX-NEGVOL", "volume", "-1.0"),
        ({"volume": float(2**63)}, "E-PX-VOLMAX", "volume", "9.223372036854776e+18"),
        ({"symbol": None}, "E-KEY-NULL", "symbol", "None"),
        ({"symbol": ""}, "E-KEY-EMPTY", "symbol", "''"),
        ({"symbol": "A "}, "E-KEY-WS", "symbol", "'A '"),
        ({"symbol": " A"}, "E-KEY-WS", "symbol", "' A'"),
        ({"symbol": "A\u00a0"}, "E-KEY-WS", "symbol", "'A\\xa0'"),
        ({"symbol": "A\nB"}, "E-KEY-CHAR", "symbol", "'A\\nB'"),
        ({"symbol": "A\x00B"}, "E-KEY-CHAR", "symbol", "'A\\x00B'"),
        ({"symbol": "A\tB"}, "E-KEY-CHAR", "symbol", "'A\\tB'"),
        ({"symbol": "L" * 10_000}, "E-KEY-LEN", "symbol", repr("L" * 10_000)[:80]),
    ],
)
def test_a_broken_value_is_named_with_code_row_column_value_and_count(
    changes: dict[str, Any], code: str, column: str, value: str, good: pl.DataFrame, violations_of: Any
) -> None:
    found = [violation for violation in violations_of(load, broken(good, changes)) if violation.code == code]
    assert [violation.column for violation in found][:1] == [column]
    violation = found[0]
    assert (violation.row, violation.value, violation.count, violation.dataset) == (2, value, 1, "prices")
    assert violation.hint
    assert "row 2" in str(violation)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"high": 8.0, "open": 8.0, "close": 8.0}, "E-PX-HILO"),  # the low is 9
        ({"open": 8.9}, "E-PX-OUTSIDE"),
        ({"open": 11.1}, "E-PX-OUTSIDE"),
        ({"close": 8.9}, "E-PX-OUTSIDE"),
        ({"close": 11.000001}, "E-PX-OUTSIDE"),
    ],
)
def test_a_bar_that_contradicts_itself_is_named_with_its_row_and_prices(
    changes: dict[str, float], code: str, good: pl.DataFrame, violations_of: Any
) -> None:
    found = {violation.code: violation for violation in violations_of(load, broken(good, changes))}
    assert (found[code].row, found[code].count) == (2, 1)
    assert found[code].key == "A 2024-01-03T21:00:00+00:00"
    for name, value in changes.items():
        assert f"{name}={value}" in found[code].value


def test_a_close_one_float32_step_outside_is_refused_with_the_likely_cause(
    good: pl.DataFrame, violations_of: Any
) -> None:
    (violation,) = violations_of(load, broken(good, {"close": 11.0 * (1 + 2**-23)}))
    assert violation.code == "E-PX-OUTSIDE"
    assert "float32" in violation.hint


def test_one_missing_price_is_not_reported_under_other_names(good: pl.DataFrame, violations_of: Any) -> None:
    # NaN is neither "too large" nor "outside low to high"; saying so sends people looking for the wrong mistake.
    assert [violation.code for violation in violations_of(load, broken(good, {"close": NAN}))] == ["E-PX-NAN"]
    assert [violation.code for violation in violations_of(load, broken(good, {"close": None}))] == ["E-PX-NULL"]
    assert [violation.code for violation in violations_of(load, broken(good, {"volume": NAN}))] == ["E-PX-NAN"]


def test_all_four_prices_missing_are_four_columns_of_one_row(good: pl.DataFrame, violations_of: Any) -> None:
    found = violations_of(load, broken(good, dict.fromkeys(("open", "high", "low", "close"), NAN)))
    missing = [violation for violation in found if violation.code == "E-PX-NAN"]
    assert [violation.column for violation in missing] == ["open", "high", "low", "close"]
    assert {(violation.row, violation.count) for violation in missing} == {(2, 1)}


def test_prices_at_the_edges_of_the_rules_are_fine(make_bars: Any) -> None:
    load(make_bars(open=[9.0, 11.0, 10.0], close=[11.0, 9.0, 10.0]))
    load(make_bars(open=[0.0001] * 3, high=[0.0001] * 3, low=[0.0001] * 3, close=[0.0001] * 3, volume=[0.0] * 3))
    load(make_bars(open=[6e5] * 3, high=[6e5] * 3, low=[6e5] * 3, close=[6e5] * 3))


@pytest.mark.parametrize(
    "symbol", ["NA", "NAN", "TRUE", "0700", "\u041c\u0422\u0421\u0421", "BRK.B", "=HYPERLINK(1)", "../../etc/x", "A B"]
)
def test_odd_but_honest_symbols_are_fine(symbol: str, make_bars: Any) -> None:
    load(make_bars(symbols=[symbol] * 3))


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Int64, pl.UInt64, pl.Float32, pl.Decimal(38, 9)])
def test_numbers_of_every_type_become_floats(dtype: Any, make_bars: Any) -> None:
    cast = make_bars().with_columns(pl.col("open", "high", "low", "close", "volume").cast(dtype))
    prices = load(cast).prepare().asset_data
    assert prices.select("open", "high", "low", "close", "volume").row(0) == (10.0, 11.0, 9.0, 10.0, 100.0)


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["A"])])
def test_symbols_may_be_categories(dtype: Any, make_bars: Any) -> None:
    assert load(make_bars().with_columns(pl.col("symbol").cast(dtype))).prepare().asset_data["symbol"][0] == "A"


# --- types and columns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", ["101.5", "1,234.5", True, [1.0], date(2024, 1, 2), {"a": 1.0}])
def test_a_number_column_of_another_type_is_refused(
    column: str, value: Any, make_bars: Any, violations_of: Any
) -> None:
    (violation,) = violations_of(load, make_bars(**{column: [value] * 3}))
    assert (violation.code, violation.column) == ("E-SC-DTYPE", column)
    if isinstance(value, str):
        assert violation.value == repr(value)


@pytest.mark.parametrize("symbols", [[b"\xff\xfe"] * 3, [["A"]] * 3, [{"a": 1}] * 3])
def test_a_symbol_that_is_no_text_is_refused(symbols: list[Any], make_bars: Any, violations_of: Any) -> None:
    (violation,) = violations_of(load, make_bars(symbols=symbols))
    assert (violation.code, violation.column) == ("E-SC-DTYPE", "symbol")


def test_all_columns_of_a_wrong_type_are_reported_at_once(make_bars: Any, violations_of: Any) -> None:
    found = violations_of(load, make_bars(open=["x"] * 3, volume=["y"] * 3))
    assert [(violation.code, violation.column) for violation in found] == [
        ("E-SC-DTYPE", "open"),
        ("E-SC-DTYPE", "volume"),
    ]


def test_a_table_that_lacks_columns_says_which(violations_of: Any) -> None:
    frame = pl.DataFrame({"timestamp": [at(2024, 1, 2)]}, schema={"timestamp": UTC_US})
    found = violations_of(validate, frame, schemas.context_data_schema(("vix",)), file="c.parquet")
    assert [violation.code for violation in found] == ["E-SC-MISSING"] * 3
    for name, violation in zip(("decision_instant", "vix", "vix_available_at"), found, strict=True):
        assert name in violation.message
        assert violation.file == "c.parquet"


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_repeated_key_names_both_rows(good: pl.DataFrame, violations_of: Any) -> None:
    twice = pl.concat([good, good.slice(1, 1)])  # row 4 repeats row 1
    (violation,) = violations_of(load, twice)
    assert (violation.code, violation.dataset, violation.row) == ("E-KEY-DUP", "prices", 4)
    assert violation.key == "B 2024-01-02T21:00:00+00:00"
    assert "row 1" in str(violation) or "rows 1" in str(violation)
    assert "4" in str(violation)


def test_every_repeat_is_counted(good: pl.DataFrame, violations_of: Any) -> None:
    (violation,) = violations_of(load, pl.concat([good, good, good.head(1)]))
    assert violation.code == "E-KEY-DUP"
    assert len(violation.samples) <= 5
    assert violation.count >= 5  # rows 4 to 8 repeat earlier ones


def test_repeated_keys_with_other_prices_are_an_error_too(good: pl.DataFrame, violations_of: Any) -> None:
    (violation,) = violations_of(load, pl.concat([good, good.head(1).with_columns(close=pl.lit(10.5))]))
    assert violation.code == "E-KEY-DUP"
    assert "close=10.5" in str(violation)


def test_the_same_key_in_two_files_is_found(tmp_path: Path, good: pl.DataFrame, violations_of: Any) -> None:
    good.write_parquet(tmp_path / "a.parquet")
    good.head(1).write_parquet(tmp_path / "b.parquet")
    (violation,) = violations_of(DataPreparer().add_prices, tmp_path, bar_label="session")
    assert violation.code == "E-KEY-DUP"


def test_repeats_are_found_behind_a_lying_sortedness_flag(violations_of: Any) -> None:
    days = pl.Series("timestamp", [at(2024, 1, 3, 21), at(2024, 1, 4, 21), at(2024, 1, 3, 21)], dtype=UTC_US)
    frame = pl.DataFrame({"timestamp": days, "decision_instant": days}).with_columns(pl.all().set_sorted())
    (violation,) = violations_of(validate, frame, schemas.context_data_schema(()))
    assert violation.code == "E-KEY-DUP"


def test_a_repeated_prediction_is_refused_a_revision_is_not(violations_of: Any) -> None:
    day = date(2024, 1, 2)

    def add(*known: datetime) -> Any:
        count = len(known)
        rows = pl.DataFrame(
            {"timestamp": [day] * count, "symbol": ["A"] * count, "available_at": known, "p": [1.0, -1.0][:count]}
        )
        return DataPreparer().add_signals(rows, names=["p"])

    (violation,) = violations_of(add, at(2024, 1, 2, 21), at(2024, 1, 2, 21))
    assert (violation.code, violation.dataset) == ("E-KEY-DUP", "signals")
    add(at(2024, 1, 2, 21), at(2024, 1, 3, 21))


def test_a_repeated_context_row_is_refused(violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)] * 2, "vix": [13.0, 14.0]})
    (violation,) = violations_of(DataPreparer().add_context, rows, names=["vix"], available_at="market_close")
    assert (violation.code, violation.dataset) == ("E-KEY-DUP", "context")


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "code"), [(NAN, "E-SG-NAN"), (INF, "E-SG-INF"), (-INF, "E-SG-INF")])
def test_a_value_that_is_no_number_is_refused(value: float, code: str, violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2), date(2024, 1, 3)], "symbol": ["A", "A"], "p": [1.0, value]})
    (violation,) = violations_of(DataPreparer().add_signals, rows, names=["p"], valid_from="market_close")
    assert (violation.code, violation.row, violation.column, violation.value) == (code, 1, "p", str(value))
    context = rows.drop("symbol")
    (violation,) = violations_of(DataPreparer().add_context, context, names=["p"], available_at="market_close")
    assert (violation.code, violation.row, violation.dataset) == (code, 1, "context")


def test_a_null_signal_is_no_violation() -> None:
    rows = pl.DataFrame(
        {"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [None]}, schema_overrides={"p": pl.Float64}
    )
    DataPreparer().add_signals(rows, names=["p"], valid_from="market_close")


@pytest.mark.parametrize("value", ["BUY", True])
def test_a_signal_that_is_no_number_is_refused(value: Any, violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [value]})
    (violation,) = violations_of(DataPreparer().add_signals, rows, names=["p"], valid_from="market_close")
    assert (violation.code, violation.column, violation.value) == ("E-SC-DTYPE", "p", repr(value))


# --- all at once ----------------------------------------------------------------------------------------------------


def test_several_defects_are_all_reported_in_one_error(make_bars: Any, violations_of: Any) -> None:
    frame = make_bars(
        [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 10)],
        ["A", "", "A", "A", "A", "A", "A", "A"],
        open=[10.0, 10.0, NAN, 10.0, 10.0, 10.0, 10.0, 10.0],
        high=[11.0, 11.0, 11.0, 8.0, 11.0, 11.0, 11.0, 11.0],
        close=[10.0, 10.0, 10.0, 10.0, 12.0, 10.0, 10.0, 10.0],
        volume=[-1.0, 1.0, 1.0, 1.0, 1.0, None, 1.0, 1.0],
    )
    first_rows: dict[str, int] = {}
    for violation in violations_of(load, frame):
        first_rows.setdefault(violation.code, violation.row)
    expected = {"E-PX-NEGVOL": 0, "E-KEY-EMPTY": 1, "E-PX-NAN": 2, "E-PX-HILO": 3, "E-PX-NULL": 5, "E-KEY-DUP": 7}
    assert expected.items() <= first_rows.items()
    assert "E-PX-OUTSIDE" in first_rows


def test_a_null_timestamp_does_not_hide_other_defects(make_bars: Any, violations_of: Any) -> None:
    frame = make_bars([date(2024, 1, 2), None, date(2024, 1, 4)], close=[-1.0, 10.0, 10.0])
    assert {"E-TS-NULL", "E-PX-NONPOS"} <= {violation.code for violation in violations_of(load, frame)}


def test_rows_are_those_of_the_source_however_it_is_ordered(make_bars: Any, violations_of: Any, tmp_path: Path) -> None:
    days = [date(2024, 1, 4), date(2024, 1, 3), date(2024, 1, 2)]
    make_bars(days, close=[10.0, -1.0, 10.0], low=[9.0, -2.0, 9.0]).write_parquet(tmp_path / "p.parquet")
    found = violations_of(DataPreparer().add_prices, tmp_path / "p.parquet", bar_label="session")
    assert {(violation.row, violation.file) for violation in found} == {(1, str(tmp_path / "p.parquet"))}


def test_an_error_shows_five_samples_at_most_and_counts_the_rest(make_bars: Any, violations_of: Any) -> None:
    days = [date(2024, 1, 2) + timedelta(days=7 * week) for week in range(30)]
    days = [day for day in days if day not in (date(2024, 5, 28),)]
    (violation,) = violations_of(load, make_bars(days, volume=[-1.0] * len(days)))
    assert (violation.count, len(violation.samples)) == (len(days), 5)
    text = str(violation)
    assert len(text.splitlines()) <= 6
    for part in ("E-PX-NEGVOL", "prices", "row 0", "volume", "-1.0", str(len(days))):
        assert part in text


@pytest.mark.parametrize("allow", [False, True])
def test_a_table_without_rows_is_refused_unless_allowed(allow: bool, violations_of: Any) -> None:
    schema = schemas.corporate_actions_schema()
    empty = schemas.empty_frame(schema)
    found = find_violations(empty, schema, allow_empty=allow)
    assert [violation.code for violation in found] == ([] if allow else ["E-DS-EMPTY"])


def test_empty_sources_are_refused(make_bars: Any, violations_of: Any) -> None:
    rows = pl.DataFrame({"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "p": [1.0]}).clear()
    calls: list[tuple[Callable[..., Any], Any]] = [
        (load, make_bars().clear()),
        (partial(DataPreparer().add_signals, names=["p"], valid_from="market_close"), rows),
        (partial(DataPreparer().add_context, names=["p"], available_at="market_close"), rows),
    ]
    for call, argument in calls:
        assert [violation.code for violation in violations_of(call, argument)] == ["E-DS-EMPTY"]


# --- prepared data --------------------------------------------------------------------------------------------------


def prepared_row(**changes: Any) -> pl.DataFrame:
    row = {
        "timestamp": at(2024, 1, 3, 21),
        "symbol": "A",
        **{"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.0, "volume": 1.0},
        "open_instant": at(2024, 1, 3, 14, 30),
        "decision_instant": at(2024, 1, 3, 21),
        "p": 0.5,
        "p_available_at": at(2024, 1, 3, 21),
        "p_is_new": True,
        **changes,
    }
    schema = schemas.asset_data_schema(("p",), ())
    return pl.DataFrame([row], schema={name: column.dtype.type for name, column in schema.columns.items()})


def check_prepared(**changes: Any) -> None:
    validate(prepared_row(**changes), schemas.asset_data_schema(("p",), ()))


def test_a_signal_known_at_the_decision_is_fine() -> None:
    check_prepared()
    check_prepared(p=None, p_available_at=None, p_is_new=False)
    check_prepared(p=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"p_available_at": at(2024, 1, 3, 21, 0, 0, 1)},
        {"p_available_at": at(2024, 1, 4, 14, 30)},
        {"p_available_at": None},
        {"p": None, "p_available_at": at(2024, 1, 4)},
    ],
)
def test_a_signal_used_before_it_was_known_is_a_timing_error(changes: dict[str, Any]) -> None:
    with pytest.raises(SignalTimingError) as caught:
        check_prepared(**changes)
    (violation,) = caught.value.violations
    assert violation.code.startswith("E-SG-TIMING")
    assert isinstance(caught.value, ValueError)


def test_a_timing_error_names_symbol_signal_time_and_first_use() -> None:
    with pytest.raises(SignalTimingError) as caught:
        check_prepared(p_available_at=at(2024, 1, 4, 14, 30))
    text = str(caught.value)
    for part in ("A 2024-01-03T21:00:00", "p ", "2024-01-04"):
        assert part in text
    assert "14:30" in text


def test_a_timing_error_beside_other_defects_is_reported_with_them() -> None:
    with pytest.raises(DataValidationError) as caught:
        check_prepared(p_available_at=at(2024, 1, 4), close=-1.0, low=-2.0)
    codes = {violation.code.split(":")[0] for violation in caught.value.violations}
    assert {"E-SG-TIMING", "E-PX-NONPOS"} <= codes


@pytest.mark.parametrize(
    "changes",
    [
        {
            "decision_instant": at(2024, 1, 3, 20, 59),
            "p_available_at": at(2024, 1, 3),
        },  # decided before the bar was known
        {"open_instant": at(2024, 1, 3, 21, 0, 0, 1)},  # opened after it was complete
    ],
)
def test_a_bars_instants_come_in_order(changes: dict[str, Any], violations_of: Any) -> None:
    (violation,) = violations_of(check_prepared, **changes)
    assert violation.row == 0


# --- the schemas themselves -----------------------------------------------------------------------------------------

ALL_SCHEMAS = {
    "prices": schemas.prices_schema(),
    "signals": schemas.signals_schema(("p",)),
    "context": schemas.context_schema(("vix",)),
    "asset_data": schemas.asset_data_schema(("p",), ("atr",)),
    "context_data": schemas.context_data_schema(("vix",)),
    "corporate_actions": schemas.corporate_actions_schema(),
    **schemas.result_schemas(),
}


@pytest.mark.parametrize("name", ALL_SCHEMAS)
def test_every_column_says_what_it_means_and_every_rule_what_to_do(name: str) -> None:
    schema = ALL_SCHEMAS[name]
    assert schema.name == name
    assert schema.description
    for column in schema.columns.values():
        assert column.description
    checks = [*schema.checks, *(check for column in schema.columns.values() for check in column.checks)]
    for check in checks:
        assert check.name.startswith("E-")
        assert check.error
        assert check.description


@pytest.mark.parametrize("name", ALL_SCHEMAS)
def test_an_empty_frame_has_exactly_its_schemas_columns(name: str) -> None:
    empty = schemas.empty_frame(ALL_SCHEMAS[name])
    assert empty.is_empty()
    assert empty.columns == list(ALL_SCHEMAS[name].columns)
    assert find_violations(empty, ALL_SCHEMAS[name], allow_empty=True) == []


@pytest.mark.parametrize("name", ALL_SCHEMAS)
def test_infinities_and_nan_pass_no_number_column_of_any_table(name: str) -> None:
    schema = ALL_SCHEMAS[name]
    numbers = [column for column, spec in schema.columns.items() if spec.dtype.type == pl.Float64]
    odd = pl.DataFrame({column: [NAN, INF, -INF] for column in numbers})
    frame = pl.concat([schemas.empty_frame(schema), odd], how="diagonal")
    counts = dict.fromkeys(numbers, 0)
    for violation in find_violations(frame, schema):
        if violation.column in counts and violation.code.endswith(("NAN", "INF")):
            counts[violation.column] += violation.count
    assert counts == dict.fromkeys(numbers, 3)


def test_only_this_packages_errors_escape_from_a_table_of_nonsense() -> None:
    nonsense = pl.DataFrame({"timestamp": [[1]], "symbol": [{"a": 1}], "close": [b"x"]})
    for schema in ALL_SCHEMAS.values():
        with pytest.raises(BacktestError):
            validate(nonsense, schema)
