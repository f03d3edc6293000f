"""The whole suite, piece by piece, each in a process of its own and each kept: `make bench`, `make bench-peers`.

`--only` picks pieces, `--missing` leaves out what is kept already, `--minutes` starts nothing more after that time, so
that a long suite can be run in parts. At the end the pages are written of all that is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.engines import HERE, ROOT, TESTS
from benchmarks.results import RESULTS
from benchmarks.tasks import RATE_TASKS


@dataclass(frozen=True)
class Piece:
    """A part that is run and kept on its own.

    Attributes:
        name: As asked for with `--only`.
        command: What is run, after the interpreter.
        files: What it keeps.
    """

    name: str
    command: tuple[str, ...]
    files: tuple[Path, ...]

    @property
    def is_kept(self) -> bool:
        """Whether all of it was run before."""
        return all(file.exists() for file in self.files)


OURS = ("event_loop", "strategies", "scalability", "memory")
_BOTH = "ours,ours-symbol"
# Work, tasks, who is compared, whole processes of each.
PEERS: tuple[tuple[str, tuple[str, ...], str, str, int], ...] = (
    ("W2", (*RATE_TASKS, "hold"), _BOTH, "vectorbt", 1),
    ("W2", RATE_TASKS, "ours", "vectorbt-records", 0),
    ("W2", (*RATE_TASKS, "hold"), _BOTH, "ml4t", 1),
    ("W2", RATE_TASKS, _BOTH, "polarbt", 0),
    ("W2", RATE_TASKS, _BOTH, "backtrader", 0),
    ("W2", RATE_TASKS, _BOTH, "zipline", 0),
    ("W2", RATE_TASKS, _BOTH, "backtesting", 0),
    ("W1", ("0.01", "top25"), _BOTH, "vectorbt", 1),
    ("W1", ("0.01",), "ours", "vectorbt-records", 0),
    ("W1", ("brackets",), _BOTH, "vectorbt-brackets", 0),
    ("W1", ("0.01", "top25"), _BOTH, "ml4t", 0),
    ("W1", ("0.01",), _BOTH, "polarbt", 0),
    ("W1", ("0.01",), _BOTH, "backtrader", 0),
    ("W1", ("0.01",), _BOTH, "zipline", 0),
    ("S", ("0.01",), _BOTH, "backtrader", 0),
    ("S", ("0.01",), _BOTH, "backtesting", 0),
    ("S", ("0.01",), _BOTH, "vectorbt", 0),
    ("W3", ("0",), "ours", "decode", 1),
    ("W3", RATE_TASKS, "ours", "vectorbt", 1),
    ("W3", RATE_TASKS, "ours", "vectorbt-records", 0),
    ("W3", ("0.01",), _BOTH, "polarbt", 1),
    ("W3", ("0.01",), _BOTH, "ml4t", 1),
)


def pieces(size: str, *, peers: bool, rounds: int) -> Iterator[Piece]:
    """Yield the pieces of our own benchmarks, or those of the comparison."""
    if not peers:
        for name in OURS:
            file = RESULTS / f"{name}-{size}.json"
            yield Piece(name, tuple(_pytest(HERE / f"benchmark_{name}.py", file)), (file,))
        return
    for work, tasks, ours, other, whole in PEERS:
        words = ("--work", work, "--size", size, "--orders", *tasks, "--engines", f"{ours},{other}")
        numbers = ("--rounds", str(rounds), "--whole", str(whole))
        files = tuple(RESULTS / f"peers-{size}-{work}-{task}-{other}.json" for task in tasks)
        yield Piece(f"{work}-{other}", ("-m", "benchmarks.peers", *words, *numbers), files)


def _pytest(module: Path, file: Path) -> list[str]:
    # The project's own options disable benchmarks and collect doctests.
    options = ["-q", "-o", "addopts=", "-o", "python_files=benchmark_*.py", "-p", "no:cacheprovider"]
    shown = ["--benchmark-columns=median,iqr,rounds", "--benchmark-group-by=group"]
    return ["-m", "pytest", str(module), *options, *shown, f"--benchmark-json={file}"]


def run(piece: Piece, size: str) -> bool:
    """Run a piece and return whether it went well."""
    print(f"\n=== {piece.name}, load average {os.getloadavg()[0]:.1f}", flush=True)
    begun = time.monotonic()
    path = os.pathsep.join((str(ROOT), str(TESTS)))
    variables = {**os.environ, "PYTHONPATH": path, "ML4T_BENCHMARK_SIZE": size}
    done = subprocess.run([sys.executable, *piece.command], env=variables, cwd=ROOT)
    print(f"=== {piece.name}: {time.monotonic() - begun:.0f} s, exit code {done.returncode}", flush=True)
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, write the pages, and return 1 when a piece failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("quick", "full"), default="quick")
    parser.add_argument("--peers", action="store_true", help="the comparison instead of our own benchmarks")
    parser.add_argument("--only", nargs="+", default=[], help="pieces, such as strategies or W2-vectorbt")
    parser.add_argument("--missing", action="store_true", help="leave out what is kept already")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no piece after this time")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each engine in the comparison")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the pages")
    asked = parser.parse_args(arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    begun, failed = time.monotonic(), []
    for piece in pieces(asked.size, peers=asked.peers, rounds=asked.rounds):
        if (asked.only and piece.name not in asked.only) or (asked.missing and piece.is_kept):
            continue
        if time.monotonic() - begun > asked.minutes * 60.0:
            print(f"left out for lack of time: {piece.name}")
        elif not run(piece, asked.size):
            failed.append(piece.name)
    report.main(["--size", asked.size, "--into", str(asked.into)])
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
