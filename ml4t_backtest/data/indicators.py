"""The indicators: one declared function each, over the bars of one symbol in time order.

The formulas are those of TA-Lib, computed by polars-talib, which carries TA-Lib's own C code: values are equal to the
bit. Every value is known at its bar's `timestamp` (the close), and depends on that bar and earlier ones of the same
symbol only. To add one: write its function here; name, parameters, docs and tests follow from it.
See docs/concepts/indicators.md, which is generated from these declarations.
"""

from __future__ import annotations

import polars as pl
import polars_talib as ta

from ml4t_backtest.data.indicator_declaration import INDICATORS, IndicatorRequest, indicator, parse_indicator

__all__ = ["INDICATORS", "IndicatorRequest", "parse_indicator"]

_HIGH, _LOW, _CLOSE, _VOLUME = (pl.col(name) for name in ("high", "low", "close", "volume"))
_BARS = (_HIGH, _LOW, _CLOSE)
_BANDS = {"upper": "upperband", "middle": "middleband", "lower": "lowerband"}

# --- averages and bands of prices -----------------------------------------------------------------------------------


@indicator("price", lambda period: period - 1)
def sma(period: int = 20) -> pl.Expr:
    """Simple moving average.

    Formula: mean of the last `period` closes

    Source: TA-Lib SMA
    """
    return ta.sma(_CLOSE, period)


@indicator("price", lambda period: period - 1)
def ema(period: int = 20) -> pl.Expr:
    """Exponential moving average.

    Formula: ema + (close - ema) x 2 / (period + 1), begun with the mean of the first `period` closes

    Source: TA-Lib EMA
    """
    return ta.ema(_CLOSE, period)


@indicator("price", lambda period: period - 1)
def wma(period: int = 20) -> pl.Expr:
    """Weighted moving average.

    Formula: mean of the last `period` closes with the weights 1, 2, ..., period (newest)

    Source: TA-Lib WMA
    """
    return ta.wma(_CLOSE, period)


@indicator("price", lambda period: 2 * (period - 1))
def dema(period: int = 20) -> pl.Expr:
    """Double exponential moving average.

    Formula: 2 x ema - ema of ema

    Source: TA-Lib DEMA
    """
    return ta.dema(_CLOSE, period)


@indicator("price", lambda period: 3 * (period - 1))
def tema(period: int = 20) -> pl.Expr:
    """Triple exponential moving average.

    Formula: 3 x ema - 3 x ema of ema + ema of ema of ema

    Source: TA-Lib TEMA
    """
    return ta.tema(_CLOSE, period)


@indicator("price", lambda period: period)
def kama(period: int = 20) -> pl.Expr:
    """Kaufman's adaptive moving average.

    Formula: kama + c x (close - kama), c between those of a 2-bar and a 30-bar ema by the efficiency ratio
    |close - close[period]| / sum of |close - close[1]|

    Source: TA-Lib KAMA
    """
    return ta.kama(_CLOSE, period)


@indicator("price", lambda period: period - 1)
def vwma(period: int = 20) -> pl.Expr:
    """Volume-weighted average price of the last bars.

    Formula: sum(close x volume) / sum(volume) over the last `period` bars; null where nothing was traded

    Source: TA-Lib VWMA
    """
    return ta.vwma(_CLOSE, _VOLUME, period)


@indicator("price", lambda period, width: period - 1, _BANDS)
def bollinger(period: int = 20, width: float = 2.0) -> pl.Expr:
    """Bollinger bands.

    Formula: middle = sma; upper and lower = middle +- width x population standard deviation of the closes

    Source: TA-Lib BBANDS
    """
    return ta.bbands(_CLOSE, period, width, width)


@indicator("price", lambda period: period - 1, _BANDS)
def donchian(period: int = 20) -> pl.Expr:
    """Donchian channel, the current bar included.

    Formula: upper = highest high, lower = lowest low of the last `period` bars; middle = their mean

    Source: TA-Lib DONCHIAN
    """
    return ta.donchian(_HIGH, _LOW, period)


