"""Whatever a public entry point is given: it works, or says what is wrong in this package's words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import date, datetime
from math import nan
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from worlds import bars

from bad_inputs.case import listing
from ml4t_backtest import (
    BacktestEngine,
    BacktestError,
    DataPreparer,
    PolarsDataFeed,
    Strategy,
    load_config,
    read_result,
    run_backtest,
)
from ml4t_backtest.config import load_dataset_config

BARS = bars({"A": [100, 101, 102], "B": [10, 10, 11]})
SIGNALS = pl.DataFrame({"timestamp": BARS["timestamp"], "symbol": BARS["symbol"], "p": [0.1] * 6})
CONTEXT = pl.DataFrame({"timestamp": BARS["timestamp"][:3], "vix": [14.0, 15.0, 16.0]})
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        5,
        -1,
        0,
        nan,
        10**30,
        "",
        "banana",
        "x" * 5_000,
        "a\0b",
        b"bytes",
        1 + 2j,
        "0d",
        "-5m",
        "99999999999d",
    ),
    *([], {}, (), [None], ["p", "p"], {"p": 1}, {"timestamp": 5}, {5: "p"}, ["p", 5], [[]]),
    *(object(), type, len, date(1, 1, 1), date.max, datetime(2024, 1, 3), datetime.max, Path("no"), pl.Series([1])),
    *(
        pl.DataFrame(),
        pl.DataFrame({"timestamp": [1]}),
        pl.LazyFrame({"x": [1]}),
        "no/such/*.parquet",
        "~nobody/x",
        "s3:/",
    ),
)


class Idle(Strategy):
    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Any) -> None:
        pass


def _feed(**arguments: Any) -> PolarsDataFeed:
    plain: dict[str, Any] = {
        "asset_data": BARS,
        "context_data": CONTEXT,
        "signals_data": SIGNALS,
        "signal_columns": ["p"],
        "context_columns": ["vix"],
        "signal_available_at": "market_close",
        "context_available_at": "market_close",
        "bar_label": "session",
    }
    feed = PolarsDataFeed(**{**plain, **arguments})
    list(feed)
    return feed


def _engine(**arguments: Any) -> Any:
    plain: dict[str, Any] = {"feed": PolarsDataFeed(BARS, bar_label="session"), "strategy": Idle()}
    return BacktestEngine(**{**plain, **arguments}).run()


def _prices(**arguments: Any) -> Any:
    return DataPreparer().add_prices(**{"source": BARS, "bar_label": "session", **arguments}).prepare()


def _signals(**arguments: Any) -> Any:
    plain = {"source": SIGNALS, "valid_from": "market_close"}
    return DataPreparer().add_prices(BARS, bar_label="session").add_signals(**{**plain, **arguments}).prepare()


def _context(**arguments: Any) -> Any:
    plain = {"source": CONTEXT, "available_at": "market_close"}
    return DataPreparer().add_prices(BARS, bar_label="session").add_context(**{**plain, **arguments}).prepare()


def _actions(**arguments: Any) -> Any:
    return DataPreparer().add_prices(BARS, bar_label="session").add_corporate_actions(**{"source": None, **arguments})


def _universe(**arguments: Any) -> Any:
    return DataPreparer().add_prices(BARS, bar_label="session").add_universe(**{"source": BARS, **arguments})


def _indicators(**arguments: Any) -> Any:
    return DataPreparer().add_indicators(**{"indicators": ["sma:2"], **arguments})


def _saved(**arguments: Any) -> Any:
    preparer = DataPreparer().add_prices(BARS, bar_label="session")
    return preparer.validate_and_save(**{"asset_output": "out", **arguments})


ENTRIES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "PolarsDataFeed": (_feed, PolarsDataFeed),
    "BacktestEngine": (_engine, BacktestEngine),
    "DataPreparer": (
        lambda **given: DataPreparer(**given).add_prices(BARS, bar_label="session").prepare(),
        DataPreparer,
    ),
    "add_prices": (_prices, DataPreparer.add_prices),
    "add_signals": (_signals, DataPreparer.add_signals),
    "add_context": (_context, DataPreparer.add_context),
    "add_corporate_actions": (_actions, DataPreparer.add_corporate_actions),
    "add_universe": (_universe, DataPreparer.add_universe),
    "add_indicators": (_indicators, DataPreparer.add_indicators),
    "validate_and_save": (_saved, DataPreparer.validate_and_save),
    "load_config": (lambda **given: load_config(**{"name_or_path": "none", **given}), load_config),
    "load_dataset_config": (lambda **given: load_dataset_config(**given), load_dataset_config),
    "run_backtest": (lambda **given: run_backtest(**{"config": "none", **given}), run_backtest),
    "read_result": (read_result, read_result),
}
# Called by the engine after each chunk: whatever it raises is the caller's own.
OWN_CODE = {"on_progress"}


def arguments() -> Iterator[tuple[str, str]]:
    """Yield every argument of every entry point."""
    for name, (_, signature) in ENTRIES.items():
        for argument in inspect.signature(signature).parameters:
            if argument not in {"self", *OWN_CODE}:
                yield name, argument


@pytest.mark.parametrize(("entry", "argument"), list(arguments()))
def test_an_odd_argument_works_or_is_refused_in_this_packages_words(
    entry: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign = []
    for odd in ODD:
        try:
            ENTRIES[entry][0](**{argument: odd})
        except BacktestError:
            pass
        except Exception as error:
            foreign.append(f"{str(odd)[:40]!r} of {type(odd).__name__}: {type(error).__name__}: {str(error)[:200]}")
    assert foreign == []
    if entry != "validate_and_save":
        assert listing(tmp_path) == {}
