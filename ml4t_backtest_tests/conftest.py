"""After every run of an engine in this suite, its books are checked, twice.

Once by the package's own identities, and once by replaying the run from its prices and fills: see `identities.py`
and `replay.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from itertools import count
from typing import Any

import identities
import pytest
from replay import World

from ml4t_backtest.engine import BacktestEngine
from ml4t_backtest.reporting.identities import check_identities
from ml4t_backtest.reporting.result import BacktestResult


@pytest.fixture(autouse=True)
def _every_run_is_checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    build, walk = BacktestEngine.__init__, BacktestEngine.run
    runs = count()
    arguments: dict[int, dict[str, Any]] = {}

    @wraps(build)
    def remember(engine: BacktestEngine, feed: Any, strategy: Any, **options: Any) -> None:
        build(engine, feed, strategy, **options)
        # The engine is kept, so that its id is not given to another one.
        arguments[id(engine)] = {"engine": engine, "feed": feed, **options}

    def run_and_check(engine: BacktestEngine) -> BacktestResult:
        result = walk(engine)
        check_identities(result)
        # pandera takes a tenth of a second per run: of a test with hundreds of runs it sees some.
        often = next(runs)
        identities.check(result, World.of(**arguments[id(engine)]), by_schema=often < 5 or often % 10 == 0)
        return result

    monkeypatch.setattr(BacktestEngine, "__init__", remember)
    monkeypatch.setattr(BacktestEngine, "run", run_and_check)
    yield
    arguments.clear()