@indicator("price", lambda period, atr_period, width: max(period - 1, atr_period), _BANDS)
def keltner(period: int = 20, atr_period: int = 10, width: float = 2.0) -> pl.Expr:
    """Keltner channel.

    Formula: middle = ema of the closes; upper and lower = middle +- width x atr

    Source: TA-Lib KC
    """
    return ta.kc(*_BARS, period, atr_period, width)


@indicator("price", lambda acceleration, maximum: 1)
def sar(acceleration: float = 0.02, maximum: float = 0.2) -> pl.Expr:
    """Parabolic stop and reverse.

    Formula: sar + a x (extreme - sar), a growing by `acceleration` with each new extreme up to `maximum`

    Source: TA-Lib SAR
    """
    return ta.sar(_HIGH, _LOW, acceleration, maximum)


# --- momentum -------------------------------------------------------------------------------------------------------


@indicator("none", lambda period: period)
def rsi(period: int = 14) -> pl.Expr:
    """Relative strength index, 0 to 100.

    Formula: 100 x gains / (gains + losses), both Wilder averages of the changes of the close

    Source: TA-Lib RSI
    """
    return ta.rsi(_CLOSE, period)


@indicator(
    "price",
    lambda fast, slow, signal: max(fast, slow) + signal - 2,
    {"": "macd", "signal": "macdsignal", "histogram": "macdhist"},
)
def macd(fast: int = 12, slow: int = 26, signal: int = 9) -> pl.Expr:
    """Moving average convergence and divergence.

    Formula: macd = fast ema - slow ema; signal = ema of macd; histogram = macd - signal

    Source: TA-Lib MACD
    """
    return ta.macd(_CLOSE, fast, slow, signal)


@indicator("none", lambda fast, slow: max(fast, slow) - 1)
def ppo(fast: int = 12, slow: int = 26) -> pl.Expr:
    """Percentage price oscillator, in percent.

    Formula: 100 x (fast ema / slow ema - 1)

    Source: TA-Lib PPO with exponential averages
    """
    return ta.ppo(_CLOSE, fast, slow, 1)


@indicator("none", lambda period: period, smallest=1)
def roc(period: int = 10) -> pl.Expr:
    """Rate of change, in percent.

    Formula: 100 x (close / close[period] - 1)

    Source: TA-Lib ROC
    """
    return ta.roc(_CLOSE, period)


@indicator("price", lambda period: period, smallest=1)
def momentum(period: int = 10) -> pl.Expr:
    """Momentum.

    Formula: close - close[period]

    Source: TA-Lib MOM
    """
    return ta.mom(_CLOSE, period)


@indicator("none", lambda period: 3 * (period - 1) + 1)
def trix(period: int = 15) -> pl.Expr:
    """Change of the triple-smoothed average, in percent.

    Formula: 100 x (e / e[1] - 1), e = ema of ema of ema of the closes

    Source: TA-Lib TRIX
    """
    return ta.trix(_CLOSE, period)


@indicator("none", lambda period: period)
def cmo(period: int = 14) -> pl.Expr:
    """Chande momentum oscillator, -100 to 100.

    Formula: 100 x (gains - losses) / (gains + losses), both Wilder averages of the changes of the close

    Source: TA-Lib CMO
    """
    return ta.cmo(_CLOSE, period)


@indicator("none", lambda period, smooth, signal: period + smooth + signal - 3, {"k": "slowk", "d": "slowd"})
def stochastic(period: int = 14, smooth: int = 3, signal: int = 3) -> pl.Expr:
    """Slow stochastic oscillator, 0 to 100.

    Formula: k = sma of 100 x (close - lowest low) / (highest high - lowest low) over `smooth` bars; d = sma of k

    Source: TA-Lib STOCH
    """
    return ta.stoch(*_BARS, period, smooth, 0, signal, 0)


@indicator("none", lambda period: period - 1)
def williams_r(period: int = 14) -> pl.Expr:
    """Williams' percent range, -100 to 0.

    Formula: -100 x (highest high - close) / (highest high - lowest low) over the last `period` bars

    Source: TA-Lib WILLR
    """
    return ta.willr(*_BARS, period)


