"""`ml4t-backtest check-lookahead`, as a user types it; rows SG020 to SG022 of the list of bad inputs among it."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from lookahead.leaks import CLOSE, NEXT_RETURN
from lookahead.projects import honest_signal, project
from ml4t_backtest import LookaheadReport
from ml4t_backtest.cli import LOOK_AHEAD, USER_ERROR, main

Z_SCORE = (honest_signal() - honest_signal().mean()) / honest_signal().std()
BUILDERS = """
import polars as pl

def trailing(prices):
    moved = pl.col("close") / pl.col("close").shift(3) - 1.0
    return prices.select("timestamp", "symbol", prediction=moved.over("symbol"))

def centred(prices):
    mean = pl.col("close").rolling_mean(5, center=True)
    return prices.select("timestamp", "symbol", prediction=(mean / pl.col("close")).over("symbol"))

def wants_more(prices, news):
    return prices

def breaks(prices):
    raise KeyError("close_adjusted")

def by_luck(prices):
    import random
    return prices.select("timestamp", "symbol", prediction=pl.lit(random.random()))

def nothing(prices):
    return None
"""


def check(path: Path, *options: str) -> Result:
    (path.parent / "builders.py").write_text(BUILDERS, encoding="utf-8")
    return CliRunner().invoke(main, ["check-lookahead", str(path), "--cuts", "2", *options])


def test_nothing_looked_ahead_ends_with_zero(tmp_path: Path) -> None:
    ran = check(project(tmp_path))
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[-1] == "nothing looked ahead"
    assert "signals.prediction" in ran.output


@pytest.mark.parametrize(
    ("row", "signal", "first", "said"),
    [
        ("SG020", NEXT_RETURN, "2020-01-02 21:00", "the return over the next bar"),
        ("SG021", CLOSE.rolling_mean(5, center=True), "2020-01-06 21:00", "later"),
        ("SG022", Z_SCORE, "2020-02-04 21:00", "a mean of 0 and a deviation of 1"),
    ],
)
def test_a_leak_in_the_users_data_is_named_with_its_first_time(
    tmp_path: Path, row: str, signal: pl.Expr, first: str, said: str
) -> None:
    ran = check(project(tmp_path, signal=signal))
    assert ran.exit_code == LOOK_AHEAD == 3, row
    line = next(line for line in ran.output.splitlines() if line.startswith("signals.prediction"))
    assert first in line
    assert "S0000" in line
    assert ran.output.splitlines()[-1].startswith("look-ahead: signals.prediction leaks, first at " + first)
    assert "Traceback" not in ran.output


def test_a_builder_of_signals_is_computed_again(tmp_path: Path) -> None:
    path = project(tmp_path)
    assert check(path, "--signals", "builders.py:trailing").exit_code == 0
    ran = check(path, "--signals", "builders.py:centred")
    assert ran.exit_code == LOOK_AHEAD
    header, line, *_ = ran.output.splitlines()
    assert re.split(r"\s{2,}", header.strip()) == list(LookaheadReport.COLUMNS)
    # The first window of five ends two bars later, so that the third bar is the first with a value.
    assert line.split()[:4] == ["signals.prediction", "2020-01-06", "21:00", "S0000"]
    assert "everything after the cut was" in line


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        ("builders.py:tralling", "'trailing'?"),
        ("builders", "'builders' must be package.module.Class"),
        ("os:system", "E-CF-IMPORT module 'os' is not allowed"),
        ("../builders.py:trailing", "E-CF-IMPORT file '../builders.py' is outside"),
        ("builders.py:wants_more", "takes prices, news; there is no news, only"),
        ("builders.py:breaks", "the pipeline raised KeyError: 'close_adjusted'"),
        ("builders.py:by_luck", "gives different answers to the same data"),
        ("builders.py:nothing", "a pipeline returns a frame, frames by name, or a BacktestResult, got NoneType"),
    ],
)
def test_a_builder_that_cannot_be_used_is_the_users_error(tmp_path: Path, builder: str, said: str) -> None:
    ran = check(project(tmp_path), "--signals", builder)
    assert ran.exit_code == USER_ERROR
    assert said in ran.output
    assert "Traceback" not in ran.output


def test_cuts_below_one_are_the_users_error(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["check-lookahead", str(project(tmp_path)), "--cuts", "0"])
    assert ran.exit_code == USER_ERROR
    assert "cuts must be a whole number from 1" in ran.output
