"""Every code block of the guides runs as a reader would type it; see `code_blocks` for what a block may be."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from code_blocks import LANGUAGES, Block, blocks_of, read
from parity.environments import PEERS

from ml4t_backtest.cli import main
from ml4t_backtest.config import config_from_mapping
from ml4t_backtest.config.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
PAGES = sorted(DOCS.rglob("*.md"))
THEIRS = [(guide, block) for guide in GUIDES for block in read(guide) if block.engine]
# A comment ends a command, and a backslash carries it on.
_COMMANDS = re.compile(r"^(?:\$ )?(ml4t-backtest|make)\b *((?:\\\n|[^#\n])*)", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_the_blocks_of_a_guide_run_one_after_the_other_and_print_what_it_says(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {"__name__": f"guide_{guide.stem}"}
    printed, theirs = None, False
    for block in read(guide):
        if block.file:
            (tmp_path / block.file).write_text(block.body, encoding="utf-8")
        elif block.language == "python" and not block.engine:
            exec(compile(block.body, f"{guide.name}:{block.line}", "exec", dont_inherit=True), session)
            printed = capsys.readouterr().out
        elif block.engine:
            theirs = True
        elif block.language == "text":
            assert theirs or printed == block.body, f"{guide.name}:{block.line}"
            printed, theirs = None, False


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_every_block_of_a_guide_is_of_a_kind_that_is_tested(guide: Path) -> None:
    found = read(guide)
    assert any(block.language == "python" for block in found)
    assert {block.language for block in found} <= set(LANGUAGES)
    # Whoever reads a page must not be able to type what nothing has run.
    assert len(found) * 2 == len(re.findall(r"^ *```", guide.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_the_yaml_of_a_guide_is_part_of_a_configuration(guide: Path, tmp_path: Path) -> None:
    rest = {"data": {"dataset": "us_tech_daily"}, "strategy": {"path": "mine.py:Mine"}}
    for block in read(guide):
        if block.language != "yaml":
            continue
        data = parse_yaml(block.body, guide.name, tmp_path).data
        # A data set stands in a file of its own, or inside a configuration.
        said = {"data": {"source": data}} if "prices" in data else data
        assert config_from_mapping({**rest, **said}, name="guide", folder=tmp_path).name == "guide"


def commands_of(block: Block) -> list[tuple[str, list[str]]]:
    return [(name, shlex.split(rest.replace("\\\n", " "))) for name, rest in _COMMANDS.findall(block.body)]


def refusal_of(words: list[str]) -> str:
    """Return why the command line does not take these words, or nothing. It runs nothing."""
    command = main.commands.get(words[0]) if words else None
    if command is None:
        return f"no command {words[:1]}"
    try:
        command.make_context(words[0], list(words[1:]))
    except click.exceptions.Exit:  # --help
        return ""
    except click.ClickException as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("guide", GUIDES, ids=name_of)
def test_every_command_of_a_guide_exists_with_its_options(guide: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for block in read(guide):
        for name, words in commands_of(block) if block.language == "sh" else ():
            if name == "make":
                assert words[0] in targets, f"{guide.name}:{block.line}"
            else:
                assert refusal_of(words) == "", f"{guide.name}:{block.line} ml4t-backtest {' '.join(words)}"


def test_a_command_that_is_not_there_is_noticed() -> None:
    (block,) = blocks_of("```sh\nml4t-backtest run mine --twise  # twice\nml4t-backtest rnu mine\n```\n")
    refused = [refusal_of(words) for _, words in commands_of(block)]
    assert refused[0].startswith("No such option: --twise") or "--twise" in refused[0]
    assert refused[1] == "no command ['rnu']"


@pytest.mark.parametrize(("guide", "block"), THEIRS, ids=lambda each: name_of(each) if isinstance(each, Path) else "")
def test_the_code_of_another_engine_is_python(guide: Path, block: Block) -> None:
    compile(block.body, f"{guide.name}:{block.line}", "exec", dont_inherit=True)


@pytest.mark.long
@pytest.mark.parametrize("guide", sorted({guide for guide, _ in THEIRS}), ids=name_of)
def test_the_code_of_another_engine_prints_there_what_the_guide_says(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = read(guide)
    session: dict[str, Any] = {"__name__": "ours"}
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.file:
            (tmp_path / block.file).write_text(block.body, encoding="utf-8")
        elif block.language == "python" and not block.engine:
            # The files that both read are made by our own blocks.
            exec(compile(block.body, f"{guide.name}:{block.line}", "exec", dont_inherit=True), session)
        if not block.engine:
            continue
        python = PEERS[block.engine].folder / "bin" / "python"
        if not python.exists():
            pytest.skip(f"{block.engine} is not here: make parity makes its environment")
        ran = subprocess.run(
            [python, "-W", "ignore", "-c", block.body], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert after is not None
        assert after.language == "text"
        assert ran.stdout == after.body, f"{guide.name}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {anchor_of(heading) for heading in headings}, anchor


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
