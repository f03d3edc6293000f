"""Portfolio states: the account after each slice, or after the last one of a session, week or month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.chunk import Chunk, Floats
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.portfolio.valuation import Values

StateFrequency = Literal["slice", "session", "week", "month"]
_TRUNCATED_TO: dict[StateFrequency, str] = {"session": "1d", "week": "1w", "month": "1mo"}
_NO_STATES = pl.DataFrame(
    schema={
        "timestamp": pl.Int64,
        "session": pl.Int32,
        "cash": pl.Float64,
        "positions_value": pl.Float64,
        "gross_value": pl.Float64,
        "num_positions": pl.Int64,
    }
)


class StateRecorder:
    """Collects the account's course chunk by chunk and turns it into frames at the end."""

    def __init__(self, initial_capital: float, frequency: StateFrequency = "slice") -> None:
        """Start with no states.

        Args:
            initial_capital: Account currency.
            frequency: Whether every slice is published, or the last one of each session, calendar week (from Monday)
                or calendar month of sessions. The last slice of the run always is.

        Raises:
            ConfigError: The frequency is unknown.
        """
        require_choice("state_frequency", frequency, get_args(StateFrequency))
        self._frequency = frequency
        self._initial = initial_capital
        self._parts: list[pl.DataFrame] = []

    def record(self, chunk: Chunk, cash: Floats, values: Values, context_columns: Sequence[str]) -> None:
        """Add the states after the slices of a chunk.

        Args:
            chunk: The slices.
            cash: Cash after each of them.
            values: What the positions were worth.
            context_columns: Context shown with the states.
        """
        columns = {
            "timestamp": chunk.timestamps,
            "session": chunk.sessions.astype(np.int32),
            "cash": cash,
            "positions_value": values.net,
            "gross_value": values.gross,
            "num_positions": values.count.astype(np.int64),
        }
        states = pl.DataFrame(columns)
        if chunk.context is not None and context_columns:
            states = states.with_columns(chunk.context_frame(context_columns).get_columns())
        self._parts.append(states)

    def frames(self, context_columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return portfolio states at the frequency asked for, and daily returns."""
        states = self._with_returns(pl.concat(self._parts) if self._parts else _NO_STATES)
        seen = [name for name in context_columns if name in states.columns]
        daily = _last_of_each("1d", states).select(*schemas.daily_returns_schema().columns, *seen)
        if self._frequency != "slice":
            states = _last_of_each(_TRUNCATED_TO[self._frequency], states)
        states = states.with_columns(period_return=self._period_return())
        return states.select(*schemas.portfolio_states_schema().columns, *seen), daily

    def _period_return(self) -> pl.Expr:
        """Return the growth from row to row; of the first row from the initial capital."""
        return _change(pl.col("equity"), pl.col("equity").shift(1, fill_value=self._initial))

    def _with_returns(self, states: pl.DataFrame) -> pl.DataFrame:
        equity = pl.col("equity")
        return states.with_columns(
            pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
            pl.col("session").cast(pl.Date),
            equity=pl.col("cash") + pl.col("positions_value"),
        ).with_columns(
            gross_leverage=pl.when(equity > 0).then(pl.col("gross_value") / equity),
            net_leverage=pl.when(equity > 0).then(pl.col("positions_value") / equity),
            daily_return=_change(equity, self._session_base()),
            cumulative_return=equity / self._initial - 1.0,
        )

    def _session_base(self) -> pl.Expr:
        """Return the equity at the end of the session before, the initial capital in the first session."""
        session, equity = pl.col("session"), pl.col("equity")
        first_of_session = session != session.shift(1)
        return pl.when(first_of_session).then(equity.shift(1)).forward_fill().fill_null(self._initial)


def _last_of_each(period: str, states: pl.DataFrame) -> pl.DataFrame:
    """Return the last row of each calendar period of sessions (`1d`, `1w` from Monday, `1mo`)."""
    begun = pl.col("session").dt.truncate(period)
    return states.filter(begun.ne_missing(begun.shift(-1)))


def _change(now: pl.Expr, before: pl.Expr) -> pl.Expr:
    """Return the growth from `before` to `now`, null when there was nothing to grow from."""
    return pl.when(before > 0).then(now / before - 1.0)
