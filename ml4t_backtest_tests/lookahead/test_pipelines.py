"""Every planted leak is found, and no honest pipeline is accused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lookahead import data
from lookahead.clean import CLEAN
from lookahead.leaks import LEAKS
from ml4t_backtest.lookahead.check import check_lookahead

CUTS = 6


@pytest.mark.parametrize("pipeline", LEAKS, ids=lambda each: each.__name__)
def test_a_planted_leak_is_found(pipeline: Callable[..., Any]) -> None:
    report = check_lookahead(pipeline=pipeline, inputs=data.tables(), cuts=CUTS)
    assert not report.is_clean


@pytest.mark.parametrize("pipeline", CLEAN, ids=lambda each: each.__name__)
def test_an_honest_pipeline_is_not_accused(pipeline: Callable[..., Any]) -> None:
    report = check_lookahead(pipeline=pipeline, inputs=data.tables(), cuts=CUTS)
    assert report.leaks == ()
    assert report.notes == ()
