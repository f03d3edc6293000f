"""The embedded sample is what its provenance says: complete, sane, correctly adjusted and strictly causal."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml4t_backtest.datasets import build_us_tech_daily as build
from ml4t_backtest.datasets import dataset_path
from ml4t_backtest.datasets import us_tech_daily_model as model

# exchange_calendars 4.13 with pandas 3.1 warns inside itself while a calendar is made.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning an ndarray")

HOME = dataset_path("us_tech_daily")
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
FIRST_BARS = {
    "AAPL": date(2000, 3, 1),
    "FB": date(2012, 5, 18),
    "GOOG": date(2004, 8, 19),
    "IBM": date(2000, 3, 1),
    "MSFT": date(2000, 3, 1),
}
SPLITS = [
    ("AAPL", date(2000, 6, 21), 2.0),
    ("MSFT", date(2003, 2, 18), 2.0),
    ("AAPL", date(2005, 2, 28), 2.0),
]


@cache
def frame(name: str) -> pl.DataFrame:
    return pl.read_parquet(dataset_path("us_tech_daily", f"{name}.parquet"))


@cache
def provenance() -> Any:
    return json.loads((HOME / "provenance.json").read_text(encoding="utf-8"))


@cache
def closes() -> pl.DataFrame:
    return build.session_closes()


def close_of(symbol: str, day: date) -> float:
    return float(frame("prices").row(by_predicate=(pl.col("symbol") == symbol) & (pl.col("timestamp") == day))[5])


def bars_around(symbol: str, day: date) -> tuple[float, float]:
    """Return the closes of the session before a day and of the day."""
    bars = frame("prices").filter(pl.col("symbol") == symbol, pl.col("timestamp") <= day).tail(2)
    assert bars["timestamp"][1] == day
    return bars["close"][0], bars["close"][1]


# ------------------------------------------------------------------------------------------------ files


def test_the_whole_set_is_smaller_than_one_megabyte() -> None:
    assert sum(path.stat().st_size for path in HOME.iterdir()) < 1_000_000


def test_files_are_the_bytes_and_frames_that_the_provenance_records() -> None:
    recorded = provenance()["files"]
    assert {path.name for path in HOME.glob("*.parquet")} == set(recorded)
    for name, each in recorded.items():
        content = (HOME / name).read_bytes()
        stored = pl.read_parquet(HOME / name)
        assert hashlib.sha256(content).hexdigest() == each["sha256"], name
        assert (len(content), len(stored)) == (each["bytes"], each["rows"])
        assert {column: str(dtype) for column, dtype in stored.schema.items()} == each["columns"]


def test_the_readable_provenance_holds_the_digests_of_the_record() -> None:
    text = (HOME / "PROVENANCE.md").read_text(encoding="utf-8")
    records = (*provenance()["files"].values(), *provenance()["sources"].values())
    expected = {each["sha256"] for each in records}
    assert set(re.findall(r"\b[0-9a-f]{64}\b", text)) == expected
    assert len(expected) == 6


def test_the_mit_notice_of_the_index_rows_ships_with_them() -> None:
    text = (HOME / "PROVENANCE.md").read_text(encoding="utf-8")
    assert "Copyright (c) 2022-2026 Posit Software, PBC" in text
    assert "The above copyright notice and this permission notice shall be included" in text


@pytest.mark.parametrize("name", ["prices", "corporate_actions", "context", "predictions"])
def test_no_value_is_null_nan_or_infinite(name: str) -> None:
    stored = frame(name)
    assert stored.null_count().sum_horizontal().item() == 0
    floats = stored.select(pl.col(pl.Float64))
    assert floats.select(pl.all_horizontal(pl.all().is_finite().all())).item()


# ----------------------------------------------------------------------------------------------- prices


def test_prices_hold_each_symbol_over_its_whole_span() -> None:
    prices = frame("prices")
    assert sorted(prices["symbol"].unique()) == SYMBOLS
    spans = prices.group_by("symbol").agg(first=pl.col("timestamp").min(), last=pl.col("timestamp").max())
    assert {row["symbol"]: row["first"] for row in spans.to_dicts()} == FIRST_BARS
    assert spans["last"].unique().to_list() == [date(2013, 3, 1)]
    assert len(prices) == 3 * 3270 + 2148 + 196


def test_prices_are_sorted_and_unique_by_timestamp_and_symbol() -> None:
    keys = frame("prices").select("timestamp", "symbol").rows()
    assert all(before < after for before, after in pairwise(keys))


def test_every_symbol_has_a_bar_on_every_session_of_the_exchange() -> None:
    sessions = closes()["timestamp"]
    for symbol, first in FIRST_BARS.items():
        bars = frame("prices").filter(pl.col("symbol") == symbol)["timestamp"]
        assert bars.equals(sessions.filter(sessions >= first)), symbol


def test_high_and_low_enclose_open_and_close_and_volume_is_positive() -> None:
    broken = frame("prices").filter(
        (pl.col("high") < pl.max_horizontal("open", "close"))
        | (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("low") <= 0)
        | (pl.col("volume") <= 0)
    )
    assert broken.is_empty()


def test_prices_are_as_traded_and_not_adjusted() -> None:
    """Apple closed at 702.10 on 2012-09-19, ahead of the 7:1 and 4:1 splits of 2014 and 2020."""
    assert close_of("AAPL", date(2012, 9, 19)) == pytest.approx(702.10, abs=0.005)
    assert close_of("FB", date(2012, 5, 18)) == pytest.approx(38.23, abs=0.005)


# ------------------------------------------------------------------------------------ corporate actions


def test_the_three_splits_are_the_known_ones() -> None:
    splits = frame("corporate_actions").filter(pl.col("kind") == "split")
    assert splits.select("symbol", "ex_date", "value").rows() == SPLITS


@pytest.mark.parametrize(("symbol", "day", "ratio"), SPLITS)
def test_each_split_shows_in_the_price_step(symbol: str, day: date, ratio: float) -> None:
    before, after = bars_around(symbol, day)
    assert before / after == pytest.approx(ratio, rel=0.1)


def test_no_price_step_looks_like_a_split_that_is_not_listed() -> None:
    """AAPL fell by 52 % on 2000-09-29 on a profit warning: the one halving that is no split."""
    halvings = (
        frame("prices")
        .with_columns(ratio=(pl.col("close").shift(1) / pl.col("close")).over("symbol"))
        .filter(pl.col("ratio") > 1.6)
        .select("symbol", "timestamp")
        .rows()
    )
    assert halvings == [("AAPL", day) for day in (date(2000, 6, 21), date(2000, 9, 29))] + [
        ("MSFT", date(2003, 2, 18)),
        ("AAPL", date(2005, 2, 28)),
    ]


@pytest.mark.parametrize(
    ("symbol", "day", "dollars"),
    [
        ("MSFT", date(2003, 2, 19), 0.08),  # the first, one session after the split
        ("MSFT", date(2003, 10, 15), 0.16),
        ("MSFT", date(2004, 11, 15), 3.08),  # special 3.00 and regular 0.08
        ("MSFT", date(2011, 11, 15), 0.20),
        ("IBM", date(2000, 5, 8), 0.13),
        ("IBM", date(2008, 5, 7), 0.50),
        ("IBM", date(2012, 11, 7), 0.85),
        ("AAPL", date(2012, 8, 9), 2.65),
        ("AAPL", date(2013, 2, 7), 2.65),
    ],
)
def test_well_known_dividends_are_recovered_to_the_cent(symbol: str, day: date, dollars: float) -> None:
    row = frame("corporate_actions").filter(symbol=symbol, ex_date=day, kind="dividend")
    assert row["value"].to_list() == [dollars]


def test_dividends_are_whole_cents_one_per_quarter_and_symbol() -> None:
    dividends = frame("corporate_actions").filter(pl.col("kind") == "dividend")
    cents = dividends["value"] * 100
    assert (cents - cents.round()).abs().max() < 1e-9
    assert dict(dividends.group_by("symbol").len().rows()) == {"IBM": 52, "MSFT": 37, "AAPL": 3}
    quarters = dividends.group_by("symbol", pl.col("ex_date").dt.truncate("1q")).len()
    assert quarters["len"].max() == 1


def test_every_ex_date_is_a_bar_of_its_symbol_and_rows_are_sorted() -> None:
    actions = frame("corporate_actions")
    keys = frame("prices").select("symbol", ex_date="timestamp")
    assert len(actions.join(keys, on=("symbol", "ex_date"))) == len(actions) == 95
    assert actions.equals(actions.sort("ex_date", "symbol", "kind"))


def test_actions_are_recovered_from_adjusted_closes_made_by_hand() -> None:
    """Closes of 100, 50 (after a 2:1 split) and 39 (after a dividend of 1), adjusted as the source does.

    Backwards, reinvested at the ex-date's close: 39, then 50 x 39 / (39 + 1) = 48.75, then 100 / 2 x 39 / 40.
    The convention over the previous close would read a dividend of 50 x (1 - 39 / 40) = 1.25 from it.
    """
    days = [date(2001, 1, day) for day in (2, 3, 4)]
    closes_and_adjusted = {"close": [100.0, 50.0, 39.0], "adj_close": [48.75, 48.75, 39.0]}
    published = pl.DataFrame({"symbol": ["X"] * 3, "timestamp": days, **closes_and_adjusted})
    assert build.corporate_actions(published).rows() == [
        ("X", days[1], "split", 2.0),
        ("X", days[2], "dividend", 1.0),
    ]


def test_total_return_steps_take_a_split_and_a_dividend_out_of_the_price() -> None:
    """MSFT 2003-02-18: 2 x 24.96 / 48.30; the day after: (24.53 + 0.08) / 24.96."""
    steps = model.total_return_steps(frame("prices"), frame("corporate_actions")).filter(symbol="MSFT")
    found = dict(steps.select("timestamp", "close_step").rows())
    assert found[date(2003, 2, 18)] == pytest.approx(2 * 24.96 / 48.30, rel=1e-12)
    assert found[date(2003, 2, 19)] == pytest.approx((24.53 + 0.08) / 24.96, rel=1e-12)


def test_adjusted_closes_of_the_source_step_as_ours_do() -> None:
    """WIKI's adj_close of AAPL, MSFT and IBM around an action; the build holds all 12,149 steps to 1e-6."""
    assert provenance()["measured"]["largest_step_error"] < 1e-10
    steps = model.total_return_steps(frame("prices"), frame("corporate_actions"))
    published = {  # adj_close of the ex-date, over that of the session before
        ("AAPL", date(2000, 6, 21)): 3.5746151 / 3.2530091,
        ("MSFT", date(2003, 2, 18)): 16.615653 / 16.076443,
        ("MSFT", date(2003, 2, 19)): 16.382661 / 16.615653,
    }
    for (symbol, day), theirs in published.items():
        ours = steps.filter(symbol=symbol, timestamp=day)["close_step"].item()
        assert ours == pytest.approx(theirs, rel=2e-7)


