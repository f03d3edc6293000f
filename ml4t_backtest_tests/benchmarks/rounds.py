"""Rounds of a benchmark, with the seconds of all threads: a busy machine disturbs them less than those by the wall."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

from pytest_benchmark.fixture import BenchmarkFixture

Made = TypeVar("Made")


def measured(benchmark: BenchmarkFixture, run: Callable[[], Made], rounds: int = 5) -> Made:
    """Run once to get warm and then some rounds; keep the median of the seconds of all threads as `cpu`."""
    spent = []

    def watched() -> Made:
        begun = time.process_time()
        made = run()
        spent.append(time.process_time() - begun)
        return made

    made = benchmark.pedantic(watched, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info["cpu"] = median(spent[1:] or spent)
    return made
