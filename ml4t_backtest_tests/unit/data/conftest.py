"""Small frames and files that the tests of the data layer share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml4t_backtest import BacktestError, DataPreparer, DataValidationError, Violation
from ml4t_backtest.data.prepared import PreparedData

DAYS = (date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4))

MakeBars = Callable[..., pl.DataFrame]
Refusals = Callable[..., tuple[Violation, ...]]


def _bars(stamps: Any = DAYS, symbols: Sequence[str] | None = None, **columns: Any) -> pl.DataFrame:
    rows = len(stamps)
    plain: dict[str, Any] = {
        "timestamp": stamps,
        "symbol": ["A"] * rows if symbols is None else symbols,
        "open": [10.0] * rows,
        "high": [11.0] * rows,
        "low": [9.0] * rows,
        "close": [10.0] * rows,
        "volume": [100.0] * rows,
    }
    return pl.DataFrame({**plain, **columns})


@pytest.fixture(scope="session")
def make_bars() -> MakeBars:
    """Return a maker of sane bars: one symbol A on three sessions unless told otherwise; columns can be replaced."""
    return _bars


@pytest.fixture(scope="session")
def violations_of() -> Refusals:
    """Return a caller that hands back the violations a call is refused with."""

    def refusals(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Violation, ...]:
        with pytest.raises(DataValidationError) as caught:
            call(*args, **kwargs)
        assert isinstance(caught.value, BacktestError)
        assert isinstance(caught.value, ValueError)
        return caught.value.violations

    return refusals


@pytest.fixture(scope="session")
def minute_bars() -> pl.DataFrame:
    """Return two symbols on six minutes around a session's end and the next one's start, labelled by close."""
    stamps = [
        datetime(2024, 1, 2, 20, 59, tzinfo=UTC),
        datetime(2024, 1, 2, 21, 0, tzinfo=UTC),
        datetime(2024, 1, 3, 14, 31, tzinfo=UTC),
        datetime(2024, 1, 3, 14, 32, tzinfo=UTC),
        datetime(2024, 1, 3, 14, 33, tzinfo=UTC),
        datetime(2024, 1, 3, 14, 34, tzinfo=UTC),
    ]
    closes = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5]
    first = _bars(stamps, ["A"] * 6, close=closes)
    return pl.concat([first, first.with_columns(symbol=pl.lit("B"), close=pl.col("close") + 0.05)])


@pytest.fixture
def prepared() -> PreparedData:
    """Return A and B on three sessions with a prediction known at 14:00 of the second day and a VIX known at closes."""
    prices = _bars([*DAYS, *DAYS], ["B"] * 3 + ["A"] * 3, close=[10.1, 10.2, 10.3, 9.1, 9.2, 9.3], atr=[0.5] * 6)
    known = datetime(2024, 1, 3, 14, 0, tzinfo=UTC)
    predictions = pl.DataFrame(
        {"timestamp": [date(2024, 1, 2)], "symbol": ["A"], "available_at": [known], "prediction": [0.7]}
    )
    vix = pl.DataFrame({"timestamp": [date(2024, 1, 2), date(2024, 1, 3)], "vix": [13.0, 14.0]})
    preparer = DataPreparer().add_prices(prices, bar_label="session", indicators=["atr"])
    preparer.add_signals(predictions)
    preparer.add_context(vix, names=["vix"], available_at="market_close")
    return preparer.prepare()


@pytest.fixture
def bars_file(tmp_path: Path) -> Path:
    """Return a Parquet file of three daily bars."""
    path = tmp_path / "prices.parquet"
    _bars().write_parquet(path)
    return path