# ---------------------------------------------------------------------------------------------- context


def test_context_has_one_row_per_session_of_the_exchange() -> None:
    assert frame("context")["timestamp"].equals(closes()["timestamp"])


def test_the_index_closes_are_the_known_extremes_of_those_years() -> None:
    """Peak 1565.15 on 2007-10-09, trough 676.53 on 2009-03-09."""
    context = frame("context").sort("spx_close")
    assert context.select("timestamp", "spx_close").row(0) == (date(2009, 3, 9), 676.53)
    assert context.select("timestamp", "spx_close").row(-1) == (date(2007, 10, 9), 1565.15)


def test_context_volatility_is_that_of_the_last_21_log_returns_and_no_later_one() -> None:
    close = frame("context")["spx_close"].to_numpy()
    returns = np.diff(np.log(close))
    row = 1000
    expected = np.std(returns[row - 21 : row], ddof=1) * np.sqrt(252)
    assert frame("context")["spx_volatility_21d"][row] == pytest.approx(expected, abs=1e-9)
    assert frame("context")["spx_return_1d"][row] == pytest.approx(close[row] / close[row - 1] - 1, abs=1e-9)


def test_truncated_index_history_gives_the_same_context_up_to_its_end() -> None:
    index = frame("context").select("timestamp", "spx_close")
    cut = index["timestamp"][1500]
    whole, past = build.market_context(index), build.market_context(index.head(1501))
    assert past.equals(whole.filter(pl.col("timestamp") <= cut))


