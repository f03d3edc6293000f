"""docs/concepts/metrics.md speaks of every figure, and of none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from ml4t_backtest import run_backtest

PAGE = Path(__file__).parents[2] / "docs/concepts/metrics.md"


def test_every_figure_of_a_result_is_explained_once() -> None:
    first_cells = [line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    explained = [name for cell in first_cells if "function" not in cell for name in re.findall(r"`(\w+)`", cell)]
    of_benchmarks = {"beta", "alpha", "tracking_error", "information_ratio"}
    assert sorted(explained) == sorted({*run_backtest("simple_ml_strategy").metrics, *of_benchmarks})
