"""What of a run is pinned, and the text file that holds it.

Ids, symbols, sides, types, quantities, statuses, reasons and times of all orders go into one hash: they are decisions,
and the same on every platform. Statistics are floating-point numbers, the same to the bit only under the same versions
on the same platform; they are written with 12 significant digits and compared within 1e-11.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from ml4t_backtest import BacktestResult

FILE = Path(__file__).with_name("golden.csv")
COMMAND = "python -m golden.regenerate (from ml4t_backtest_tests)"
ORDER = ("order_id", "symbol", "side", "order_type", "status", "reason")
SHARES = ("quantity", "filled_quantity")
MOMENTS = ("decision_timestamp", "last_timestamp")
METRICS = ("total_return", "annual_volatility", "sharpe_ratio", "sortino_ratio", "max_drawdown", "exposure")
METRICS += ("hit_rate", "profit_factor", "expectancy", "average_holding_bars", "turnover")
METRICS += ("total_commission", "total_slippage")
Fingerprint = dict[str, str]


def fingerprint(result: BacktestResult) -> Fingerprint:
    """Return the hash of the orders and 20 statistics, as they are written."""
    statistics: dict[str, float | int | None] = {
        "orders": result.orders.height,
        "rejected": result.rejected_orders.height,
        "fills": result.fills.height,
        "trades": result.trades.height,
        "ambiguous": int(result.trades["ambiguous_bar"].sum()),
        "final_equity": result.portfolio_states["equity"][-1],
        "cash_flows": math.fsum(result.cash_flows["amount"]),
        **{name: result.metrics[name] for name in METRICS},
    }
    return {"order_hash": _hash(result.orders), **{name: _written(value) for name, value in statistics.items()}}


def differences(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return what differs between two fingerprints, in words."""
    names = [*wanted, *(name for name in found if name not in wanted)]
    pairs = ((name, wanted.get(name, "nothing"), found.get(name, "nothing")) for name in names)
    return [f"{name}: pinned {one}, now {other}" for name, one, other in pairs if not _alike(one, other)]


def read() -> dict[str, Fingerprint]:
    """Return the pinned fingerprints by name of run."""
    with FILE.open(newline="", encoding="utf-8") as lines:
        return {row.pop("run"): row for row in csv.DictReader(lines)}


def write(found: Mapping[str, Fingerprint]) -> None:
    """Pin fingerprints."""
    columns = ["run", *next(iter(found.values()))]
    with FILE.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.DictWriter(lines, columns, lineterminator="\n")
        rows.writeheader()
        rows.writerows({"run": name, **values} for name, values in found.items())


def _hash(orders: pl.DataFrame) -> str:
    rows = orders.select(
        *(pl.col(name).cast(pl.String) for name in ORDER),
        *(pl.col(name).map_elements(_written, return_dtype=pl.String) for name in SHARES),
        *(pl.col(name).dt.epoch("us").cast(pl.String) for name in MOMENTS),
    )
    text = "\n".join(",".join(value or "" for value in row) for row in rows.iter_rows())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _written(value: float | int | None) -> str:
    return "" if value is None else f"{value:.12g}"


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-11)
    except ValueError:
        return False