# ------------------------------------------------------------------------------------------ predictions


def test_predictions_are_probabilities_with_their_confidence() -> None:
    rows = frame("predictions")
    assert rows["prediction"].is_between(0, 1).all()
    assert ((2 * rows["prediction"] - 1).abs() - rows["confidence"]).abs().max() < 1e-6
    assert rows["prediction"].n_unique() > 1000


def test_predictions_start_after_two_years_and_leave_no_bar_out_afterwards() -> None:
    """504 sessions before the first fit; a symbol listed later starts with its 22nd bar."""
    sessions = closes()["timestamp"]
    bars = frame("prices").with_columns(age=pl.col("timestamp").cum_count().over("symbol"))
    expected = bars.filter(pl.col("timestamp") >= sessions[504], pl.col("age") > 21)
    assert frame("predictions").select("timestamp", "symbol").equals(expected.select("timestamp", "symbol"))


def test_each_prediction_is_available_at_the_close_of_its_session_exactly() -> None:
    rows = frame("predictions").join(closes(), on="timestamp", how="left", suffix="_calendar")
    assert rows["available_at"].equals(rows["available_at_calendar"], check_names=False)


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        (date(2012, 11, 21), datetime(2012, 11, 21, 21, 0, tzinfo=UTC)),  # winter: 16:00 is 21:00 UTC
        (date(2012, 11, 23), datetime(2012, 11, 23, 18, 0, tzinfo=UTC)),  # day after Thanksgiving: 13:00
        (date(2012, 7, 3), datetime(2012, 7, 3, 17, 0, tzinfo=UTC)),  # half day in summer: 13:00
        (date(2012, 7, 5), datetime(2012, 7, 5, 20, 0, tzinfo=UTC)),  # summer: 16:00 is 20:00 UTC
    ],
)
def test_half_days_and_summer_time_are_in_available_at(day: date, instant: datetime) -> None:
    found = frame("predictions").filter(timestamp=day)["available_at"].unique().to_list()
    assert [each.astimezone(UTC) for each in found] == [instant]


