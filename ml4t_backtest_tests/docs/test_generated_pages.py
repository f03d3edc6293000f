"""The pages that scripts write are those that the scripts would write now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from code_blocks import read

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def _scripts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    # This folder of tests is called docs too, and may have been found first.
    for name in [each for each in sys.modules if each == "docs" or each.startswith("docs.")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_reference_of_the_configuration_is_up_to_date() -> None:
    from docs import make_configuration

    page = make_configuration.PAGE.read_text(encoding="utf-8")
    assert make_configuration.rewritten(page) == page, "run python -m docs.make_configuration"


def test_a_reference_that_says_another_default_is_not_up_to_date() -> None:
    from docs import make_configuration

    page = make_configuration.PAGE.read_text(encoding="utf-8")
    wrong = page.replace("| `initial_capital` | number | `1000000` |", "| `initial_capital` | number | `100000` |")
    assert wrong != page
    assert make_configuration.rewritten(wrong) == page


def test_every_key_has_a_meaning_and_every_model_a_formula() -> None:
    from docs import make_configuration

    for name, body in make_configuration.blocks().items():
        rows = [line.split(" | ") for line in body.splitlines() if line.startswith("| `")]
        assert [row[0] for row in rows if len(row[-1].strip(" |")) < 10] == [], name
        assert all(len(line) > 30 for line in body.splitlines() if line.startswith("**")), name


def test_the_page_of_schemas_is_up_to_date_and_names_the_version() -> None:
    from docs import make_schemas
    from ml4t_backtest.core.schemas import SCHEMA_VERSION

    page = make_schemas.PAGE.read_text(encoding="utf-8")
    assert page == make_schemas.page(), "run python -m docs.make_schemas"
    assert f"**Schema version {SCHEMA_VERSION}.**" in page


@pytest.mark.parametrize("name", ["ml_signal_integration.md", "multi_asset_strategies.md"])
def test_a_long_guide_has_three_thousand_words_beside_its_code(name: str) -> None:
    page = (DOCS / "guides" / name).read_text(encoding="utf-8")
    for block in read(DOCS / "guides" / name):
        page = page.replace(block.body, "")
    assert len(page.split()) >= 3000
