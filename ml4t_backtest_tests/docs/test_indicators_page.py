"""The page about indicators says what the declarations say."""

from __future__ import annotations

from pathlib import Path

from ml4t_backtest.data.indicator_page import indicators_page

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "indicators.md"


def test_the_page_is_the_one_the_declarations_give() -> None:
    remedy = "python -m ml4t_backtest.data.indicator_page > docs/concepts/indicators.md"
    assert PAGE.read_text(encoding="utf-8") == indicators_page(), remedy
