"""Section J: what is written for people and other programs."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_inputs.case import Attempts, Case, Holds, Refused
from bad_inputs.doors import FEED, PREPARER, RUN, attempts
from bad_inputs.good import daily
from bad_inputs.keys import renamed
from ml4t_backtest import BacktestResult, CorruptDatasetError, DataPreparer, PolarsDataFeed, read_result
from ml4t_backtest.reporting.export import read_csv_folder, write_csv_folder
from ml4t_backtest.reporting.tearsheet import render_report

FORMULAS = ("=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(1)")
SCRIPT = "<script>alert(1)</script>"


def _run_of(symbol: str, folder: Path) -> BacktestResult:
    result: BacktestResult = attempts(renamed(symbol)(daily()), folder)[RUN]()
    return result


def _exported(symbol: str) -> Callable[[Path, str], Attempts]:
    def trial(folder: Path, level: str) -> Attempts:
        result = _run_of(symbol, folder)
        return {"csv": lambda: (result, write_csv_folder(result, folder / "csv"))}

    return trial


def _is_neutral(told: tuple[BacktestResult, Path]) -> None:
    """No cell begins a formula, numbers are numbers, and the way back gives what was written."""
    result, folder = told
    for file in sorted(folder.glob("*.csv")):
        for row in csv.reader(file.read_text(encoding="utf-8").splitlines()):
            assert not any(_begins_a_formula(cell) for cell in row), row
    back = read_csv_folder(folder)
    assert set(back["trades"]["symbol"]) == set(result.trades["symbol"])
    assert back["trades"]["pnl_net"].to_list() == result.trades["pnl_net"].to_list()


def _begins_a_formula(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell[:1] in ("=", "+", "-", "@", "\t", "\r")
    return False


def _has_negative_numbers(told: tuple[BacktestResult, Path]) -> None:
    rows = list(csv.DictReader((told[1] / "trades.csv").read_text(encoding="utf-8").splitlines()))
    assert any(row["pnl_net"].startswith("-") for row in rows)


def _reported(folder: Path, level: str) -> Attempts:
    result = _run_of(SCRIPT, folder)
    return {"report": lambda: render_report(result, title=SCRIPT, provenance={SCRIPT: SCRIPT})}


def _is_escaped(page: str) -> None:
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page


class _Opened(dict[str, Any]):
    """Would tell that it was unpickled."""

    def __reduce__(self) -> Any:
        return (_unpickled, ())


def _unpickled() -> None:
    raise SystemExit("a pickle was loaded")


def _pickled(name: str) -> Callable[[Path, str], Attempts]:
    def trial(folder: Path, level: str) -> Attempts:
        path = folder / name
        path.write_bytes(pickle.dumps([_Opened()]))
        return {
            FEED: lambda: PolarsDataFeed(path),
            PREPARER: lambda: DataPreparer().add_prices(path),
        }

    return trial


def _pickled_result(folder: Path, level: str) -> Attempts:
    """Put a pickle in the place of a table of a result."""
    version = _run_of("BBB", folder).write(folder / "run")
    (version / "trades.parquet").write_bytes(pickle.dumps([_Opened()]))
    return {"read_result": lambda: read_result(folder / "run")}


CASES: list[Case] = [
    *(
        Case(f"OU001{'abcd'[number]}", f"a symbol {symbol!r} in a CSV file", _exported(symbol), Holds(_is_neutral))
        for number, symbol in enumerate(FORMULAS)
    ),
    Case("OU002", "negative numbers in a CSV file", _exported("BBB"), Holds(_has_negative_numbers)),
    Case("OU003", "a script for a symbol, in the report", _reported, Holds(_is_escaped)),
    Case("OU005", "a pickle for the prices", _pickled("prices.pkl"), Refused((), CorruptDatasetError, ("pickle",))),
    Case(
        "OU005b", "a pickle called .parquet", _pickled("prices.parquet"), Refused((), CorruptDatasetError, ("pickle",))
    ),
    Case("OU005c", "a pickle in a result", _pickled_result, Refused((), CorruptDatasetError, ("trades.parquet",))),
]
