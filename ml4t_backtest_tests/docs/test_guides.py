"""The guides' snippets run, one after the other, as a reader would type them; their YAML is a configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ml4t_backtest.config import config_from_mapping
from ml4t_backtest.config.yaml_text import parse_yaml

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
PAGES = sorted(DOCS.rglob("*.md"))


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


def snippets(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_the_snippets_of_a_guide_run_one_after_the_other(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {"__name__": f"guide_{guide.stem}"}
    found = snippets(guide, "python")
    assert found
    for number, code in enumerate(found, start=1):
        exec(compile(code, f"{guide.name}, snippet {number}", "exec", dont_inherit=True), session)


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_the_yaml_of_a_guide_is_part_of_a_configuration(guide: Path, tmp_path: Path) -> None:
    rest = {"data": {"dataset": "us_tech_daily"}, "strategy": {"path": "mine.py:Mine"}}
    for text in snippets(guide, "yaml"):
        data = parse_yaml(text, guide.name, tmp_path).data
        # A data set stands in a file of its own, or inside a configuration.
        said = {"data": {"source": data}} if "prices" in data else data
        assert config_from_mapping({**rest, **said}, name="guide", folder=tmp_path).name == "guide"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)", text):
        target = page.parent / link
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}, anchor
