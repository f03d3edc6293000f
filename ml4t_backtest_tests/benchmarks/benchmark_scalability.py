"""How time and memory grow: with symbols, with months of minutes, with the length of a bar.

One thing changes at a time, at 1 % orders, in batch mode, read from disk chunk by chunk. Each point is a process of its
own: its memory is what it held when it had loaded and run once; its time is that of the warm runs after it.
"""

from __future__ import annotations

import os
from datetime import date
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.engines import ENGINES
from benchmarks.tasks import task_of
from benchmarks.works import Work, made

FULL = os.environ.get("ML4T_BENCHMARK_SIZE") == "full"
TASK = "0.01"
_FIRST, _MONTH = date(2022, 1, 3), 21


def _work(symbols: int, sessions: int, minutes: int = 0) -> Work:
    return Work("growth", symbols, _FIRST, sessions, minutes, streamed=True)


SERIES: dict[str, list[tuple[str, Work]]] = {
    "symbols": [(f"{each}", _work(each, 500 if FULL else 100)) for each in (10, 30, 100, 300, 1_000)],
    "months": [(f"{each}", _work(50 if FULL else 10, each * _MONTH, 1)) for each in (1, 3, 6, 12, 24)],
    "bars": [
        ("daily", _work(50, 500)),
        ("hourly", _work(50, 72, 60)),
        ("minute", _work(50, 1 if not FULL else 2, 1)),
    ],
}
POINTS = [(series, name, work) for series, points in SERIES.items() for name, work in points]


@pytest.mark.parametrize(("series", "point", "work"), POINTS, ids=[f"{series}-{name}" for series, name, _ in POINTS])
@pytest.mark.benchmark(group="growth")
def test_growth(benchmark: BenchmarkFixture, series: str, point: str, work: Work) -> None:
    facts, engine = made(work), ENGINES["ours"]
    task = task_of(TASK, facts)
    with engine.start() as process:
        idle, opened = process.peak_mb, engine.load(process, work)
        answers = [engine.run(process, work, task)]
        peak = process.peak_mb
        benchmark.pedantic(lambda: answers.append(engine.run(process, work, task)), rounds=5)
    stored = sum(file.stat().st_size for file in work.bars.glob("*.parquet"))
    size = {"symbols": work.symbols, "slices": facts.slices, "rows": facts.rows, "stored_mb": stored / 2**20}
    memory = {"idle_mb": idle, "peak_mb": peak, "records_mb": answers[0]["records_mb"], "fills": answers[0]["fills"]}
    spent = {"cpu": median(answer["cpu"] for answer in answers[1:]), "opening_cpu": opened["cpu"]}
    benchmark.extra_info |= {"series": series, "point": point, **size, **memory, **spent}
