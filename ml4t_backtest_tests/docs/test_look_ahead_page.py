"""The page on look-ahead: its example prints what it says, and its figures are those of the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from lookahead.clean import CLEAN
from lookahead.leaks import LEAKS
from lookahead.test_delivered import BY_THEMSELVES

from ml4t_backtest.cli import LOOK_AHEAD
from ml4t_backtest.lookahead.cuts import DEFAULT_CUTS
from ml4t_backtest.lookahead.foresight import COMPUTED, REMARKABLE

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "look_ahead.md").read_text(encoding="utf-8")


def test_the_example_prints_what_stands_below_it(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "".join(re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL))


def test_the_page_counts_the_plants() -> None:
    assert f"{len(LEAKS)} pipelines with one planted leak each and {len(CLEAN)} honest ones" in PAGE
    assert f"All {len(LEAKS)} are found, none of the {len(CLEAN)} is accused" in PAGE
    assert f"{len(BY_THEMSELVES)} of the leaks show by themselves" in PAGE
    assert f"{len(LEAKS) - len(BY_THEMSELVES)} of the {len(LEAKS)} planted leaks are found only so" in PAGE


def test_the_page_names_the_thresholds_of_the_code() -> None:
    assert f"{COMPUTED:.0%} or more".replace("%", " %") in PAGE
    assert f"{REMARKABLE:.0%} to {COMPUTED:.0%}".replace("%", " %") in PAGE
    assert f"the default is {DEFAULT_CUTS}" in PAGE
    assert f"{LOOK_AHEAD}: something did" in PAGE
