"""The result of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ml4t_backtest.core.schemas import data_quality_schema, empty_frame
from ml4t_backtest.core.trade import Trade
from ml4t_backtest.data.safe_path import output_folder
from ml4t_backtest.data.store.object_store import place_to_write
from ml4t_backtest.reporting.metrics import compute_metrics

if TYPE_CHECKING:
    import pandas as pd

# What a run records, and what follows from that and is written with it.
RECORDED = ("trades", "fills", "orders", "cash_flows", "portfolio_states", "daily_returns", "data_quality")
TABLES = (*RECORDED, "rejected_orders")


@dataclass(frozen=True)
class BacktestResult:
    """Everything a run produced, as Polars frames; columns, units and meanings stand in `core.schemas`.

    Attributes:
        trades: One row per exit fill, and per position open at the end.
        fills: One row per execution.
        orders: One row per order, whatever became of it.
        cash_flows: Dividends, fees and other cash without a fill.
        portfolio_states: The account after each slice, or after the last one of a session, week or month.
        daily_returns: The last slice of each session.
        initial_capital: Account currency.
        facts: Small values about the run: rows checked, symbols, span, notes of the feed, configuration.
        data_quality: What was found in the data that is no error.

    See docs/concepts/records.md and docs/concepts/schemas.md.

    >>> from ml4t_backtest import run_backtest
    >>> result = run_backtest("simple_ml_strategy")
    >>> result.trades["status"].value_counts().sort("count").rows()
    [('open', 4), ('closed', 168)]
    """

    trades: pl.DataFrame
    fills: pl.DataFrame
    orders: pl.DataFrame
    cash_flows: pl.DataFrame
    portfolio_states: pl.DataFrame
    daily_returns: pl.DataFrame
    initial_capital: float
    facts: dict[str, Any] = field(default_factory=dict)
    data_quality: pl.DataFrame = field(default_factory=lambda: empty_frame(data_quality_schema()))

    @cached_property
    def rejected_orders(self) -> pl.DataFrame:
        """The rows of `orders` that were refused, with code and numbers."""
        return self.orders.filter(pl.col("status") == "rejected")

    @cached_property
    def metrics(self) -> dict[str, float | int | None]:
        """Performance figures; see `reporting.metrics`. None where a figure is undefined."""
        return compute_metrics(self.daily_returns, self.trades, self.fills, self.portfolio_states, self.initial_capital)

    def iter_trades(self) -> Iterator[Trade]:
        """Yield the rows of `trades` one by one, as objects."""
        return (Trade.from_row(row) for row in self.trades.iter_rows(named=True))

    def differences(self, other: BacktestResult) -> list[str]:
        """Return the names of the tables that are not those of another result, to the bit."""
        theirs = other.tables()
        return [name for name, frame in self.tables().items() if not frame.equals(theirs[name], null_equal=True)]

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the frames by name."""
        return {name: getattr(self, name) for name in TABLES}

    def write(self, path: str | Path) -> Path:
        """Publish the tables as a new version of the run folder `path`; read them back with `read_result`."""
        from ml4t_backtest.reporting.parquet import write_result

        folder = place_to_write(path)
        return write_result(self, folder.parent, folder.name)

    def write_report(
        self,
        path: str | Path,
        *,
        title: str = "Backtest",
        benchmark: str | None = None,
        bars: pl.DataFrame | pl.LazyFrame | None = None,
    ) -> Path:
        """Write the report as one HTML file and return its path.

        Args:
            path: The file, in a folder that is there.
            title: Heading, plain text.
            benchmark: Context column to compare with.
            bars: What it was run over, for the price charts; see `render_report`.
        """
        from ml4t_backtest.reporting.tearsheet import render_report

        page = output_folder(path)
        page.write_text(render_report(self, title=title, benchmark=benchmark, bars=bars), encoding="utf-8")
        return page

    def write_csv(self, folder: str | Path) -> Path:
        """Write the tables as CSV files for spreadsheets; see `reporting.export`."""
        from ml4t_backtest.reporting.export import write_csv_folder

        return write_csv_folder(self, folder)

    def write_diagnostic(self, folder: str | Path, *, predictions: pl.DataFrame | None = None) -> Path:
        """Write a folder that ml4t-diagnostic 0.2 reads; see `prediction_table` and docs/guides/exporting.md."""
        from ml4t_backtest.reporting.diagnostic_export import write_diagnostic_folder

        return write_diagnostic_folder(self, folder, predictions=predictions)

    def to_pandas(self) -> dict[str, pd.DataFrame]:
        """Return the tables as pandas frames by name; needs pyarrow. For quantstats, pyfolio: `pandas_export`."""
        from ml4t_backtest.reporting.pandas_export import pandas_tables

        return pandas_tables(self)

    def __repr__(self) -> str:
        last = self.portfolio_states["equity"][-1] if self.portfolio_states.height else self.initial_capital
        ended, still_open = self.metrics["num_trades"], self.metrics["num_open_trades"]
        rejected = self.rejected_orders.height
        told = [f"{ended} trades" + (f" and {still_open} open" if still_open else "")]
        told += [f"{self.fills.height} fills", *([f"{rejected} rejected orders"] if rejected else [])]
        return f"BacktestResult({', '.join(told)}, final equity {last:,.2f})"
