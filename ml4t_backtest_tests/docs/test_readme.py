"""The README's code runs and prints what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_code_block_prints_what_stands_below_it(tmp_path: Path) -> None:
    code, printed = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.DOTALL)[0]
    script = tmp_path / "readme.py"
    script.write_text(code, encoding="utf-8")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == printed


@pytest.mark.parametrize("target", re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
def test_each_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_each_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_command_of_the_readme_is_known() -> None:
    commands = set(re.findall(r"ml4t-backtest ([a-z]+)", README))
    known = subprocess.run(
        [sys.executable, "-m", "ml4t_backtest.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert commands <= set(re.findall(r"^  ([a-z]+)", known, re.MULTILINE))


def test_each_thing_the_table_says_this_has_leads_to_what_shows_it() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| ") and line.count("|") == 8]
    own = [line.split("|")[-2].strip() for line in rows[1:]]
    assert len(own) >= 12
    assert [cell for cell in own if cell != "○" and not re.fullmatch(r"\[[●◐]\]\([^)]+\)", cell)] == []
