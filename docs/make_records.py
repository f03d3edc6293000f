"""Writes the tables of docs/concepts/records.md: columns from the schemas, examples from runs of the engine.

`python -m docs.make_records` brings the page up to date; a test holds that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl

from docs.generated_blocks import with_blocks
from ml4t_backtest import (
    BacktestEngine,
    BacktestResult,
    PercentageCommission,
    PercentageSlippage,
    PolarsDataFeed,
    Strategy,
)
from ml4t_backtest.core.record_schemas import ORDER_REASONS, result_schemas
from ml4t_backtest.execution.accounts import MarginAccount

PAGE = Path(__file__).parent / "concepts" / "records.md"
DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9)]
Plan = Mapping[int, Callable[[Strategy], object]]
Bar = tuple[float, float, float, float] | float
Rows = list[dict[str, Any]]

_MONEY = ("trade_id", "position_id", "side", "status")
_TRADE = (*_MONEY, "entry_price", "entry_quantity", "exit_price", "pnl_gross", "total_cost", "pnl_net")
_COSTS = (*_MONEY, "entry_quantity", "entry_commission", "entry_slippage", "exit_commission", "exit_slippage")
_EXCURSIONS = ("max_favorable_pct", "max_adverse_pct", "max_favorable_excursion", "max_adverse_excursion")
_ENDS = ("exit_reason", "ambiguous_bar", "pnl_net", "pnl_net_pessimistic", "pnl_net_optimistic")


class Follow(Strategy):
    """Does at its i-th slice what `plan[i]` says."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._slice = -1

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
        """Act."""
        self._slice += 1
        self._plan.get(self._slice, lambda strategy: None)(self)


def run(bars: Sequence[Bar], plan: Plan, **engine: Any) -> BacktestResult:
    """Trade one symbol with 10,000 in a margin account, 1 % slippage and 0.1 % commission."""
    ohlc = [bar if isinstance(bar, tuple) else (bar,) * 4 for bar in bars]
    prices = pl.DataFrame(ohlc, schema=dict.fromkeys(("open", "high", "low", "close"), pl.Float64), orient="row")
    frame = prices.with_columns(timestamp=pl.Series(DAYS[: len(bars)]), symbol=pl.lit("A"), volume=1_000.0)
    options = {
        "initial_capital": 10_000.0,
        "slippage": PercentageSlippage(0.01),
        "commission": PercentageCommission(0.001),
        "account": MarginAccount(),
    }
    return BacktestEngine(PolarsDataFeed(frame, bar_label="session"), Follow(plan), **(options | engine)).run()


def partial_exits() -> BacktestResult:
    """10 bought at 100; 4 sold at 110, 6 at 90."""
    return run(
        [100, 100, 110, 90], {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 4), 2: lambda s: s.sell("A", 6)}
    )


def scale_in() -> BacktestResult:
    """10 bought at 100 and 30 at 120; 20 sold at 130, 20 at 110."""
    return run(
        [100, 100, 120, 130, 110],
        {
            0: lambda s: s.buy("A", 10),
            1: lambda s: s.buy("A", 30),
            2: lambda s: s.sell("A", 20),
            3: lambda s: s.sell("A", 20),
        },
    )


def flip() -> BacktestResult:
    """10 bought at 100; 25 sold at 110 close them and open 15 short; 15 bought back at 104."""
    return run(
        [100, 100, 110, 104], {0: lambda s: s.buy("A", 10), 1: lambda s: s.sell("A", 25), 2: lambda s: s.buy("A", 15)}
    )


def excursions() -> BacktestResult:
    """10 bought at the open of a bar from 95 to 108, held through one from 98 to 112, sold at an open of 103."""
    bars: list[Bar] = [100, (100, 108, 95, 104), (104, 112, 98, 105), (103, 130, 50, 101)]
    return run(bars, {0: lambda s: s.buy("A", 10), 2: lambda s: s.sell("A", 10)})


def ambiguous() -> BacktestResult:
    """10 bought at 100 with a stop at 95 and a target at 105; the next bar goes from 90 to 110."""
    return run([100, 100, (100, 110, 90, 100)], {0: lambda s: s.buy("A", 10, stop_loss=95, take_profit=105)})


EXAMPLES: dict[str, tuple[Callable[[], BacktestResult], tuple[str, ...]]] = {
    "partial exits": (partial_exits, _TRADE),
    "partial exits, costs": (partial_exits, _COSTS),
    "scale-in": (scale_in, _TRADE),
    "flip": (flip, _TRADE),
    "flip, costs": (flip, _COSTS),
    "excursions": (excursions, _EXCURSIONS),
    "ambiguous": (ambiguous, _ENDS),
}


def example(name: str) -> Rows:
    """Return the columns of trades that an example shows."""
    make, columns = EXAMPLES[name]
    return make().trades.select(columns).to_dicts()


def blocks() -> dict[str, str]:
    """Return every generated block of the page, by its name."""
    found = {f"columns of {name}": columns_table(schema) for name, schema in result_schemas().items()}
    found["order reasons"] = markdown_table(
        ("reason", "meaning"), [(f"`{code}`", text) for code, text in ORDER_REASONS.items()]
    )
    for name in EXAMPLES:
        rows = example(name)
        found[f"example: {name}"] = markdown_table(
            list(rows[0]), [[_cell(value) for value in row.values()] for row in rows]
        )
    return found


def columns_table(schema: pa.DataFrameSchema) -> str:
    """Return the columns of a table with unit, meaning and when they are null."""
    rows = []
    for name, column in schema.columns.items():
        about = column.metadata or {}
        null = about.get("null_when") or ("where there is none" if column.nullable else "")
        rows.append((f"`{name}`", _type(column.dtype.type), about.get("unit", ""), column.description, null))
    return markdown_table(("column", "type", "unit", "meaning", "null"), rows)


def rewritten(page: str) -> str:
    """Return the page with every generated block brought up to date."""
    return with_blocks(page, blocks())


def _type(dtype: Any) -> str:
    if isinstance(dtype, pl.Enum):
        return "Enum: " + ", ".join(dtype.categories)
    return "Datetime" if isinstance(dtype, pl.Datetime) else str(dtype)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of a page."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
