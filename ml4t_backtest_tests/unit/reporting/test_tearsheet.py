"""The report is one file without network, without surprises from names, and its numbers are those of the result."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

from ml4t_backtest.core import schemas
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.reporting import charts, curves
from ml4t_backtest.reporting.benchmark import benchmark_metrics
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.reporting.sections import cards
from ml4t_backtest.reporting.tearsheet import equity_svg, render_report, summary_rows

EVIL = "</script><script>alert(1)</script>"
FIRST = date(2024, 1, 2)


class Page(HTMLParser):
    """Collects what a browser would find in a page: elements, addresses, scripts and shown text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.cells: list[str] = []
        self._path: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._path.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._path and self._path.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._path and self._path[-1] == "script":
            self.scripts[-1] += data
        elif data.strip():
            self.cells.append(data.strip())

    @property
    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0], parse_constant=_refuse)
        return found


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON number")


def stamp(day: int) -> datetime:
    return datetime(FIRST.year, FIRST.month, FIRST.day, 21, tzinfo=UTC) + timedelta(days=day)


def frame(name: str, rows: Sequence[dict[str, Any]], **more: Any) -> pl.DataFrame:
    """A table of a result in which columns that are not given are 0, null or the first allowed word."""
    schema = schemas.result_schemas()[name]
    filled = [{**{key: _default(column) for key, column in schema.columns.items()}, **row} for row in rows]
    types = {key: column.dtype.type for key, column in schema.columns.items()}
    return pl.DataFrame([{key: row[key] for key in types} for row in filled], schema=types).with_columns(
        **{key: pl.Series(values) for key, values in more.items()}
    )


def _default(column: Any) -> Any:
    dtype = column.dtype.type
    if column.nullable:
        return None
    if isinstance(dtype, pl.Enum):
        return dtype.categories[0]
    if isinstance(dtype, pl.Datetime):
        return stamp(0)
    return "A" if dtype == pl.String else False if dtype == pl.Boolean else 0


def result_of(
    equity: Sequence[float], pnl: Sequence[float] = (), *, symbols: Sequence[str] = ("A",), **context: Sequence[Any]
) -> BacktestResult:
    """A result with one session per equity value, and one closed trade with one fill per P&L value."""
    before = [100.0, *equity][: len(equity)]
    states = [
        {"timestamp": stamp(i), "equity": e, "cash": e, "daily_return": e / b - 1.0 if b > 0.0 else None}
        for i, (e, b) in enumerate(zip(equity, before, strict=True))
    ]
    daily = [{**state, "session": FIRST + timedelta(days=i)} for i, state in enumerate(states)]
    trades = [
        {
            "trade_id": i + 1,
            "position_id": i + 1,
            "symbol": symbols[i % len(symbols)],
            "status": "closed",
            "exit_timestamp": stamp(0),
            "exit_reason": "signal",
            "pnl_net": value,
            "pnl_percent": value / 100.0,
            "entry_quantity": 1.0,
        }
        for i, value in enumerate(pnl)
    ]
    fills = [{"fill_id": i + 1, "quantity": 1.0, "price": 10.0, "commission": 0.5} for i in range(len(pnl))]
    return BacktestResult(
        trades=frame("trades", trades, decision_prediction=[0.25] * len(trades)),
        fills=frame("fills", fills),
        orders=frame("orders", [{"order_id": i + 1, "status": "filled"} for i in range(len(pnl))]),
        cash_flows=frame("cash_flows", []),
        portfolio_states=frame("portfolio_states", states, **context),
        daily_returns=frame("daily_returns", daily, **context),
        initial_capital=100.0,
        facts={"rows_checked": 12_345, "slices": len(equity), "symbols": len(symbols), "notes": []},
    )


USUAL = result_of([100.0, 110.0, 99.0, 121.0], [11.0, -5.0, 2.0], index=[50.0, 55.0, 60.0, 45.0])


