"""How fast the engine is on this machine, in a size that takes seconds. Run them alone: they measure time."""

from collections.abc import Callable

import dagster as dg
import polars as pl

from dagster_project.contracts import audited, check_specs
from dagster_project.defs.common import Events, asset
from dagster_project.metadata import table_metadata
from ml4t_backtest import benchmarks
from ml4t_backtest.pipeline.asset_shelf import Document
from ml4t_backtest.pipeline.pages import markdown_table


@asset("benchmarks", check_specs=check_specs("event_loop_benchmark"))
def event_loop_benchmark() -> Events:
    """What the loop costs when the strategy does nothing, per callback mode."""
    yield from _measured("event_loop_benchmark", benchmarks.event_loop_benchmark)


@asset("benchmarks", check_specs=check_specs("strategy_benchmark"))
def strategy_benchmark() -> Events:
    """What strategies of the library cost, orders and records included."""
    yield from _measured("strategy_benchmark", benchmarks.strategy_benchmark)


@asset("benchmarks", check_specs=check_specs("scalability_benchmark"))
def scalability_benchmark() -> Events:
    """How time grows with symbols and with timestamps."""
    yield from _measured("scalability_benchmark", benchmarks.scalability_benchmark)


@asset("benchmarks", "markdown")
def benchmark_report(
    event_loop_benchmark: pl.DataFrame, strategy_benchmark: pl.DataFrame, scalability_benchmark: pl.DataFrame
) -> Events:
    """All benchmarks on one page."""
    parts = {
        "Event loop": event_loop_benchmark,
        "Strategies": strategy_benchmark,
        "Scalability": scalability_benchmark,
    }
    sections = [f"## {title}\n\n{markdown_table(frame.columns, frame.rows())}\n" for title, frame in parts.items()]
    page = "\n".join(["# Benchmarks\n", *sections])
    yield dg.MaterializeResult(value=Document("benchmarks.md", page), metadata={"report": dg.MetadataValue.md(page)})


def _measured(asset: str, measure: Callable[[], pl.DataFrame]) -> Events:
    frame, schema = measure(), benchmarks.benchmark_schemas()[asset]
    yield from audited({asset: frame}, {asset: schema})
    yield dg.MaterializeResult(value=frame, metadata=table_metadata(frame, schema))
