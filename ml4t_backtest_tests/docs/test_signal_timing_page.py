"""docs/concepts/signal_timing.md: diagrams are drawn from runs, tables are cases, snippets print what it says."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ml4t_backtest.config import config_from_mapping
from ml4t_backtest.config.yaml_text import parse_yaml

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "concepts" / "signal_timing.md").read_text(encoding="utf-8")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_signal_timing", DOCS / "make_signal_timing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make_signal_timing = _load()
OUTCOMES = ("known", "in UTC", "shown on the bar to", "decided", "filled")


@dataclass(frozen=True)
class Row:
    """One row of a table: what is given, and what comes of it."""

    line: int
    cells: dict[str, str]
    options: dict[str, str]

    @property
    def case(self) -> Any:
        return make_signal_timing.case_of(self.cells, self.options)


def rows(page: str = PAGE) -> list[Row]:
    """Return the rows of the tables that follow `<!-- timing: option=value ... -->`."""
    found: list[Row] = []
    options: dict[str, str] | None = None
    header: list[str] = []
    for number, line in enumerate(page.splitlines(), start=1):
        if comment := re.fullmatch(r"<!-- timing:(.*)-->", line):
            options, header = dict(word.split("=") for word in comment.group(1).split()), []
        elif options is not None and line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not header:
                header = cells
            elif set(line) - set("|- "):
                found.append(Row(number, dict(zip(header, cells, strict=True)), options))
        elif not line.startswith("|"):
            options = None if header else options
    return found


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.line} {row.cells['a row about']} {row.cells['known by']}")
def test_what_comes_of_a_row_is_what_the_table_says(row: Row) -> None:
    lived = make_signal_timing.lived_row(row.case)
    said = {name: row.cells[name] for name in OUTCOMES if name in row.cells}
    assert said
    assert {name: lived[name] for name in said} == said


def test_the_tables_are_found_and_cover_every_rule_and_both_decisions() -> None:
    assert len(ROWS) == 38
    rules = {row.cells["known by"].split()[0] for row in ROWS}
    assert rules == {"market_open", "market_close", "next_day", "available_at"}
    assert {row.case.decide_at for row in ROWS} == {"close", "next_open"}
    assert {row.case.bars for row in ROWS} == {"1d", "1m"}
    assert {row.case.calendar for row in ROWS} == {"XNYS", "XLON", "CMES", "24/7", "XTKS"}


def test_a_table_that_is_wrong_is_noticed() -> None:
    right = "| Wed 2024-01-10 | market_close | close | Wed 10 Jan 16:00 |"
    assert right in PAGE
    wrong = rows(PAGE.replace(right, right.replace("16:00", "16:01")))
    (changed,) = (row for row, before in zip(wrong, ROWS, strict=True) if row != before)
    assert make_signal_timing.lived_row(changed.case)["known"] != changed.cells["known"]


def test_known_is_never_after_decided_nor_decided_after_filled() -> None:
    for row in ROWS:
        moments = make_signal_timing.lived(row.case)
        assert moments.known <= moments.decided <= moments.filled
        assert moments.shown <= moments.decided


def test_the_diagrams_are_up_to_date() -> None:
    assert make_signal_timing.rewritten(PAGE) == PAGE, "run python -m docs.make_signal_timing"


def test_a_diagram_that_says_something_else_is_not_up_to_date() -> None:
    wrong = PAGE.replace("● 13:00", "● 16:00")
    assert wrong != PAGE
    assert make_signal_timing.rewritten(wrong) == PAGE


def test_the_snippets_print_what_stands_below_them(capsys: pytest.CaptureFixture[str]) -> None:
    session: dict[str, Any] = {"__name__": "signal_timing"}
    pairs = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(pairs) == PAGE.count("```python") == 3
    for code, printed in pairs:
        exec(compile(code, "signal_timing.md", "exec", dont_inherit=True), session)
        assert capsys.readouterr().out == printed


def test_the_yaml_is_part_of_a_configuration(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    data = parse_yaml(text, "signal_timing.md", tmp_path).data
    mapping = {"data": {"source": data}, "strategy": {"path": "mine.py:Mine"}}
    (signals,) = config_from_mapping(mapping, name="page", folder=tmp_path).dataset.signals
    assert (signals.available_at, signals.latency, signals.max_age) == ("market_close", "15m", "5d")