def test_every_figure_shown_is_the_one_of_the_result() -> None:
    shown = dict(summary_rows(USUAL))
    metrics = USUAL.metrics
    assert shown["Total return"] == "21.00 %"
    assert shown["Max drawdown"] == "-10.00 %"  # 110 to 99
    assert shown["Trades"] == "3"
    assert shown["Hit rate"] == "66.67 %"
    assert shown["Profit factor"] == "2.60"  # 13 / 5
    assert shown["Sharpe ratio"] == f"{metrics['sharpe_ratio']:.2f}"
    assert shown["Commission"] == "1.50"
    assert shown["Rows checked"] == "12,345"
    cells = Page(render_report(USUAL, title="x")).cells
    for label, text in summary_rows(USUAL):
        assert cells[cells.index(label, cells.index("Figures")) + 1] == text


def test_an_undefined_figure_reads_na_and_a_note_is_a_row() -> None:
    quiet = replace(result_of([100.0]), facts={"notes": ["two gaps"]})
    shown = dict(summary_rows(quiet))
    assert shown["Hit rate"] == shown["Sharpe ratio"] == shown["Rows checked"] == "n/a"
    assert shown["Note"] == "two gaps"


def test_the_same_result_gives_the_same_bytes() -> None:
    again = replace(USUAL, trades=USUAL.trades.clone())
    arguments: dict[str, Any] = {"title": "x", "benchmark": "index", "provenance": {"config": "c.yaml"}}
    assert render_report(USUAL, **arguments) == render_report(again, **arguments)
    assert equity_svg(USUAL) == equity_svg(again)


def test_the_page_asks_for_nothing_from_outside() -> None:
    html = render_report(USUAL, title="x", benchmark="index")
    page = Page(html)
    assert page.addresses == ["data:,"]
    assert not {"iframe", "img", "object", "embed", "base"} & set(page.tags)
    assert "@import" not in html[: html.index("</style>")]
    assert "url(" not in html[: html.index("</style>")]
    assert "default-src 'none'" in html
    assert len(html.encode()) < 6_000_000


def test_a_symbol_that_is_a_script_stays_a_word() -> None:
    result = result_of([100.0, 106.0], [11.0, -5.0], symbols=(EVIL, "<b>x</b>"))
    result = replace(
        result,
        orders=frame("orders", [{"order_id": 1, "status": "rejected", "reason": EVIL, "detail": EVIL}]),
        trades=result.trades.with_columns(pl.lit(1.0).alias(f"decision_{EVIL}")),
        facts={"notes": [EVIL]},
    )
    html = render_report(result, title=EVIL, provenance={EVIL: EVIL})
    page = Page(html)
    assert len(page.scripts) == 3
    assert page.tags.count("script") == 3
    assert EVIL not in html
    assert "<" not in page.scripts[0]
    assert EVIL in page.cells
    names = page.figures["symbols"]["layout"]["yaxis"]["ticktext"]
    assert "&lt;b&gt;x&lt;/b&gt;" in names
    assert not any("<" in name for name in names)


def test_a_benchmark_that_is_a_script_stays_a_word_in_page_and_picture() -> None:
    result = result_of([100.0, 106.0], [6.0])
    daily = result.daily_returns.with_columns(pl.Series(EVIL, [1.0, 2.0]))
    result = replace(result, daily_returns=daily)
    page = Page(render_report(result, title="x", benchmark=EVIL))
    assert len(page.scripts) == 3
    assert EVIL[:10] in "".join(ET.fromstring(equity_svg(result, benchmark=EVIL)).itertext())


def test_only_the_scripts_of_the_page_may_run() -> None:
    html = render_report(USUAL, title="x")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].count("'sha256-") == 2
    assert "script-src 'unsafe" not in policy[1]


def test_every_chart_has_its_place_and_every_place_its_chart() -> None:
    result = result_of([100.0, 110.0, 99.0, 121.0], [11.0, -5.0, 2.0])
    fills = result.fills.with_columns(symbol=pl.Series(["A", "B", "A"]))
    result = replace(result, fills=fills, trades=result.trades.with_columns(decision_score=pl.Series([0.1, 0.2, 0.3])))
    html = render_report(result, title="x")
    shown, to_choose = re.findall(r'data-figure="([\w:]+)"', html), re.findall(r'<option value="([^"]+)"', html)
    assert to_choose == ["known:score", "price:A", "price:B"]
    assert {*shown, *to_choose} == set(Page(html).figures)


