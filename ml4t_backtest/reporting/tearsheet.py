"""The report of a run: one HTML file that needs no network and looks the same whenever it is made again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from types import MappingProxyType

import polars as pl

from ml4t_backtest.reporting import charts, sections
from ml4t_backtest.reporting.benchmark import benchmark_metrics
from ml4t_backtest.reporting.breakdown_charts import rolling_window
from ml4t_backtest.reporting.capacity import capacity
from ml4t_backtest.reporting.formats import count
from ml4t_backtest.reporting.page import chart, page, section
from ml4t_backtest.reporting.report_figures import KNOWN, MARKET, PRICE, report_figures
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.reporting.summary import summary_rows
from ml4t_backtest.reporting.svg import equity_svg

__all__ = ["equity_svg", "render_report", "summary_rows"]

_NOT_RECORDED: Mapping[str, str] = MappingProxyType({})


def render_report(
    result: BacktestResult,
    *,
    title: str,
    benchmark: str | None = None,
    provenance: Mapping[str, str] = _NOT_RECORDED,
    bars: pl.DataFrame | pl.LazyFrame | None = None,
) -> str:
    """Return a run as one self-contained HTML page; the same run gives the same bytes.

    Args:
        result: The run.
        title: Heading, plain text.
        benchmark: Context column with a level such as an index, drawn and compared; None for no comparison.
        provenance: What the numbers came from and how to make them again, label to text, shown in this order.
        bars: What the run was over: `timestamp`, `symbol`, `close`, `volume`. Without them price charts show fills
            alone, and no capacity is told.

    Raises:
        ConfigError: There is no context column `benchmark`, or it holds no numbers.
    """
    compared = benchmark_metrics(result, benchmark) if benchmark else {}
    figures = report_figures(result, benchmark, bars)
    return page(
        title,
        span=_span(result),
        cards=sections.cards(result, compared),
        parts=_sections(result, benchmark, figures, provenance, bars),
        figures=figures,
    )


def _sections(
    result: BacktestResult,
    benchmark: str | None,
    figures: Collection[str],
    provenance: Mapping[str, str],
    bars: pl.DataFrame | pl.LazyFrame | None,
) -> list[str]:
    """Return the parts of the page in reading order."""
    told = capacity(result, bars) if bars is not None and result.fills.height else None
    all_figures = [section("Figures", sections.figures_table(result, told), kind="full")]
    facts = [
        section("Signals and time", sections.timing_list(result)),
        section("Data notes", sections.notes_list(result)),
        section("Orders by outcome", sections.orders_table(result), kind="full"),
        section("Data quality", sections.quality_table(result), kind="full long"),
        section("Provenance", sections.provenance_list(provenance), kind="full"),
    ]
    if result.daily_returns.is_empty():
        return [section("Equity", "<p class='note'>No session was traded.</p>", kind="full"), *all_figures, *facts]
    times, trades = _time_sections(result, benchmark, figures), _trade_sections(result, figures)
    return [*times, *all_figures, *trades, *facts]


def _time_sections(result: BacktestResult, benchmark: str | None, figures: Collection[str]) -> list[str]:
    """Return what happened over time: equity, months, drawdowns, the benchmark beside it, risk, exposure, turnover."""
    picture = f"<noscript>{equity_svg(result, benchmark=benchmark)}</noscript>"
    button = '<button type="button" data-log="equity" aria-pressed="false">Log scale</button>'
    picture_of = chart("equity", "Equity and drawdown over time", tall=True) + picture
    found = [
        section("Equity and drawdown", picture_of, kind="full", aside=button),
        section("Monthly returns, %", sections.months_table(result), kind="full"),
    ]
    if benchmark:
        found.append(section("Against the benchmark", sections.benchmark_table(result, benchmark)))
    found.append(section("Worst drawdowns", sections.drawdowns_table(result), kind="" if benchmark else "full"))
    window = rolling_window(result)
    over_time = (
        ("rolling", f"Sharpe ratio of {window} sessions"),
        ("exposure", "Exposure: positions over equity"),
        ("distribution", "Daily returns"),
        ("turnover", "Turnover by month"),
    )
    return found + [section(title, chart(name, title)) for name, title in over_time if name in figures]


def _trade_sections(result: BacktestResult, figures: Collection[str]) -> list[str]:
    """Return what the trades did, what they knew and what they cost."""
    if result.trades.is_empty():
        return [section("Trades", "<p class='note'>No trades.</p>", kind="full")]
    sampled = _sampling_note(result)
    symbols, gross_to_net = chart("symbols", "Net P&L by symbol", own_height=True), sections.costs_table(result)
    lists = (
        f"<h3>Largest gains</h3>{sections.trades_table(result, best=True)}"
        f"<h3>Largest losses</h3>{sections.trades_table(result, best=False)}"
    )
    reasons = chart("reasons", "Net P&L by exit reason", own_height=True)
    return [
        *_chosen("What the model's confidence bought", KNOWN, figures),
        *_chosen("In which market it was bought", MARKET, figures),
        section("Best against worst moment (MFE, MAE)", chart("excursions", "MFE against MAE") + sampled),
        section("Return by holding period", chart("holding", "Net return against holding period") + sampled),
        section("Profit and loss by symbol", symbols),
        section("By exit reason, and from gross to net", f"{reasons}<h3>From gross to net</h3>{gross_to_net}"),
        *_chosen("Price, entries and exits", PRICE, figures, full=True),
        section("Commission and slippage so far", chart("costs", "Commission and slippage so far"), kind="full"),
        section("Best and worst trades", lists, kind="full long"),
    ]


def _chosen(title: str, group: str, figures: Collection[str], full: bool = False) -> list[str]:
    """Return a section with a figure to choose from a group (`price:AAPL`, `price:IBM`); none where it is empty."""
    names = [name for name in figures if name.startswith(group)]
    if not names:
        return []
    options = "".join(f'<option value="{escape(name)}">{escape(name.removeprefix(group))}</option>' for name in names)
    choice = f'<select aria-label="{escape(title)}">{options}</select>'
    return [section(title, chart(names[0], title, tall=full), kind="full" if full else "", aside=choice)]


def _sampling_note(result: BacktestResult) -> str:
    size, most = result.trades.height, charts.MOST_TRADE_POINTS
    if size <= most:
        return ""
    return (
        f"<p class='note'>{count(most)} of {count(size)} trades are drawn, evenly spaced in the order of their end.</p>"
    )


def _span(result: BacktestResult) -> str:
    sessions = result.daily_returns["session"]
    if sessions.is_empty():
        return "No session was traded."
    symbols = result.facts.get("symbols")
    universe = f", {count(symbols)} symbol{'s' if symbols != 1 else ''}" if symbols is not None else ""
    days = f"{count(sessions.len())} session{'s' if sessions.len() != 1 else ''}"
    return f"{sessions[0]} to {sessions[-1]}, {days}{universe}"
