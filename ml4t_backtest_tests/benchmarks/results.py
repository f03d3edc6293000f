"""What was measured, kept piece by piece, so that a report can be written of runs that were made apart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(os.environ.get("ML4T_BENCHMARK_RESULTS", Path(__file__).parents[2] / ".benchmarks" / "results"))
_PACKAGES = ("ml4t-backtest-pipeline", "polars", "numpy", "pyarrow")


def keep(piece: str, measured: dict[str, Any]) -> None:
    """Write what was measured in a piece, with the machine and the moment; an earlier run of it is replaced."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"{piece}.json"
    target.write_text(json.dumps({"piece": piece, **circumstances(), **measured}, indent=1), encoding="utf-8")


def kept(kind: str) -> Iterator[dict[str, Any]]:
    """Yield the pieces of a kind (`peers`, `scalability`, ...) in the order of their names."""
    for file in sorted(RESULTS.glob(f"{kind}-*.json")):
        yield json.loads(file.read_text(encoding="utf-8"))


def timed(piece: str) -> list[dict[str, Any]]:
    """Return what pytest-benchmark wrote for a piece, each benchmark with its circumstances; nothing without a file."""
    file = RESULTS / f"{piece}.json"
    if not file.exists():
        return []
    found = json.loads(file.read_text(encoding="utf-8"))
    return [{**each, **found["circumstances"]} for each in found["benchmarks"]]


def circumstances() -> dict[str, Any]:
    """Return on what, with what and when something is measured."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "load_average": round(os.getloadavg()[0], 1),
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
