"""docs/concepts/records.md: its columns are those of the schemas, its examples what the engine does, by hand."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.reporting.result import TABLES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "concepts" / "records.md").read_text(encoding="utf-8")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_records", DOCS / "make_records.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_records = _load()


def columns(name: str, *wanted: str) -> list[tuple[Any, ...]]:
    make, _ = make_records.EXAMPLES[name]
    return make().trades.select(wanted).rows()


def test_the_page_is_up_to_date() -> None:
    assert make_records.rewritten(PAGE) == PAGE, "run python -m docs.make_records"


def test_a_page_that_says_something_else_is_not_up_to_date() -> None:
    wrong = PAGE.replace("`pnl_net` | Float64", "`pnl_net` | Int64")
    assert wrong != PAGE
    assert make_records.rewritten(wrong) == PAGE


def test_every_table_of_a_result_has_its_columns_on_the_page() -> None:
    assert set(result_schemas()) == set(TABLES)
    for name, schema in result_schemas().items():
        block = PAGE.split(f"<!-- begin: columns of {name} -->")[1].split("<!-- end")[0]
        assert re.findall(r"^\| `(\w+)` \|", block, re.MULTILINE) == list(schema.columns)


@pytest.mark.parametrize("name", result_schemas())
def test_a_column_says_when_it_is_null_if_it_can_be_and_in_what_unit_it_is(name: str) -> None:
    for column, rule in result_schemas()[name].columns.items():
        assert bool(rule.metadata["null_when"]) == rule.nullable, column
        assert rule.metadata["unit"] or rule.dtype.type != pl.Float64, column


@pytest.mark.parametrize("link", re.findall(r"\]\(([\w.]+\.md)(?:#[\w-]+)?\)", PAGE))
def test_each_link_of_the_page_leads_somewhere(link: str) -> None:
    assert (DOCS / "concepts" / link).exists()


@pytest.mark.parametrize("page", ["event_order.md", "fill_prices.md", "accounts.md"])
def test_links_to_the_page_lead_to_its_headings(page: str) -> None:
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ ([\w ]+)", PAGE, re.MULTILINE)}
    found = re.findall(r"records\.md#([\w-]+)", (DOCS / "concepts" / page).read_text(encoding="utf-8"))
    assert found
    assert set(found) <= headings


def test_partial_exits_share_the_costs_of_the_entry() -> None:
    # Filled at 101, 108.90 and 89.10; commission 0.1 % of 1,010, 435.60 and 534.60; slippage 1, 1.10 and 0.90 a share.
    first = 0.4 * (1.01 + 10) + 0.4356 + 4.4
    last = 0.6 * (1.01 + 10) + 0.5346 + 5.4
    rows = columns("partial exits", "pnl_gross", "total_cost", "pnl_net")
    assert rows == [pytest.approx((40, first, 40 - first)), pytest.approx((-60, last, -60 - last))]


def test_scale_ins_leave_at_the_average() -> None:
    average = (10 * 101 + 30 * 121.2) / 40
    entry = 0.001 * (1_010 + 3_636) + 10 * 1 + 30 * 1.2
    # 20 at 130 x 0.99 and 20 at 110 x 0.99; the raw average is 115.
    first = entry / 2 + 0.001 * 20 * 128.7 + 20 * 1.3
    last = entry / 2 + 0.001 * 20 * 108.9 + 20 * 1.1
    rows = columns("scale-in", "entry_price", "pnl_gross", "total_cost")
    assert rows == [pytest.approx((average, 300, first)), pytest.approx((average, -100, last))]


def test_a_flip_is_one_fill_whose_costs_are_split_by_shares() -> None:
    make, _ = make_records.EXAMPLES["flip"]
    fills = make().fills
    assert fills["quantity"].to_list() == [10.0, 25.0, 15.0]
    assert fills.row(1, named=True)["commission"] == pytest.approx(25 * 108.9 * 0.001)
    closing, opening = columns("flip", "side", "exit_commission", "exit_slippage", "entry_commission", "entry_slippage")
    assert closing == ("long", *(pytest.approx(value) for value in (1.089, 11, 1.01, 10)))
    # 15 covered at 104 x 1.01 = 105.04, 1.04 a share.
    expected = (15 * 105.04 * 0.001, 15 * 1.04, 15 * 108.9 * 0.001, 15 * 1.1)
    assert opening == ("short", *(pytest.approx(value) for value in expected))
    # Short from 110 to 104, raw.
    assert columns("flip", "position_id", "pnl_gross") == [(1, pytest.approx(100)), (2, pytest.approx(15 * 6))]


def test_excursions_are_of_the_bars_that_were_lived_through() -> None:
    # The last bar counts with its open only: 112 and 95 are the extremes, of an entry at 100.
    ((best, worst, gained, lost),) = columns("excursions", *make_records.EXAMPLES["excursions"][1])
    assert (best, worst, gained, lost) == pytest.approx((0.12, -0.05, 120, -50))


def test_the_ambiguous_trade_shows_both_ends() -> None:
    entry = 10 + 10 * 101 * 0.001
    stop = 10 * (95 - 100) - entry - 10 * 0.95 - 10 * 94.05 * 0.001
    target = 10 * (105 - 100) - entry - 10 * 105 * 0.001
    ((reason, is_ambiguous, *results),) = columns("ambiguous", *make_records.EXAMPLES["ambiguous"][1])
    assert (reason, is_ambiguous) == ("stop_loss", True)
    assert results == pytest.approx([stop, stop, target])
