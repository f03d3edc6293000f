"""Portfolio states: the account after each slice, or after the last one of a session, week or month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.choices import require_choice
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.portfolio.ledger import Valuation

StateFrequency = Literal["slice", "session", "week", "month"]
_TRUNCATED_TO: dict[StateFrequency, str] = {"session": "1d", "week": "1w", "month": "1mo"}


class StateRecorder:
    """Collects one valuation per slice and turns them into frames at the end."""

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
        self._rows: list[tuple[int, int, float, float, float, int]] = []
        self._context: list[dict[str, Any]] = []

    def record(self, timestamp: int, session: int, value: Valuation, context: dict[str, Any] | None) -> None:
        """Add the state after a slice.

        Args:
            timestamp: Instant of the slice.
            session: Its session, days since 1970.
            value: The account after fills, marks and decisions.
            context: Context values shown with the state.
        """
        self._rows.append(
            (timestamp, session, value.cash, value.positions_value, value.gross_value, value.num_positions)
        )
        if context is not None:
            self._context.append(context)

    def replace_last(self, timestamp: int, session: int, value: Valuation, context: dict[str, Any] | None) -> None:
        """Record the last slice again, after positions were closed at its end."""
        if self._rows:
            self._rows.pop()
            self._context = self._context[:-1]
            self.record(timestamp, session, value, context)

    def frames(self, context_columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return portfolio states at the frequency asked for, and daily returns."""
        names = ["timestamp", "session", "cash", "positions_value", "gross_value", "num_positions"]
        types = [pl.Int64, pl.Int32, pl.Float64, pl.Float64, pl.Float64, pl.Int64]
        states = pl.DataFrame(self._rows, schema=dict(zip(names, types, strict=True)), orient="row")
        states = self._with_returns(states)
        if self._context:
            shown = pl.DataFrame(self._context, schema=dict.fromkeys(context_columns, pl.Float64))
            states = states.with_columns(shown.get_columns())
        seen = context_columns if self._context else ()
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
