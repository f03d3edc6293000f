"""Portfolio states: the account after each slice, and once per session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.instants import UTC_MICROSECONDS
from ml4t_backtest.portfolio.ledger import Valuation


class StateRecorder:
    """Collects one valuation per slice and turns them into frames at the end."""

    def __init__(self, initial_capital: float) -> None:
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
        """Return portfolio states and daily returns."""
        names = ["timestamp", "session", "cash", "positions_value", "gross_value", "num_positions"]
        types = [pl.Int64, pl.Int32, pl.Float64, pl.Float64, pl.Float64, pl.Int64]
        states = pl.DataFrame(self._rows, schema=dict(zip(names, types, strict=True)), orient="row")
        states = self._with_returns(states)
        if self._context:
            shown = pl.DataFrame(self._context, schema=dict.fromkeys(context_columns, pl.Float64))
            states = states.with_columns(shown.get_columns())
        daily = states.filter(pl.col("session") != pl.col("session").shift(-1, fill_value=-1))
        columns = [*schemas.portfolio_states_schema().columns, *(context_columns if self._context else ())]
        return states.select(columns), daily.select(list(schemas.daily_returns_schema().columns))

    def _with_returns(self, states: pl.DataFrame) -> pl.DataFrame:
        equity = pl.col("equity")
        return states.with_columns(
            pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS),
            pl.col("session").cast(pl.Date),
            equity=pl.col("cash") + pl.col("positions_value"),
        ).with_columns(
            gross_leverage=pl.when(equity > 0).then(pl.col("gross_value") / equity),
            net_leverage=pl.when(equity > 0).then(pl.col("positions_value") / equity),
            period_return=_change(equity, equity.shift(1).fill_null(self._initial)),
            daily_return=_change(equity, self._session_base()),
            cumulative_return=equity / self._initial - 1.0,
        )

    def _session_base(self) -> pl.Expr:
        """Return the equity at the end of the session before, the initial capital in the first session."""
        session, equity = pl.col("session"), pl.col("equity")
        first_of_session = session != session.shift(1)
        return pl.when(first_of_session).then(equity.shift(1)).forward_fill().fill_null(self._initial)


def _change(now: pl.Expr, before: pl.Expr) -> pl.Expr:
    """Return the growth from `before` to `now`, null when there was nothing to grow from."""
    return pl.when(before > 0).then(now / before - 1.0)
