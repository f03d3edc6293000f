"""How fast the engine is on this machine, in a size that takes seconds. Run them alone: they measure time."""

import dagster as dg
import polars as pl

from dagster_project.contracts import audited, check_specs
from dagster_project.defs.common import Events, asset
from dagster_project.metadata import table_metadata
from ml4t_backtest import benchmarks
from ml4t_backtest.pipeline.asset_meanings import MEANING
from ml4t_backtest.pipeline.asset_shelf import Document
from ml4t_backtest.pipeline.pages import tables_page

_TITLES = {
    "event_loop_benchmark": "Event loop",
    "strategy_benchmark": "Strategies",
    "scalability_benchmark": "Scalability",
}


def _measured(name: str) -> dg.AssetsDefinition:
    @asset("benchmarks", name=name, description=MEANING[name], check_specs=check_specs(name))
    def measure() -> Events:
        frame, schema = getattr(benchmarks, name)(), benchmarks.benchmark_schemas()[name]
        yield from audited({name: frame}, {name: schema})
        yield dg.MaterializeResult(value=frame, metadata=table_metadata(frame, schema))

    return measure


measured = [_measured(name) for name in _TITLES]


@asset("benchmarks", "markdown", ins={name: dg.AssetIn() for name in _TITLES})
def benchmark_report(**tables: pl.DataFrame) -> Events:
    """All benchmarks on one page."""
    page = tables_page("Benchmarks", {title: tables[name] for name, title in _TITLES.items()})
    yield dg.MaterializeResult(value=Document("benchmarks.md", page), metadata={"report": dg.MetadataValue.md(page)})
