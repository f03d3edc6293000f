"""Our engine beside others, on the same data, the same orders and the same fills.

`PYTHONPATH=ml4t_backtest_tests python -m benchmarks.peers --work W2 --orders 0.01 --engines ours,vectorbt`

Every engine is a process of its own that loads once, runs once to get warm, and then runs in turns with ours. The
clock of a run goes from loaded data to final equity and fills. Equity must agree to the cent and fills in number; where
a peer fills elsewhere, ours follows its rules (`engines.py`) in that comparison.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from benchmarks.engines import ENGINES, Engine
from benchmarks.results import keep
from benchmarks.side_by_side import compare, disagreements, table
from benchmarks.tasks import RATE_TASKS, TASKS
from benchmarks.works import SIZES


def matches(engines: Sequence[Engine]) -> Iterator[list[Engine]]:
    """Yield who is compared with whom: ours, in each mode that was named, with each peer."""
    ours = [engine for engine in engines if engine.is_ours and engine.name != "decode"]
    others = [engine for engine in engines if engine not in ours]
    if not (ours and others):
        yield list(engines)
    for other in others if ours else ():
        yield [*(each.under(other.profile) for each in ours), other]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep, and return 1 when engines disagree or one cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=sorted(SIZES["full"]), default="W2")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    tasks = f"order rates and other tasks, of {' '.join(TASKS)}; top25 and brackets are tapes of our orders for peers"
    parser.add_argument("--orders", "--tasks", nargs="+", choices=TASKS, default=RATE_TASKS, help=tasks)
    parser.add_argument("--engines", default="ours,ours-symbol,vectorbt", help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", type=int, default=0, help="whole processes to measure as well, with their memory")
    asked = parser.parse_args(arguments)
    work = SIZES[asked.size][asked.work]
    wrong = False
    for engines in matches([ENGINES[name] for name in asked.engines.split(",")]):
        try:
            for engine in engines:
                engine.make()
        except (RuntimeError, OSError) as error:
            print(f"SKIPPED: {error}")
            wrong = True
            continue
        for task, found in compare(work, asked.orders, engines, rounds=asked.rounds, whole=asked.whole):
            title = f"{work.name} {asked.size}, {task.told}, {engines[-1].rule}"
            print(f"\n{title}: {found[0].rows:,} bars, {found[0].fills} fills, load average {os.getloadavg()[0]:.1f}")
            print("\n".join(table(found)), flush=True)
            complaints = disagreements(found)
            for sentence in complaints:
                print(f"DIFFERS: {sentence}")
            wrong = wrong or bool(complaints)
            facts = {"work": work.name, "size": asked.size, "task": task.name, "differs": complaints}
            piece = f"peers-{asked.size}-{work.name}-{task.name}-{engines[-1].name}"
            keep(piece, {**facts, "measurements": [each.as_json() for each in found]})
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