def test_the_equity_chart_holds_equity_drawdown_and_the_rebased_benchmark() -> None:
    equity, index, drawdown = Page(render_report(USUAL, title="x", benchmark="index")).figures["equity"]["data"]
    assert equity["y"] == [100.0, 110.0, 99.0, 121.0]
    assert drawdown["y"] == [0.0, 0.0, -0.1, 0.0]
    assert index["y"] == [100.0, 110.0, 120.0, 90.0]  # 50 is the initial capital of 100
    assert equity["x"] == ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"]


def test_the_benchmark_has_figures_by_the_same_formulas() -> None:
    figures = benchmark_metrics(USUAL, "index")
    assert figures["total_return"] == pytest.approx(-0.1)  # 50 to 45
    assert figures["max_drawdown"] == pytest.approx(-0.25)  # 60 to 45


@pytest.mark.parametrize("values", [[None] * 4, [math.nan] * 4, [0.0] * 4])
def test_a_benchmark_without_values_is_said_to_have_none(values: list[Any]) -> None:
    result = result_of([100.0, 110.0, 99.0, 121.0], [11.0], index=values)
    page = Page(render_report(result, title="x", benchmark="index"))
    assert "The benchmark index has no values in this span." in page.cells
    assert [line["name"] for line in page.figures["equity"]["data"]] == ["Equity", "Drawdown"]
    ET.fromstring(equity_svg(result, benchmark="index"))


def test_a_benchmark_that_starts_late_is_null_before() -> None:
    result = result_of([100.0, 110.0, 99.0], index=[None, 20.0, 30.0])
    assert curves.equity_curve(result, "index").benchmark == [None, 100.0, 150.0]


def test_an_unknown_benchmark_is_refused_with_the_columns_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'spx' is no column of the states; there are .*'index'"):
        render_report(USUAL, title="x", benchmark="spx")


@pytest.mark.parametrize("equity", [[], [100.0], [100.0, 101.0], [100.0, 0.0, 0.0], [100.0, -5.0]])
def test_a_run_without_trades_is_shown(equity: list[float]) -> None:
    result = result_of(equity)
    page = Page(render_report(result, title="quiet"))
    assert set(page.figures) == ({"equity", "exposure", "distribution"} if equity else set())
    assert ("No trades." in page.cells) == bool(equity)
    ET.fromstring(equity_svg(result))


def test_one_session_of_minutes_is_drawn_minute_by_minute() -> None:
    result = result_of([101.0], [1.0])
    minutes = [
        {"timestamp": stamp(0) - timedelta(minutes=60 - i), "equity": 100.0 + i / 60.0, "cash": 0.0}
        for i in range(1, 61)
    ]
    result = replace(result, portfolio_states=frame("portfolio_states", minutes))
    curve = curves.equity_curve(result)
    assert len(curve.labels) == 60
    assert (curve.labels[0], curve.labels[-1]) == ("2024-01-02 20:01", "2024-01-02 21:00")
    assert "20:30" in "".join(ET.fromstring(equity_svg(result)).itertext())


def test_of_ten_thousand_trades_two_thousand_are_drawn_and_the_page_says_so() -> None:
    result = result_of([100.0, 200.0], [math.sin(i) for i in range(10_000)])
    html = render_report(result, title="many")
    page = Page(html)
    assert "2,000 of 10,000 trades are drawn, evenly spaced in the order of their end." in page.cells
    assert sum(len(trace["x"]) for trace in page.figures["excursions"]["data"]) == 2_000
    assert sum(page.figures["symbols"]["data"][0]["x"]) == pytest.approx(math.fsum(result.trades["pnl_net"]), rel=1e-6)
    assert len(html.encode()) < 6_000_000


def test_beyond_twenty_symbols_the_smaller_ones_are_one_bar() -> None:
    result = result_of([100.0], [float(i) for i in range(1, 41)], symbols=[f"S{i:02}" for i in range(40)])
    bar = charts.symbol_figure(result.trades)["data"][0]
    assert len(bar["x"]) == 21
    # S00 to S19 gained 1 to 20; they stand at the foot, the largest on top.
    assert (bar["customdata"][0], bar["x"][0]) == ("20 others", 210.0)
    assert (bar["customdata"][-1], bar["x"][-1]) == ("S39", 40.0)


