"""Writers that are killed: by the clock, and at the n-th thing they ask of the system.

A process that has everything imported forks a writer for each line it reads, so that a start costs milliseconds. A
writer prepares a data set, runs a strategy over it and writes the result; its number decides on every value, so that
a reader can tell whose rows it reads, and whether they are all of one writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from nursery import Nursery

from ml4t_backtest import BacktestError, read_result
from ml4t_backtest.data.prepared import read_prepared
from ml4t_backtest.data.store.storage import current_version, read_manifest

SYMBOLS, SESSIONS = 20, 21
_CODE = """
import os, signal, sys, time
from datetime import date
import polars as pl
from ml4t_backtest import BacktestEngine, DataPreparer, PolarsDataFeed
from ml4t_backtest.data.calendar import calendar_names
from ml4t_backtest.data.prepared import read_prepared
from ml4t_backtest.reporting import identities, metrics, parquet
from ml4t_backtest.strategy.library import TopNByPrediction

calendar_names()  # imports what is imported late; Polars itself must not run before a fork

EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree", "os.listdir", "os.utime")
DAYS = [day for day in range(2, 32) if date(2024, 1, day).weekday() < 5 and day != 15]

def work(root, number):
    symbols = [f"S{n:02d}" for n in range(%(symbols)d)]
    rows = [(date(2024, 1, day), s, 100.0 + number + day + n) for day in DAYS for n, s in enumerate(symbols)]
    bars = pl.DataFrame(rows, schema=["timestamp", "symbol", "close"], orient="row").with_columns(
        open=pl.col("close"), high=pl.col("close") + 1, low=pl.col("close") - 1, volume=1000.0 + number
    )
    signals = bars.select("timestamp", "symbol", p=pl.col("close"))
    context = pl.DataFrame({"timestamp": [date(2024, 1, day) for day in DAYS], "vix": [10.0 + number] * len(DAYS)})
    preparer = DataPreparer().add_prices(bars, bar_label="session").add_signals(signals, valid_from="market_close")
    preparer.add_context(context, available_at="market_close")
    preparer.validate_and_save(f"{root}/bars", f"{root}/slices")
    feed = PolarsDataFeed(f"{root}/bars", f"{root}/slices", signal_columns=["p"], context_columns=["vix"])
    result = BacktestEngine(feed, TopNByPrediction("p"), initial_capital=1e6 + number).run()
    result.write(f"{root}/run")

def writer(root, number, after):
    asked = 0
    def count(event, arguments):
        nonlocal asked
        # Imports are no moments of writing.
        if event in EVENTS and any(str(each).startswith(root) for each in arguments[:2]):
            asked += 1
            if asked == after:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    work(root, number)
    with open(f"{root}/asked", "w") as file:
        file.write(str(asked))
    os._exit(0)

def waited(child, until):
    # The number of a child is its own until it is waited for.
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

for line in sys.stdin:
    root, number, after, seconds = line.rsplit(" ", 3)
    child = os.fork()
    if child == 0:
        writer(root, int(number), int(after))
    status = waited(child, time.monotonic() + float(seconds))
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


class Writers(Nursery):
    """Starts writers, one after the other, and kills them."""

    def __init__(self) -> None:
        super().__init__(_CODE % {"symbols": SYMBOLS})

    def write(self, root: Path, number: int, *, after: int = 0, seconds: float = 60.0) -> bool:
        """Let a writer of a number work, and return whether it came to its end.

        Args:
            root: Where it writes.
            number: What it writes.
            after: It is killed at its so many-th question to the system; 0 for never.
            seconds: It is killed after so long.
        """
        return self._ended(f"{root} {number} {after} {seconds}")


@dataclass(frozen=True)
class Seen:
    """What a reader sees: the number of a writer, or None where nothing can be read.

    Attributes:
        prepared: Whose bars and context.
        result: Whose result.
        hashes: Content hashes of bars, context and result.
    """

    prepared: int | None
    result: int | None
    hashes: tuple[str, ...]


def read(root: Path) -> Seen:
    """Read what is there as a user does; rows that are not all of one writer, or not all there, fail."""
    return Seen(_read_prepared(root), _read_result(root), _hashes(root))


def _read_prepared(root: Path) -> int | None:
    try:
        found = read_prepared(root / "bars", root / "slices")
    except BacktestError:
        return None
    bars, slices = found.asset_data, found.context_data
    numbers = {*(bars["volume"] - 1_000.0), *(slices["vix"] - 10.0)}
    assert len(numbers) == 1, numbers
    assert (bars.height, slices.height) == (SYMBOLS * SESSIONS, SESSIONS)
    assert bars.select((pl.col("p") == pl.col("close")).all()).item()
    return int(numbers.pop())


def _read_result(root: Path) -> int | None:
    try:
        result = read_result(root / "run")
    except BacktestError:
        return None
    assert result.portfolio_states.height == SESSIONS
    assert result.trades.height > 0
    number = int(result.initial_capital - 1e6)
    assert (result.portfolio_states["vix"] == 10.0 + number).all()
    return number


def _hashes(root: Path) -> tuple[str, ...]:
    found = []
    for name in ("bars", "slices", "run"):
        try:
            found.append(read_manifest(current_version(root, name)).content_hash)
        except BacktestError:
            found.append("nothing")
    return tuple(found)
