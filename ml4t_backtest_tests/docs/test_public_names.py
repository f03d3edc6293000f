"""Every public name is documented, with an example that runs as a doctest, and stands in the reference."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import ml4t_backtest

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
PACKAGE = sorted(Path(ml4t_backtest.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("name", ml4t_backtest.__all__)
def test_a_public_name_has_a_docstring_with_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(ml4t_backtest, name)) or "")


def test_the_reference_lists_the_public_names_and_no_others() -> None:
    listed = re.findall(r"^\.\. auto\w+:: ml4t_backtest\.(\w+)$", REFERENCE, re.MULTILINE)
    assert sorted(listed) == sorted(ml4t_backtest.__all__)


def test_every_page_that_a_docstring_names_is_there() -> None:
    named = {page for file in PACKAGE for page in re.findall(r"docs/[\w/]+\.md", file.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert [page for page in sorted(named) if not (DOCS.parent / page).exists()] == []