def test_features_of_truncated_inputs_are_the_same_bits() -> None:
    prices, actions = frame("prices"), frame("corporate_actions")
    columns = ("timestamp", "symbol", *model.FEATURES)
    whole = model.training_rows(prices, actions).select(columns)
    for cut in (date(2003, 2, 14), date(2005, 2, 25), date(2012, 8, 8)):  # the sessions before ex-dates
        past = model.training_rows(prices.filter(pl.col("timestamp") <= cut), actions.filter(pl.col("ex_date") <= cut))
        assert past.select(columns).equals(whole.filter(pl.col("timestamp") <= cut))


def test_a_label_becomes_known_two_sessions_after_its_row_and_not_before() -> None:
    """The label of 2005-02-24 is about the opens of 02-25 (89.62) and 02-28 (44.68, after a 2:1 split).

    2 x 44.68 / 89.62 = 0.997, so it is False, and known on 02-28.
    """
    rows = model.training_rows(frame("prices"), frame("corporate_actions"))
    row = rows.filter(symbol="AAPL", timestamp=date(2005, 2, 24)).row(0, named=True)
    assert (row["label"], row["label_session"]) == (False, date(2005, 2, 28))
    last_two = rows.filter(pl.col("timestamp") >= date(2013, 2, 28))
    assert last_two["label"].null_count() == len(last_two) == 10


