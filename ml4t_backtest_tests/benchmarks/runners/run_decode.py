"""The floor: Polars merely decodes the columns that our feed reads, file by file. No orders, no equity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from benchmarks.serve import serve

from ml4t_backtest.core.schemas import asset_data_schema


def load(asked: dict[str, Any]) -> list[Path]:
    """Return the files."""
    return sorted(Path(asked["bars"]).glob("*.parquet"))


def run(files: list[Path], asked: dict[str, Any]) -> dict[str, Any]:
    """Decode each file, and let it go."""
    columns = list(asset_data_schema(("p",), ()).columns)
    for file in files:
        pl.read_parquet(file, columns=columns)
    return {"equity": None, "fills": None}


if __name__ == "__main__":
    serve(pl.__version__, load, run)
