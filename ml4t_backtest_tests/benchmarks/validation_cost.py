"""What each level of validation costs, as a ratio to Polars merely decoding the same columns.

    python ml4t_backtest_tests/benchmarks/validation_cost.py [--symbols 50] [--sessions 21] [--data FOLDER]

Bars are made and written once to FOLDER (a temporary one by default); each way runs in a process of its own, in turns,
so that its peak memory is its own. The issue's size is `--symbols 250 --sessions 252` (24.5 million rows).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from ml4t_backtest.core.columns import every_rule_holds
from ml4t_backtest.core.schemas import asset_data_schema
from ml4t_backtest.data.checked_bars import check_bars
from ml4t_backtest.data.inspector import Inspector
from ml4t_backtest.data.quick_check import QuickCheck
from ml4t_backtest.data.synthetic import random_bars

WAYS = ("decode", "fast", "standard", "paranoid")
AT_ONCE = 250_000
_SCHEMA = asset_data_schema(("prediction",), ())


def write_bars(folder: Path, symbols: int, sessions: int) -> None:
    """Write one file per month, unless the folder has files already."""
    if any(folder.glob("*.parquet")):
        return
    bars = random_bars(symbols, sessions, minutes=True)
    for (month,), part in bars.group_by(pl.col("timestamp").dt.strftime("%Y-%m"), maintain_order=True):
        part.write_parquet(folder / f"{month}.parquet", compression="zstd")


def measure(way: str, folder: Path) -> dict[str, float]:
    """Return seconds by the wall, seconds of all threads and the peak resident megabytes of one pass."""
    rows = pl.scan_parquet(sorted(folder.glob("*.parquet"))).select(list(_SCHEMA.columns))
    run = _ways(rows)[way]
    # What is made once, whatever the data, belongs to nobody's row.
    QuickCheck(_SCHEMA)
    rows.head(1).select(every_rule_holds(_SCHEMA)).collect()
    wall, processor = time.perf_counter(), time.process_time()
    run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor, "peak_mb": peak / 1024}


def _ways(rows: pl.LazyFrame) -> dict[str, Callable[[], object]]:
    check = partial(check_bars, rows, _SCHEMA, file=None, at_once=AT_ONCE)
    levels = {level: partial(check, inspector=Inspector.at_level(level, "XNYS")) for level in WAYS[1:]}  # type: ignore[arg-type]
    return {"decode": partial(_decode, rows), **levels}


def _decode(rows: pl.LazyFrame) -> None:
    height = rows.select(pl.len()).collect().item()
    for first in range(0, height, AT_ONCE):
        rows.slice(first, AT_ONCE).collect(engine="in-memory")


def ratios(folder: Path, repeats: int) -> pl.DataFrame:
    """Return the best of some passes of each way, and how many times decoding it is."""
    passes = [_in_own_process(way, folder) for _ in range(repeats) for way in WAYS]
    best = (
        pl.DataFrame(passes)
        .group_by("way", maintain_order=True)
        .agg(pl.col("wall", "cpu").min(), pl.col("peak_mb").max())
    )
    return best.with_columns(
        wall_ratio=pl.col("wall") / pl.col("wall").first(), cpu_ratio=pl.col("cpu") / pl.col("cpu").first()
    )


def _in_own_process(way: str, folder: Path) -> dict[str, str | float]:
    command = [sys.executable, __file__, "--way", way, "--data", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"way": way, **json.loads(done.stdout)}


def main() -> None:
    """Print the table, or the figures of one way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--sessions", type=int, default=21)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(measure(asked.way, asked.data)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.data or Path(temporary)
        write_bars(folder, asked.symbols, asked.sessions)
        with pl.Config(tbl_rows=-1, float_precision=2):
            print(ratios(folder, asked.repeats))


if __name__ == "__main__":
    main()