@indicator("none", lambda period: period - 1)
def cci(period: int = 20) -> pl.Expr:
    """Commodity channel index.

    Formula: (t - mean of t) / (0.015 x mean absolute deviation of t), t = (high + low + close) / 3

    Source: TA-Lib CCI
    """
    return ta.cci(*_BARS, period)


@indicator("none", lambda period: period, {"up": "aroonup", "down": "aroondown"})
def aroon(period: int = 25) -> pl.Expr:
    """Aroon, 0 to 100.

    Formula: up = 100 x (period - bars since the highest high) / period; down with the lowest low

    Source: TA-Lib AROON
    """
    return ta.aroon(_HIGH, _LOW, period)


# --- direction and range --------------------------------------------------------------------------------------------


@indicator("none", lambda period: 2 * period - 1)
def adx(period: int = 14) -> pl.Expr:
    """Average directional index, 0 to 100.

    Formula: Wilder average of 100 x |plus_di - minus_di| / (plus_di + minus_di)

    Source: TA-Lib ADX
    """
    return ta.adx(*_BARS, period)


@indicator("none", lambda period: period)
def plus_di(period: int = 14) -> pl.Expr:
    """Upward directional indicator, 0 to 100.

    Formula: 100 x Wilder sum of upward moves of the high / Wilder sum of true ranges

    Source: TA-Lib PLUS_DI
    """
    return ta.plus_di(*_BARS, period)


@indicator("none", lambda period: period)
def minus_di(period: int = 14) -> pl.Expr:
    """Downward directional indicator, 0 to 100.

    Formula: 100 x Wilder sum of downward moves of the low / Wilder sum of true ranges

    Source: TA-Lib MINUS_DI
    """
    return ta.minus_di(*_BARS, period)


@indicator("price", lambda period: period)
def atr(period: int = 14) -> pl.Expr:
    """Average true range.

    Formula: Wilder average of max(high, close[1]) - min(low, close[1])

    Source: TA-Lib ATR
    """
    return ta.atr(*_BARS, period)


@indicator("none", lambda period: period)
def natr(period: int = 14) -> pl.Expr:
    """Average true range in percent of the close.

    Formula: 100 x atr / close

    Source: TA-Lib NATR
    """
    return ta.natr(*_BARS, period)


@indicator("none", lambda period: period)
def volatility(period: int = 21) -> pl.Expr:
    """Rolling volatility, a fraction per bar (not annualised).

    Formula: population standard deviation of the last `period` changes of ln(close)

    Source: TA-Lib STDDEV of LN, by Polars' rolling_std
    """
    return _CLOSE.log().diff().rolling_std(period, ddof=0)


# --- volume ---------------------------------------------------------------------------------------------------------


@indicator("shares", lambda: 0)
def obv() -> pl.Expr:
    """On-balance volume, from the symbol's first bar on.

    Formula: obv + volume on a higher close, - volume on a lower one

    Source: TA-Lib OBV
    """
    return ta.obv(_CLOSE, _VOLUME)


@indicator("shares", lambda: 0)
def accumulation() -> pl.Expr:
    """Chaikin accumulation and distribution line, from the symbol's first bar on.

    Formula: line + volume x ((close - low) - (high - close)) / (high - low)

    Source: TA-Lib AD
    """
    return ta.ad(*_BARS, _VOLUME)


@indicator("none", lambda period: period)
def mfi(period: int = 14) -> pl.Expr:
    """Money flow index, 0 to 100.

    Formula: 100 x up / (up + down), the sums of t x volume over bars with rising and with falling t,
    t = (high + low + close) / 3

    Source: TA-Lib MFI
    """
    return ta.mfi(*_BARS, _VOLUME, period)


@indicator("none", lambda period: period - 1)
def cmf(period: int = 20) -> pl.Expr:
    """Chaikin money flow, -1 to 1.

    Formula: sum of volume x ((close - low) - (high - close)) / (high - low), divided by the sum of volume

    Source: TA-Lib CMF
    """
    return ta.cmf(*_BARS, _VOLUME, period)
