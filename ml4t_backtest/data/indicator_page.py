"""The page docs/concepts/indicators.md, made from the declarations: `python -m ml4t_backtest.data.indicator_page`."""

from __future__ import annotations

from collections.abc import Iterator

from ml4t_backtest.data.indicators import INDICATORS, IndicatorRequest, parse_indicator

_UNITS = {
    "price": "money per share, on the basis of its bar",
    "shares": "shares, on the basis of its bar",
    "none": "no unit: a split does not change it",
}
_HEAD = """\
# Indicators

Made from the declarations in `ml4t_backtest/data/indicators.py` by `python -m ml4t_backtest.data.indicator_page`; a
test holds both equal.

Ask for them by text, in the data set's YAML (`indicators: [rsi:14, macd]`) or with
`DataPreparer().add_indicators(["rsi:14", "macd"])`. Parameters follow the name, in the order below, separated by
colons; those left out have the defaults shown. Columns are called by what was asked for: `rsi` gives `rsi`, `rsi:14`
gives `rsi_14`, `macd:5:9:3` gives `macd_5_9_3`, `macd_5_9_3_signal` and `macd_5_9_3_histogram`.

**When a value is known.** At its bar's `timestamp`, the close: it depends on that bar and earlier ones of the same
symbol, and on nothing else. A strategy that decides at the close may use it; an order decided on it fills at a later
bar.

**How they are computed.** Once, in preparation, per symbol over its whole history. A missing bar is a row less, not a
null: the bars before and after the gap stand side by side. While an indicator warms up, and where its formula is not
defined (a volume-weighted price of bars without volume), its value is null.

**Splits and dividends.** Formulas see prices adjusted forward: each bar is scaled by the corporate actions up to it
and by none that come later, as far as the data set's `adjustment` says that the prices do not contain them already.
So a split is no crash, a dividend is no loss, and the past does not change when a company splits its shares next
year. What is a price level is brought back to the basis of its own bar, so that it can be compared with that bar's
prices.

**Formulas** are TA-Lib's, by polars-talib, which carries TA-Lib's own code (MIT and BSD licences): the values are
equal to the bit, which a test holds for every indicator with default and other parameters. `volatility` is computed
by Polars and equal within 1e-9.

In the formulas `x[n]` is the value n bars ago; a *Wilder average* is an exponential one with the weight 1 / period.
"""


def indicators_page() -> str:
    """Return the page as Markdown."""
    requests = [parse_indicator(name) for name in INDICATORS]
    rows = [f"| {_link(each)} | {each.indicator.title} | {each.warm_up} |" for each in requests]
    table = "\n".join(["| indicator | what | warm-up (bars) |", "|---|---|---|", *rows])
    return "\n".join([_HEAD, table, "", *("\n".join(_section(each)) for each in requests)])


def _link(request: IndicatorRequest) -> str:
    return f"[`{request.indicator.name}`](#{request.indicator.name})"


def _section(request: IndicatorRequest) -> Iterator[str]:
    declared = request.indicator
    usage = ":".join([declared.name, *(f"{default:g}" for default in declared.defaults.values())])
    names = ", ".join(declared.defaults) or "none"
    yield f"## {declared.name}\n"
    yield f"{declared.title}\n"
    yield f"* **Ask for it:** `{usage}` (parameters: {names})"
    yield f"* **Columns:** {', '.join(f'`{column}`' for column in request.columns)}"
    yield f"* **Formula:** {declared.notes['Formula']}"
    yield f"* **Source:** {declared.notes['Source']}"
    yield f"* **Reads:** {', '.join(declared.inputs)}"
    yield f"* **Unit:** {_UNITS[declared.unit]}"
    yield f"* **Warm-up:** {request.warm_up} bars with these parameters"
    yield "* **Known:** at the bar's close\n"


if __name__ == "__main__":
    print(indicators_page(), end="")
