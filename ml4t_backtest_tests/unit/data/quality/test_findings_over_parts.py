"""What is found, to the last word, depends on neither the parts bars are looked at in nor the order they lie in.

Here the detectors look at every part as it comes, however small: in a run they wait until there is enough to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from planted_defects import DEFECTS, FOUND, SCHEMA, of_symbol

from ml4t_backtest.data.quality import inspector as inspector_module
from ml4t_backtest.data.quality.inspector import Inspector
from ml4t_backtest.data.row_index import RowIndex, SymbolCodes
from ml4t_backtest.data.synthetic import random_bars

PRICES = ("open", "high", "low", "close")
IDS = [f"{code} {data} {defect.__name__}" for code, data, defect, _ in DEFECTS]


@pytest.fixture(scope="module")
def clean() -> dict[str, pl.DataFrame]:
    """Three symbols on 120 sessions, and on six sessions of 390 minutes."""
    made = {"daily": random_bars(3, 120), "minutes": random_bars(3, 6, minutes=True)}
    return {name: bars.select(list(SCHEMA.columns)) for name, bars in made.items()}


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector_module, "_TIMES_CARRIED", 0)
    monkeypatch.setattr(inspector_module, "_LEARNED_FROM", 9)


def parts_of(bars: pl.DataFrame, edges: list[int]) -> Iterator[tuple[int, pl.DataFrame]]:
    for begin, end in zip([0, *edges], [*edges, bars.height], strict=True):
        yield begin, bars[begin:end]


def found_in(bars: pl.DataFrame, edges: list[int], rows: pl.Series | None = None) -> pl.DataFrame:
    """Return the findings in bars that are looked at in parts; `rows` are their numbers in their file."""
    inspector, codes = Inspector("paranoid", "XNYS", accept=FOUND), SymbolCodes()
    numbers = np.arange(bars.height) if rows is None else rows.to_numpy()
    for begin, part in parts_of(bars, edges):
        inspector.see(part, RowIndex.of(part, codes).codes, numbers[begin : begin + part.height])
    assert inspector.in_order
    inspector.close(codes.names, "p.parquet")
    return inspector.data_quality


def steps(height: int, size: int) -> list[int]:
    return list(range(size, height, size))


@pytest.mark.parametrize(("code", "data", "defect", "count"), DEFECTS, ids=IDS)
def test_the_findings_are_those_of_the_whole_in_equal_parts(
    code: str, data: str, defect: Callable[..., pl.DataFrame], count: Any, clean: dict[str, pl.DataFrame]
) -> None:
    bars = defect(clean[data])
    whole = found_in(bars, [])
    assert code in set(whole["what"])
    for size in (7, 61, 187) if data == "daily" else (997, 2_000):
        assert found_in(bars, steps(bars.height, size)).equals(whole), size


@pytest.mark.parametrize(("code", "data", "defect", "count"), DEFECTS, ids=IDS)
def test_an_edge_right_at_the_defect_hides_nothing(
    code: str, data: str, defect: Callable[..., pl.DataFrame], count: Any, clean: dict[str, pl.DataFrame]
) -> None:
    """Edges a little before and behind the first bar concerned, one by one, alone and with two more behind it."""
    bars = defect(clean[data])
    whole = found_in(bars, [])
    stamp = whole.filter(pl.col("what") == code)["first"][0] or bars["timestamp"][0]
    first = int(bars["timestamp"].search_sorted(stamp))
    for edge in (first - 3, first - 1, first, first + 1, first + 2, first + 4, first + 7):
        if 0 < edge < bars.height - 10:
            assert found_in(bars, [edge]).equals(whole), edge
            assert found_in(bars, [edge, edge + 1, edge + 4]).equals(whole), edge


@pytest.mark.parametrize(("code", "data", "defect", "count"), DEFECTS, ids=IDS)
def test_bars_by_symbol_have_the_same_findings_as_bars_by_time(
    code: str, data: str, defect: Callable[..., pl.DataFrame], count: Any, clean: dict[str, pl.DataFrame]
) -> None:
    bars = defect(clean[data]).with_row_index("row")
    by_symbol = bars.sort("symbol", "timestamp")
    found = found_in(by_symbol.drop("row"), steps(bars.height, bars.height // 7), by_symbol["row"])
    whole = found_in(bars.drop("row"), [])
    # Of several symbols that are in it together, the example tells of the first one.
    told = [name for name in whole.columns if name != "example"]
    assert found.select(told).equals(whole.select(told))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 20, 59, 60, 61, 64, 65])
def test_a_run_that_many_parts_share_is_one_run(size: int, clean: dict[str, pl.DataFrame]) -> None:
    """60 bars of one symbol alone: the longest look back of all but repetitions, which look 64 bars back."""
    one = clean["daily"].filter(pl.col("symbol") == "S0001")
    still = pl.int_range(pl.len()).is_between(30, 89)
    frozen = one.with_columns(pl.when(still).then(one["close"][30]).otherwise(name).alias(name) for name in PRICES)
    found = found_in(frozen, steps(frozen.height, size))
    assert found.filter(pl.col("what") == "DQ-STALE")["count"].to_list() == [1]
    for apart, times in ((64, 1), (65, 0)):
        repeated = one.with_columns(
            pl.when(pl.int_range(pl.len()) == 20).then(one[name][20 + apart]).otherwise(name).alias(name)
            for name in PRICES
        )
        found = found_in(repeated, steps(repeated.height, size)).filter(pl.col("what") == "DQ-REPEAT")
        assert found["count"].to_list() == [times] * (2 * times)


def test_the_tick_of_a_symbol_is_learned_from_its_first_bars_wherever_they_are_cut(
    clean: dict[str, pl.DataFrame],
) -> None:
    """Coincidence is weighed by ticks: prices of a hundredth, then of a hundred-thousandth."""
    rows = of_symbol(clean["minutes"])
    bars = clean["minutes"][rows]
    coarse = pl.int_range(pl.len()) < 900
    mixed = bars.with_columns(pl.when(coarse).then(pl.col(name).round(2)).otherwise(name) for name in PRICES)
    whole = found_in(mixed, [])
    assert whole.filter(pl.col("what") == "DQ-REPEAT").height == 2
    for size in (50, 400, 899, 901, 1_500):
        assert found_in(mixed, steps(mixed.height, size)).equals(whole)
