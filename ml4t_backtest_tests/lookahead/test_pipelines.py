"""Every planted leak is found by living other futures, and no honest pipeline is accused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from lookahead.clean import CLEAN
from lookahead.data import tables
from lookahead.leaks import LEAKS
from ml4t_backtest import LookaheadReport, check_lookahead

Pipeline = Callable[..., pl.DataFrame]
CUTS = 6
# What these make does not depend on the data, and the check says so.
INDIFFERENT = {
    "constant",
    "weekday",
    "season_as_a_wave",
    "bars_to_the_end_of_the_month",
    "noise_with_a_seed",
    "days_since_the_last_dividend",
}


def checked(pipeline: Pipeline, **options: Any) -> LookaheadReport:
    """Check a pipeline on the tables that it takes."""
    taken = {name: tables()[name] for name in inspect.signature(pipeline).parameters}
    return check_lookahead(pipeline=pipeline, inputs=taken, **{"cuts": CUTS, **options})


def test_there_are_as_many_plants_as_were_promised() -> None:
    assert len(LEAKS) >= 40
    assert len(CLEAN) >= 40
    assert len({each.__name__ for each in (*LEAKS, *CLEAN)}) == len(LEAKS) + len(CLEAN)


@pytest.mark.parametrize("pipeline", LEAKS, ids=lambda each: each.__name__)
def test_a_planted_leak_is_found(pipeline: Pipeline) -> None:
    report = checked(pipeline)
    found = [leak for leak in report.leaks if leak.stage == "pipeline"]
    assert found
    assert {leak.column for leak in found} <= {"signal", "(row)"}
    assert all(leak.before != leak.after and leak.cut is not None for leak in found)


@pytest.mark.parametrize("pipeline", CLEAN, ids=lambda each: each.__name__)
def test_an_honest_pipeline_is_not_accused(pipeline: Pipeline) -> None:
    report = checked(pipeline)
    assert report.leaks == ()
    assert [("exchanged for noise" in note) for note in report.notes] == [True] * (pipeline.__name__ in INDIFFERENT)
