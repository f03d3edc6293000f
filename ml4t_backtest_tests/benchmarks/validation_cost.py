"""What each level of validation costs, as a ratio to Polars merely decoding the same columns.

    python ml4t_backtest_tests/benchmarks/validation_cost.py [--symbols 50] [--sessions 21] [--data FOLDER]

Bars are made and written once to FOLDER (a temporary one by default), with a share of them missing at random if
`--missing` says so. Each way runs in a process of its own, so that its peak memory is its own, and in turns with the
others, so that whatever else the machine does is shared by all; the figures are medians. The issue's size is
`--symbols 250 --sessions 252` (24.5 million rows).

Decoding is measured in two ways, batch by batch and file by file; the ratios are to the quicker one. Seconds of the
processor are those of all threads, in user and system mode. Left out is what is made once, whatever the data: the rules
of the schema. The calendar of the exchange is loaded within the pass.
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

import numpy as np
import polars as pl

from ml4t_backtest.core.columns import every_rule_holds
from ml4t_backtest.core.schemas import asset_data_schema
from ml4t_backtest.data.checked_bars import check_bars
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.quick_check import QuickCheck
from ml4t_backtest.data.synthetic import random_bars

DECODING = ("batches", "files")
LEVELS = ("fast", "standard", "paranoid")
WAYS = (*DECODING, *LEVELS)
AT_ONCE = 250_000
_SCHEMA = asset_data_schema(("prediction",), ())


def write_bars(folder: Path, symbols: int, sessions: int, missing: float = 0.0) -> None:
    """Write one file per month, unless the folder has files already."""
    if any(folder.glob("*.parquet")):
        return
    bars = random_bars(symbols, sessions, minutes=True)
    kept = np.random.default_rng(0).random(bars.height) >= missing
    months = bars.filter(kept).group_by(pl.col("timestamp").dt.strftime("%Y-%m"), maintain_order=True)
    for (month,), part in months:
        part.write_parquet(folder / f"{month}.parquet", compression="zstd")


def measure(way: str, folder: Path) -> dict[str, float]:
    """Return seconds by the wall, seconds of all threads and the peak resident megabytes of one pass."""
    files = sorted(folder.glob("*.parquet"))
    run = _ways(files)[way]
    # What is made once, whatever the data, belongs to nobody's row.
    QuickCheck(_SCHEMA)
    pl.scan_parquet(files).head(1).select(every_rule_holds(_SCHEMA)).collect()
    wall, processor = time.perf_counter(), time.process_time()
    run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor, "peak_mb": peak / 1024}


def _ways(files: list[Path]) -> dict[str, Callable[[], object]]:
    rows = pl.scan_parquet(files).select(list(_SCHEMA.columns))
    decoding = {"batches": partial(_decode_batches, rows), "files": partial(_decode_files, files)}
    return {**decoding, **{level: partial(_check, rows, level) for level in LEVELS}}


def _decode_batches(rows: pl.LazyFrame) -> None:
    for _ in rows.collect_batches(engine="streaming"):
        pass


def _decode_files(files: list[Path]) -> None:
    for file in files:
        pl.scan_parquet(file).select(list(_SCHEMA.columns)).collect(engine="in-memory")


def _check(rows: pl.LazyFrame, level: str) -> None:
    inspector = Inspector.at_level(level, "XNYS", accept=["DQ-GAP"])  # type: ignore[arg-type]
    check_bars(rows, _SCHEMA, file=None, at_once=AT_ONCE, inspector=inspector)


def ratios(folder: Path, repeats: int) -> pl.DataFrame:
    """Return the medians of some passes of each way, and how many times the quicker decoding they are."""
    passes = [_in_own_process(way, folder) for _ in range(repeats) for way in WAYS]
    medians = (
        pl.DataFrame(passes)
        .group_by("way", maintain_order=True)
        .agg(pl.col("wall", "cpu").median(), pl.col("peak_mb").max())
    )
    floor = medians.filter(pl.col("way").is_in(DECODING)).select("wall", "cpu").min()
    return medians.with_columns(
        cpu_ratio=pl.col("cpu") / floor["cpu"].item(), wall_ratio=pl.col("wall") / floor["wall"].item()
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
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--way", choices=WAYS)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(measure(asked.way, asked.data)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.data or Path(temporary)
        write_bars(folder, asked.symbols, asked.sessions, asked.missing)
        with pl.Config(tbl_rows=-1, float_precision=2):
            print(ratios(folder, asked.repeats))


if __name__ == "__main__":
    main()
