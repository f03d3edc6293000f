"""A frame of bars held in memory, as a measured process: what its symbols and its columns cost."""

from __future__ import annotations

from typing import Any

import polars as pl
from benchmarks.serve import serve


def load(asked: dict[str, Any]) -> pl.DataFrame:
    """Read the columns that were asked for, file by file, with symbols of the type that was asked for."""
    bars = pl.scan_parquet(asked["file"]).select(asked["columns"] or pl.all())
    if asked["symbols"] == "enum":
        names = bars.select(pl.col("symbol").unique()).collect().to_series().sort()
        bars = bars.with_columns(pl.col("symbol").cast(pl.Enum(names)))
    return bars.collect()


def run(bars: pl.DataFrame, asked: dict[str, Any]) -> dict[str, Any]:
    """Walk through the slices as the feed does, sorted by (timestamp, symbol); tell how large the frame is."""
    ordered = bars.sort("timestamp", "symbol")
    sizes = ordered.group_by("timestamp", maintain_order=True).len()["len"].to_list()
    return {"equity": None, "fills": None, "frame_mb": buffers_mb(bars), "slices": len(sizes)}


def buffers_mb(bars: pl.DataFrame) -> float:
    """Return the size of the buffers; `estimated_size` leaves out the 16 bytes that each text takes beside it."""
    newest = pl.CompatLevel.newest()
    return sum(column.to_arrow(compat_level=newest).nbytes for column in bars.iter_columns()) / 2**20


if __name__ == "__main__":
    serve(pl.__version__, load, run)