def test_each_fit_uses_exactly_the_labels_known_at_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit at a session's close knows the labels of rows at least two sessions old."""
    sessions = closes()["timestamp"].to_list()
    fits: list[tuple[date, date]] = []

    def spy(known: pl.DataFrame, ahead: pl.DataFrame) -> np.ndarray[Any, Any]:
        fits.append((known["timestamp"].max(), ahead["timestamp"].min()))  # type: ignore[arg-type]
        assert known["label"].null_count() == 0
        return np.full(len(ahead), 0.5)

    monkeypatch.setattr(model, "fit_and_predict", spy)
    model.walk_forward(model.training_rows(frame("prices"), frame("corporate_actions")), sessions)
    assert len(fits) == 132  # ceil((3270 - 504) / 21)
    for newest_label, fitted in fits:
        assert sessions.index(fitted) - sessions.index(newest_label) == 2


def test_predictions_from_the_shipped_prices_are_the_shipped_ones() -> None:
    pytest.importorskip("sklearn", reason="rebuilding the predictions needs scikit-learn")
    rebuilt = model.predictions(frame("prices"), frame("corporate_actions"), closes())
    keys = ["timestamp", "symbol", "available_at"]
    assert rebuilt.select(keys).equals(frame("predictions").select(keys))
    assert (rebuilt["prediction"] - frame("predictions")["prediction"]).abs().max() <= 2e-6


def test_predictions_of_truncated_inputs_are_the_same_bits() -> None:
    pytest.importorskip("sklearn", reason="rebuilding the predictions needs scikit-learn")
    build.check_causal(frame("prices"), frame("corporate_actions"), closes())


def test_a_prediction_does_depend_on_the_close_of_its_own_session() -> None:
    """The counterpart of causality: it would also hold for predictions that look at nothing."""
    pytest.importorskip("sklearn", reason="rebuilding the predictions needs scikit-learn")
    cut = date(2008, 9, 15)
    prices = frame("prices").filter(pl.col("timestamp") <= cut)
    here = (pl.col("timestamp") == cut) & (pl.col("symbol") == "IBM")
    moved = prices.with_columns(close=pl.when(here).then(pl.col("close") * 1.05).otherwise(pl.col("close")))
    actions = frame("corporate_actions").filter(pl.col("ex_date") <= cut)
    before, after = (model.predictions(each, actions, closes()) for each in (prices, moved))
    changed = before.filter(before["prediction"] != after["prediction"])
    assert changed.select("timestamp", "symbol").rows() == [(cut, "IBM")]


def test_a_model_that_peeks_fails_the_causality_check(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="rebuilding the predictions needs scikit-learn")
    honest = model.training_rows

    def peeking(prices: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
        tomorrow = pl.col("return_1").shift(-1).over("symbol").fill_null(0.0)
        return honest(prices, actions).with_columns(return_1=tomorrow)

    monkeypatch.setattr(model, "training_rows", peeking)
    with pytest.raises(SystemExit, match="causality at 2002-12-31"):
        build.check_causal(frame("prices"), frame("corporate_actions"), closes())


def test_a_rebuild_from_the_source_packages_gives_the_shipped_frames(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for package in ("sklearn", "bokeh_sampledata", "great_tables"):
        pytest.importorskip(package, reason=f"a rebuild needs {package}")
    assert build.main(["--check"]) == 0
    assert "DIFFERENT" not in capsys.readouterr().out
