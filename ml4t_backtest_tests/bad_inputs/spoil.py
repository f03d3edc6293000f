"""How good data is spoiled: one mutation each, so that the place is known."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import polars as pl

from bad_inputs.case import Accepted, Attempts, Case, Expected, Found, Refused
from bad_inputs.doors import attempts, outcome
from bad_inputs.good import Mutation, Store, World, daily

Change = Callable[[pl.DataFrame], pl.DataFrame]


def data_case(
    id: str,
    defect: str,
    mutation: Mutation,
    expected: Expected,
    *,
    world: Callable[[], World] = daily,
    doors: Sequence[str] = (),
) -> Case:
    """Return a case of spoiled data, tried at every door or at some."""

    def trial(folder: Path, validation: str) -> Attempts:
        every = attempts(mutation(world()), folder, validation)
        return {door: attempt for door, attempt in every.items() if not doors or door in doors}

    return Case(id, defect, trial, expected)


def cell_case(id: str, defect: str, table: str, column: str, value: Any, code: str, **options: Any) -> Case:
    """Return a case in which one cell is spoiled; its row follows from the id, and must be named."""
    world = options.get("world", daily)
    row = somewhere(id, world().tables[table].height)
    shown = options.pop("shown", None)
    found = Found(code, f"{table}.parquet", row, options.pop("blamed", column), shown, 1)
    says = options.pop("says", ())
    return data_case(id, defect, cell(table, row, column, value), Refused([found], says=says), **options)


def somewhere(id: str, height: int) -> int:
    """Return a row number that follows from the id of a case, not the first one and not the last."""
    return 1 + crc32(id.encode()) % (height - 2)


def cell(table: str, row: int, column: str, value: Any) -> Mutation:
    """Return the mutation that sets one cell; `value` may be a function of the one that was there."""

    def set_cell(frame: pl.DataFrame) -> pl.DataFrame:
        new = value(frame[column][row]) if callable(value) else value
        dtype = pl.Float64 if isinstance(new, float) else frame.schema[column]
        values = frame[column].cast(dtype).to_list()
        values[row] = new
        return frame.with_columns(pl.Series(column, values, dtype=dtype))

    return changed(table, set_cell)


def changed(table: str, change: Change) -> Mutation:
    """Return the mutation that changes a table."""
    return lambda world: world.with_table(table, change(world.tables[table]))


def stored(table: str, store: Store) -> Mutation:
    """Return the mutation that stores a table otherwise."""
    return lambda world: World(world.tables, {**world.stored, table: store}, world.declared, world.backtest)


def declared(**what: Any) -> Mutation:
    """Return the mutation that declares something else."""
    return lambda world: world.declaring(**what)


def together(*mutations: Mutation) -> Mutation:
    """Return the mutation that is several."""

    def every(world: World) -> World:
        for mutation in mutations:
            world = mutation(world)
        return world

    return every


def unchanged(world: World) -> World:
    """Return a world as it is."""
    return world


@cache
def like(mutation: Mutation = unchanged, world: Callable[[], World] = daily) -> Callable[[str], str]:
    """Return door -> hash of what a clean world gives there; worked out once."""

    @cache
    def hash_at(door: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return outcome(attempts(mutation(world()), Path(folder))[door]())

    return hash_at


def accepted(mutation: Mutation = unchanged, world: Callable[[], World] = daily, **options: Any) -> Accepted:
    """Return that the result is that of a clean world."""
    return Accepted(like(mutation, world), **options)
