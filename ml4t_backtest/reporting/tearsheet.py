"""The report of a run: one HTML file that needs no network and looks the same whenever it is made again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from string import Template
from types import MappingProxyType

from ml4t_backtest.reporting import charts, sections
from ml4t_backtest.reporting.benchmark import benchmark_metrics
from ml4t_backtest.reporting.charts import Figure
from ml4t_backtest.reporting.curves import equity_curve
from ml4t_backtest.reporting.formats import Number, count
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.reporting.summary import summary_rows
from ml4t_backtest.reporting.svg import equity_svg

__all__ = ["equity_svg", "render_report", "summary_rows"]

_NOT_RECORDED: Mapping[str, str] = MappingProxyType({})


def render_report(
    result: BacktestResult, *, title: str, benchmark: str | None = None, provenance: Mapping[str, str] = _NOT_RECORDED
) -> str:
    """Return a run as one self-contained HTML page; the same run gives the same bytes.

    Args:
        result: The run.
        title: Heading, plain text.
        benchmark: Context column with a level such as an index, drawn and compared; None for no comparison.
        provenance: What the numbers came from and how to make them again, label to text, shown in this order.

    Raises:
        ConfigError: There is no context column `benchmark`, or it holds no numbers.
    """
    compared = benchmark_metrics(result, benchmark) if benchmark else {}
    # Not imported with the module: the script alone is 5 MB.
    from plotly.offline import get_plotlyjs

    plotly, script = get_plotlyjs(), _packaged("report.js")
    return Template(_packaged("report.html")).substitute(
        policy=_policy(plotly, script),
        title=escape(title),
        style=_packaged("report.css"),
        span=escape(_span(result)),
        cards=sections.cards(result, compared),
        sections="\n".join(_sections(result, benchmark, compared, provenance)),
        figures=_json_for_script(_figures(result, benchmark)),
        plotly=plotly,
        script=script,
    )


def _figures(result: BacktestResult, benchmark: str | None) -> dict[str, Figure]:
    """Return the figures that have something to show, by the name of their place."""
    figures: dict[str, Figure] = {}
    if result.daily_returns.height:
        figures["equity"] = charts.equity_figure(equity_curve(result, benchmark), benchmark)
    if result.trades.height:
        figures["excursions"] = charts.excursion_figure(result)
        figures["holding"] = charts.holding_figure(result)
        figures["symbols"] = charts.symbol_figure(result.trades)
    if result.fills.height:
        figures["costs"] = charts.cost_figure(result)
    return figures


def _sections(
    result: BacktestResult, benchmark: str | None, compared: Mapping[str, Number], provenance: Mapping[str, str]
) -> list[str]:
    """Return the parts of the page in reading order."""
    figures = [_section("Figures", sections.figures_table(result), kind="full")]
    facts = [
        _section("Orders by outcome", sections.orders_table(result)),
        _section("Data notes", sections.notes_list(result)),
        _section("Data quality", sections.quality_table(result), kind="full long"),
        _section("Provenance", sections.provenance_list(provenance), kind="full"),
    ]
    if result.daily_returns.is_empty():
        return [_section("Equity", "<p class='note'>No session was traded.</p>", kind="full"), *figures, *facts]
    return [*_time_sections(result, benchmark, compared), *figures, *_trade_sections(result), *facts]


def _time_sections(result: BacktestResult, benchmark: str | None, compared: Mapping[str, Number]) -> list[str]:
    """Return what happened over time: equity, months, drawdowns, the benchmark beside it."""
    picture = f"<noscript>{equity_svg(result, benchmark=benchmark)}</noscript>"
    button = '<button type="button" data-log="equity" aria-pressed="false">Log scale</button>'
    chart = _chart("equity", "Equity and drawdown over time", tall=True) + picture
    beside = (
        [_section("Against the benchmark", sections.benchmark_table(result, benchmark, compared))] if benchmark else []
    )
    return [
        _section("Equity and drawdown", chart, kind="full", button=button),
        _section("Monthly returns, %", sections.months_table(result), kind="full"),
        *beside,
        _section("Worst drawdowns", sections.drawdowns_table(result), kind="" if beside else "full"),
    ]


def _trade_sections(result: BacktestResult) -> list[str]:
    """Return what the trades did and what they cost."""
    if result.trades.is_empty():
        return [_section("Trades", "<p class='note'>No trades.</p>", kind="full")]
    sampled = _sampling_note(result)
    symbols, gross_to_net = _chart("symbols", "Net P&L by symbol", own_height=True), sections.costs_table(result)
    lists = (
        f"<h3>Largest gains</h3>{sections.trades_table(result, best=True)}"
        f"<h3>Largest losses</h3>{sections.trades_table(result, best=False)}"
    )
    return [
        _section("Best against worst moment (MFE, MAE)", _chart("excursions", "MFE against MAE") + sampled),
        _section("Return by holding period", _chart("holding", "Net return against holding period") + sampled),
        _section("Profit and loss", f"<h3>Net, by symbol</h3>{symbols}<h3>From gross to net</h3>{gross_to_net}"),
        _section("Commission and slippage so far", _chart("costs", "Commission and slippage so far")),
        _section("Best and worst trades", lists, kind="full long"),
    ]


def _sampling_note(result: BacktestResult) -> str:
    size, most = result.trades.height, charts.MOST_TRADE_POINTS
    if size <= most:
        return ""
    return (
        f"<p class='note'>{count(most)} of {count(size)} trades are drawn, evenly spaced in the order of their end.</p>"
    )


def _section(title: str, body: str, *, kind: str = "", button: str = "") -> str:
    heading = f"<h2>{escape(title)}</h2>"
    if button:
        heading = f'<div class="heading">{heading}{button}</div>'
    return f'<section class="{kind}">{heading}{body}</section>'


def _chart(name: str, meaning: str, *, tall: bool = False, own_height: bool = False) -> str:
    """Return the place where the script draws a figure."""
    kind = " tall" if tall else " own" if own_height else ""
    return f'<div class="chart{kind}" data-figure="{name}" role="img" aria-label="{escape(meaning)}"></div>'


def _span(result: BacktestResult) -> str:
    sessions = result.daily_returns["session"]
    if sessions.is_empty():
        return "No session was traded."
    symbols = result.facts.get("symbols")
    universe = f", {count(symbols)} symbol{'s' if symbols != 1 else ''}" if symbols is not None else ""
    days = f"{count(sessions.len())} session{'s' if sessions.len() != 1 else ''}"
    return f"{sessions[0]} to {sessions[-1]}, {days}{universe}"


def _json_for_script(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """Return a content security policy: nothing is fetched, and only the scripts of the page itself run."""
    hashes = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'" for script in scripts
    )
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def _packaged(name: str) -> str:
    return resources.files("ml4t_backtest.reporting").joinpath(name).read_text(encoding="utf-8")
