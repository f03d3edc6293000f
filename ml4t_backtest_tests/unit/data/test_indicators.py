"""Indicators: TA-Lib's values, once per symbol, and nothing of the future in any of them."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
import talib
from polars.testing import assert_frame_equal

from ml4t_backtest import ConfigError
from ml4t_backtest.core.schemas import corporate_actions_schema, empty_frame
from ml4t_backtest.data.calendar import TradingCalendar
from ml4t_backtest.data.indicator_columns import add_indicators
from ml4t_backtest.data.indicators import INDICATORS, parse_indicator
from ml4t_backtest.data.synthetic import random_bars

NO_ACTIONS = empty_frame(corporate_actions_schema())
CALENDAR = TradingCalendar("XNYS", date(2020, 1, 2), date(2021, 12, 31))
EVERY = [parse_indicator(name) for name in INDICATORS]
OTHER_PARAMETERS = [
    parse_indicator(text)
    for text in (
        "sma:2", "ema:7", "wma:5", "dema:5", "tema:4", "kama:6", "vwma:3", "bollinger:10:2.5", "donchian:4",
        "keltner:5:9:1.5", "sar:0.03:0.3", "rsi:2", "macd:5:9:3", "ppo:4:9", "roc:1", "momentum:1", "trix:4", "cmo:5",
        "stochastic:5:2:4", "williams_r:3", "cci:7", "aroon:4", "adx:5", "plus_di:5", "minus_di:5", "atr:3", "natr:3",
        "volatility:10", "mfi:5", "cmf:6",
    )
]  # fmt: skip
BOTH = [*EVERY, *OTHER_PARAMETERS]


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    """Three symbols on 300 sessions, the third listed on the 101st only, in (timestamp, symbol) order."""
    made = random_bars(3, 300, seed=7).drop("prediction", "prediction_available_at", "prediction_is_new")
    listed = made["timestamp"].unique().sort()[100]
    return made.filter((pl.col("symbol") != "S0002") | (pl.col("timestamp") >= listed))


def with_indicators(
    bars: pl.DataFrame, requests: Any = EVERY, actions: pl.DataFrame = NO_ACTIONS, adjustment: str = "none"
) -> pl.DataFrame:
    return add_indicators(bars, requests, actions, CALENDAR, adjustment=adjustment)


def actions(*rows: tuple[str, date, str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["symbol", "ex_date", "kind", "value"], orient="row")


def of_talib(name: str, bars: pl.DataFrame, *parameters: float) -> list[np.ndarray]:
    """TA-Lib's own answer for one symbol's bars, in the order of our columns."""
    high, low, close, volume = (bars[name].to_numpy() for name in ("high", "low", "close", "volume"))
    hlc = (high, low, close)
    answers: dict[str, Any] = {
        "sma": lambda p: talib.SMA(close, p),
        "ema": lambda p: talib.EMA(close, p),
        "wma": lambda p: talib.WMA(close, p),
        "dema": lambda p: talib.DEMA(close, p),
        "tema": lambda p: talib.TEMA(close, p),
        "kama": lambda p: talib.KAMA(close, p),
        "vwma": lambda p: talib.VWMA(close, volume, p),
        "bollinger": lambda p, width: talib.BBANDS(close, p, width, width, 0),
        "donchian": lambda p: talib.DONCHIAN(high, low, p),
        "keltner": lambda p, q, width: talib.KC(*hlc, p, q, width),
        "sar": lambda a, b: talib.SAR(high, low, a, b),
        "rsi": lambda p: talib.RSI(close, p),
        "macd": lambda f, s, g: talib.MACD(close, f, s, g),
        "ppo": lambda f, s: talib.PPO(close, f, s, 1),
        "roc": lambda p: talib.ROC(close, p),
        "momentum": lambda p: talib.MOM(close, p),
        "trix": lambda p: talib.TRIX(close, p),
        "cmo": lambda p: talib.CMO(close, p),
        "stochastic": lambda p, k, d: talib.STOCH(*hlc, p, k, 0, d, 0),
        "williams_r": lambda p: talib.WILLR(*hlc, p),
        "cci": lambda p: talib.CCI(*hlc, p),
        "aroon": lambda p: talib.AROON(high, low, p)[::-1],
        "adx": lambda p: talib.ADX(*hlc, p),
        "plus_di": lambda p: talib.PLUS_DI(*hlc, p),
        "minus_di": lambda p: talib.MINUS_DI(*hlc, p),
        "atr": lambda p: talib.ATR(*hlc, p),
        "natr": lambda p: talib.NATR(*hlc, p),
        "volatility": lambda p: np.append(np.nan, talib.STDDEV(np.diff(np.log(close)), p)),
        "obv": lambda: talib.OBV(close, volume),
        "accumulation": lambda: talib.AD(*hlc, volume),
        "mfi": lambda p: talib.MFI(*hlc, volume, p),
        "cmf": lambda p: talib.CMF(*hlc, volume, p),
    }
    answer = answers[name](*parameters)
    return list(answer) if isinstance(answer, (tuple, list)) else [answer]


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", BOTH, ids=lambda request: request.column)
def test_every_indicator_has_the_values_of_talib_for_each_symbol(request_: Any, bars: pl.DataFrame) -> None:
    found = with_indicators(bars, [request_])
    for symbol in ("S0000", "S0001", "S0002"):
        own = found.filter(pl.col("symbol") == symbol)
        expected = of_talib(request_.indicator.name, own, *request_.parameters.values())
        assert len(expected) == len(request_.columns)
        for column, values in zip(request_.columns, expected, strict=True):
            # Equal to the bit; but for volatility, which Polars sums in another order than TA-Lib.
            exact = request_.indicator.name != "volatility"
            tolerance = {} if exact else {"rtol": 1e-9, "atol": 0.0}
            compare = np.testing.assert_array_equal if exact else np.testing.assert_allclose
            compare(own[column].fill_null(float("nan")).to_numpy(), values, **tolerance)


@pytest.mark.parametrize("request_", BOTH, ids=lambda request: request.column)
def test_the_declared_warm_up_is_the_number_of_first_bars_without_a_value(request_: Any, bars: pl.DataFrame) -> None:
    found = with_indicators(bars, [request_]).filter(pl.col("symbol") == "S0002")
    for column in request_.columns:
        assert found[column].is_null().to_list() == [row < request_.warm_up for row in range(200)]


def test_at_least_twenty_indicators_are_declared_with_everything_that_is_to_be_known_of_them() -> None:
    assert len(INDICATORS) >= 20
    for declared in INDICATORS.values():
        assert declared.title.endswith(".")
        assert set(declared.notes) == {"Formula", "Source"}, declared.name
        assert set(declared.inputs) <= {"open", "high", "low", "close", "volume"}


def test_a_symbol_with_fewer_bars_than_the_warm_up_has_no_values(bars: pl.DataFrame) -> None:
    two = with_indicators(bars.filter(pl.col("symbol") == "S0000").head(1))
    columns = [column for request in EVERY for column in request.columns if request.warm_up > 0]
    assert two.select(columns).null_count().row(0) == (1,) * len(columns)


def test_a_value_that_is_not_defined_is_null(bars: pl.DataFrame) -> None:
    still = bars.filter(pl.col("symbol") == "S0000").with_columns(volume=pl.lit(0.0))
    assert with_indicators(still, [parse_indicator("vwma:5")])["vwma_5"].null_count() == still.height
    assert not any(found.is_nan().any() or found.is_infinite().any() for found in with_indicators(still)[:, 9:])


def test_a_gap_is_a_row_less_and_not_a_null(bars: pl.DataFrame) -> None:
    own = bars.filter(pl.col("symbol") == "S0000").with_row_index("row")
    gapped = own.filter(pl.col("row").is_between(50, 59).not_()).drop("row")
    closes = gapped["close"].to_list()
    # The bars before the gap and after it stand side by side: the mean of rows 49, 60 and 61.
    assert with_indicators(gapped, [parse_indicator("sma:3")])["sma_3"][51] == pytest.approx(sum(closes[49:52]) / 3)


# --- nothing of the future, nothing of others -----------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 40, 150, 299])
def test_another_future_changes_no_value_of_the_past_by_one_bit(cut: int, bars: pl.DataFrame) -> None:
    last = bars["timestamp"].unique().sort()[cut - 1]
    past = pl.col("timestamp") <= last
    wild = bars.with_columns(
        pl.when(past).then(name).otherwise(pl.col(name) * 3.7).alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
    whole = with_indicators(bars).filter(past)
    assert_frame_equal(with_indicators(wild).filter(past), whole, check_exact=True)
    assert_frame_equal(with_indicators(bars.filter(past)), whole, check_exact=True)


def test_a_later_split_changes_no_value_before_it_by_one_bit(bars: pl.DataFrame) -> None:
    ex_date = date(2020, 7, 1)
    before = pl.col("timestamp").dt.date() < ex_date
    whole = with_indicators(bars).filter(before)
    split = with_indicators(bars, actions=actions(("S0000", ex_date, "split", 3.0), ("S0001", ex_date, "split", 0.1)))
    assert_frame_equal(split.filter(before), whole, check_exact=True)


def test_row_order_and_neighbours_do_not_matter_to_the_bit(bars: pl.DataFrame) -> None:
    whole = with_indicators(bars)
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=3)
    again = with_indicators(shuffled)
    assert_frame_equal(again.select("timestamp", "symbol"), shuffled.select("timestamp", "symbol"))
    assert_frame_equal(again.sort("timestamp", "symbol"), whole, check_exact=True)
    for symbol in ("S0000", "S0001", "S0002"):
        own = pl.col("symbol") == symbol
        assert_frame_equal(with_indicators(bars.filter(own)), whole.filter(own), check_exact=True)


# --- corporate actions ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smooth(bars: pl.DataFrame) -> pl.DataFrame:
    """One symbol without actions; powers of two scale it without rounding."""
    return bars.filter(pl.col("symbol") == "S0000")


def split_at(bars: pl.DataFrame, ex_date: date, ratio: float) -> pl.DataFrame:
    """The same company as it was quoted: prices fall by the ratio at the ex-date, volumes rise by it."""
    after = pl.col("timestamp").dt.date() >= ex_date
    prices = [pl.when(after).then(pl.col(name) / ratio).otherwise(name).alias(name) for name in ("open", "high", "low")]
    close = pl.when(after).then(pl.col("close") / ratio).otherwise("close").alias("close")
    return bars.with_columns(*prices, close, volume=pl.when(after).then(pl.col("volume") * ratio).otherwise("volume"))


def test_indicators_see_no_jump_at_a_split_and_price_levels_stand_on_the_bars_own_basis(smooth: pl.DataFrame) -> None:
    ex_date = date(2020, 7, 1)
    quoted = split_at(smooth, ex_date, 4.0)
    found = with_indicators(quoted, actions=actions(("S0000", ex_date, "split", 4.0)))
    whole = with_indicators(smooth)
    for request in EVERY:
        for column in request.columns:
            scaled = split_at(whole.with_columns(close=column, volume=column), ex_date, 4.0)
            expected = {"price": scaled["close"], "shares": scaled["volume"], "none": whole[column]}
            assert found[column].to_list() == expected[request.indicator.unit].to_list(), column


def test_two_splits_and_one_before_the_first_bar_multiply_up(smooth: pl.DataFrame) -> None:
    first, second = date(2020, 6, 1), date(2020, 9, 1)
    quoted = split_at(split_at(smooth, first, 4.0), second, 0.5)
    known = actions(
        ("S0000", second, "split", 0.5), ("S0000", date(2019, 1, 2), "split", 8.0), ("S0000", first, "split", 4.0)
    )
    rsi = [parse_indicator("rsi:14")]
    assert with_indicators(quoted, rsi, known)["rsi_14"].to_list() == with_indicators(smooth, rsi)["rsi_14"].to_list()


def test_a_dividend_is_no_loss_and_the_levels_stay_on_the_bars_own_basis() -> None:
    stamps = random_bars(1, 4)["timestamp"]
    closes = [100.0, 100.0, 75.0, 75.0]
    quoted = pl.DataFrame(
        {"timestamp": stamps, "symbol": "A", "open": closes, "high": closes, "low": closes, "close": closes}
    ).with_columns(volume=pl.lit(10.0))
    known = actions(("A", stamps[2].date(), "dividend", 25.0))
    found = with_indicators(quoted, [parse_indicator("roc:1"), parse_indicator("sma:2")], known)
    # 25 of 100 paid out: factor 100 / 75. On the third bar (100 + 75 x 100 / 75) / 2 = 100, on its own basis 75.
    assert found["roc_1"].to_list() == [None, 0.0, 0.0, 0.0]
    assert found["sma_2"].to_list() == [None, 100.0, 75.0, 75.0]


@pytest.mark.parametrize(("adjustment", "expected"), [("none", 0.0), ("split", -50.0), ("total_return", -50.0)])
def test_what_the_prices_contain_already_is_not_applied_again(adjustment: str, expected: float) -> None:
    stamps = random_bars(1, 2)["timestamp"]
    bars = pl.DataFrame({"timestamp": stamps, "symbol": "A", "open": 1.0, "high": 1.0, "low": 1.0, "volume": 1.0})
    bars = bars.with_columns(close=pl.Series([100.0, 50.0]))
    known = actions(("A", stamps[1].date(), "split", 2.0))
    assert with_indicators(bars, [parse_indicator("roc:1")], known, adjustment)["roc_1"][1] == expected


def test_a_split_and_a_dividend_of_one_day_apply_in_this_order() -> None:
    stamps = random_bars(1, 2)["timestamp"]
    bars = pl.DataFrame({"timestamp": stamps, "symbol": "A", "open": 1.0, "high": 1.0, "low": 1.0, "volume": 1.0})
    bars = bars.with_columns(close=pl.Series([100.0, 40.0]))
    day = stamps[1].date()
    known = actions(("A", day, "dividend", 10.0), ("A", day, "split", 2.0))
    # 100 becomes 50 by the split and 40 by the dividend of 10 per new share.
    assert with_indicators(bars, [parse_indicator("roc:1")], known)["roc_1"][1] == pytest.approx(0.0, abs=1e-12)


def test_a_dividend_as_large_as_the_close_is_left_out() -> None:
    stamps = random_bars(1, 2)["timestamp"]
    bars = pl.DataFrame({"timestamp": stamps, "symbol": "A", "open": 1.0, "high": 1.0, "low": 1.0, "volume": 1.0})
    bars = bars.with_columns(close=pl.Series([100.0, 50.0]))
    known = actions(("A", stamps[1].date(), "dividend", 100.0))
    assert with_indicators(bars, [parse_indicator("roc:1")], known)["roc_1"][1] == -50.0


# --- asking for them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("rsi", ("rsi",)),
        ("rsi:14", ("rsi_14",)),
        ("macd", ("macd", "macd_signal", "macd_histogram")),
        ("macd:5:9:3", ("macd_5_9_3", "macd_5_9_3_signal", "macd_5_9_3_histogram")),
        ("bollinger:20:2.5", ("bollinger_20_2.5_upper", "bollinger_20_2.5_middle", "bollinger_20_2.5_lower")),
        ("stochastic:14", ("stochastic_14_k", "stochastic_14_d")),
        ("obv", ("obv",)),
    ],
)
def test_columns_are_called_by_what_was_asked_for(text: str, columns: tuple[str, ...]) -> None:
    assert parse_indicator(text).columns == columns


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rsy:14", r"no indicator 'rsy'; nearest: rsi"),
        ("", "no indicator ''"),
        ("rsi:1", "whole number from 2"),
        ("rsi:0", "whole number from 2"),
        ("rsi:-3", "whole number from 2"),
        ("rsi:2.5", "whole number from 2"),
        ("rsi:", "whole number from 2"),
        ("rsi:nan", "whole number from 2"),
        ("rsi:1e3", "whole number from 2"),
        ("rsi:100001", "to 100000"),
        ("rsi:14:3", "gives 2 parameters; write 'rsi:14'"),
        ("obv:3", "gives 1 parameters; write 'obv'"),
        ("bollinger:20:0", "a number above 0"),
        ("__import__('os')", "no indicator"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_how_to_write_it(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_indicator(text)


def test_a_period_longer_than_the_history_gives_nulls(bars: pl.DataFrame) -> None:
    found = with_indicators(bars, [parse_indicator("sma:100000")])
    assert found["sma_100000"].null_count() == bars.height
