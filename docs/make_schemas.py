"""Writes docs/concepts/schemas.md: every table with its columns, key and rules, from the schemas that check them.

`python -m docs.make_schemas` brings the page up to date; a test holds that it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandera.polars as pa

from docs.make_records import columns_table, markdown_table
from ml4t_backtest.core.record_schemas import result_schemas
from ml4t_backtest.core.schemas import (
    SCHEMA_VERSION,
    asset_data_schema,
    context_data_schema,
    context_schema,
    corporate_actions_schema,
    delistings_schema,
    prices_schema,
    signals_schema,
    universe_schema,
)

PAGE = Path(__file__).parent / "concepts" / "schemas.md"
_HEAD = """# Schemas

Every table that goes in or comes out has one schema, in `ml4t_backtest/core/schemas.py`. Loaders, validation, the
asset checks of Dagster and this page read that one definition. This page is generated from it (`python -m
docs.make_schemas`); a test holds that it is up to date. What the values of a result mean, with worked examples:
[records](records.md).

**Schema version {version}.** Every published data set and result names it in its manifest (`schema_version`), and all
tables share it. A folder with another version is refused, with the remedy: prepared data is made again from its
sources by `ml4t-backtest prepare`, a result by `ml4t-backtest run` of its configuration. The number grows when a
column changes its name, type or meaning; a column that is only added does not change it.

Columns called `NAME` below stand for each signal, indicator or context column of a data set. Tables may have further
columns. No rule is sampled: each is checked on every row.
"""
_NAME = ("NAME",)


def sections() -> dict[str, dict[str, pa.DataFrameSchema]]:
    """Return the schemas by the headings they stand under."""
    inputs = (
        prices_schema(),
        signals_schema(_NAME),
        context_schema(_NAME),
        corporate_actions_schema(),
        delistings_schema(),
        universe_schema(),
    )
    prepared = (asset_data_schema(_NAME, ("INDICATOR",)), context_data_schema(_NAME))
    return {
        "What goes in": {str(schema.name): schema for schema in inputs},
        "Prepared data": {str(schema.name): schema for schema in prepared},
        "Results": result_schemas(),
    }


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD.format(version=SCHEMA_VERSION)]
    for heading, schemas in sections().items():
        parts.append(f"## {heading}\n")
        parts += [_section(name, schema) for name, schema in schemas.items()]
    return "\n".join(parts)


def _section(name: str, schema: pa.DataFrameSchema) -> str:
    key = ", ".join(f"`{each}`" for each in (schema.metadata or {}).get("key", ()))
    meaning = schema.description or name
    rows = list(_rules(schema))
    rules = (
        markdown_table(("rule", "column", "refused when", "what to do"), rows)
        if rows
        else "No rules beyond types and nulls."
    )
    one = f"{meaning[0].upper()}{meaning[1:]}." + (f" One row per {key}." if key else "")
    return f"### {name}\n\n{one}\n\n{columns_table(schema)}\n\n{rules}\n"


def _rules(schema: pa.DataFrameSchema) -> Iterator[tuple[str, str, str, str]]:
    """Yield code, column, sentence and remedy of each rule; the same rule of several columns once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, column in schema.columns.items():
        for check in column.checks:
            said = (str(check.name), str(check.error), str(check.description))
            found.setdefault(said, []).append(f"`{name}`")
    for (code, error, remedy), columns in found.items():
        yield f"`{code}`", ", ".join(columns), error, remedy
    for check in schema.checks:
        yield f"`{check.name}`", "", str(check.error), str(check.description)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