def test_costs_add_up_to_the_commission_of_the_result() -> None:
    commission, slippage = charts.cost_figure(USUAL)["data"]
    assert commission["y"] == [1.5]
    assert slippage["y"] == [0.0]


def test_the_best_and_worst_trades_are_listed_with_what_was_known() -> None:
    cells = Page(render_report(USUAL, title="x")).cells
    gains = cells[cells.index("Largest gains") : cells.index("Largest losses")]
    losses = cells[cells.index("Largest losses") :]
    assert gains.index("11.00") < gains.index("2.00")
    assert "-5.00" not in gains
    assert "-5.00" in losses
    assert "0.25" in gains
    assert "prediction" in "".join(gains)


def test_a_trade_still_open_is_listed_without_an_exit() -> None:
    result = result_of([100.0], [3.0])
    opened = result.trades.with_columns(
        status=pl.lit("open", dtype=result.trades.schema["status"]),
        exit_timestamp=pl.lit(None, dtype=result.trades.schema["exit_timestamp"]),
    )
    cells = Page(render_report(replace(result, trades=opened), title="x")).cells
    assert cells[cells.index("still open") - 1] == "n/a"


def test_the_worst_drawdown_is_that_of_the_metrics() -> None:
    # From 100 down 10 %, back; from 120 down 25 %, never back.
    result = result_of([90.0, 100.0, 120.0, 96.0, 90.0, 100.0])
    first, second = curves.worst_drawdowns(result)
    assert first.depth == result.metrics["max_drawdown"] == -0.25
    assert (first.peak, first.trough, first.recovered) == (date(2024, 1, 4), date(2024, 1, 6), None)
    assert first.sessions == 3
    assert (second.peak, second.trough, second.recovered) == (None, FIRST, date(2024, 1, 3))
    assert second.sessions == 2


def test_monthly_returns_multiply_to_the_return_of_the_year() -> None:
    result = result_of([100.0 + i for i in range(60)])  # from 2 January to 1 March 2024
    ((year, row),) = curves.monthly_returns(result).items()
    assert year == 2024
    assert row[:4] == [pytest.approx(0.29), pytest.approx(158 / 129 - 1), pytest.approx(159 / 158 - 1), None]
    assert row[12] == pytest.approx(0.59)


def test_thinning_keeps_the_ends_and_the_extremes() -> None:
    values = [math.sin(i / 50) for i in range(10_000)]
    values[6_543] = -7.0
    kept = curves.thinned(values, 500)
    assert len(kept) <= 500
    assert kept == sorted(kept)
    assert {0, 9_999, 6_543, values.index(max(values))} <= set(kept)


def test_the_picture_is_well_formed_and_small_for_a_hundred_thousand_sessions() -> None:
    result = result_of([100.0 + math.sin(i / 999) for i in range(100_000)])
    svg = equity_svg(result)
    assert ET.fromstring(svg).get("viewBox") == "0 0 720 260"
    assert len(svg) < 60_000
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_the_picture_says_equity_and_drawdown_in_words() -> None:
    (title,) = (each for each in ET.fromstring(equity_svg(USUAL)) if each.tag.endswith("title"))
    assert title.text == "Equity 121.00 (21.00 %), max drawdown -10.00 %"


def test_plotly_is_not_imported_before_a_report_is_made() -> None:
    code = "import sys, ml4t_backtest.reporting.tearsheet; sys.exit('plotly' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plotly_objects_are_never_imported() -> None:
    code = (
        "import sys; from plotly.offline import get_plotlyjs; get_plotlyjs();"
        "sys.exit('plotly.graph_objects' in sys.modules or 'pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_line_of_a_card_begins_with_a_percent_sign() -> None:
    shown = cards(USUAL, {"total_return": 0.05})
    assert "<strong>21.00&nbsp;%</strong><small>benchmark 5.00&nbsp;%</small>" in shown
    assert " %" not in shown
