"""One row of `trades` as an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ml4t_backtest.core.record_schemas import trades_schema

_SEEN_AT = ("decision_", "entry_", "exit_")


def _column(name: str) -> Any:
    """Return a required field that means what the column of `trades` means."""
    column = trades_schema().columns[name]
    unit = (column.metadata or {})["unit"]
    return Field(description=column.description, json_schema_extra={"unit": unit} if unit else None)


class Trade(BaseModel):
    """One exit, or one position open at the end; columns, units and meanings are those of the table `trades`.

    What was to be seen at decision, entry and exit are extra attributes: `trade.decision_prediction`,
    `trade.entry_vix`; a number, or None where there was no value.

    >>> fields = Trade.model_fields
    >>> fields["pnl_percent"].description, fields["pnl_percent"].json_schema_extra
    ('pnl_net of entry_price x entry_quantity', {'unit': 'fraction (0.02 is 2 %)'})
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, float | None]

    trade_id: int = _column("trade_id")
    position_id: int = _column("position_id")
    symbol: str = _column("symbol")
    side: Literal["long", "short"] = _column("side")
    status: Literal["closed", "partial", "open"] = _column("status")
    decision_timestamp: AwareDatetime = _column("decision_timestamp")
    entry_timestamp: AwareDatetime = _column("entry_timestamp")
    entry_price: float = _column("entry_price")
    entry_quantity: float = _column("entry_quantity")
    entry_commission: float = _column("entry_commission")
    entry_slippage: float = _column("entry_slippage")
    exit_decision_timestamp: AwareDatetime | None = _column("exit_decision_timestamp")
    exit_timestamp: AwareDatetime | None = _column("exit_timestamp")
    exit_price: float | None = _column("exit_price")
    exit_quantity: float | None = _column("exit_quantity")
    exit_commission: float = _column("exit_commission")
    exit_slippage: float = _column("exit_slippage")
    exit_reason: (
        Literal[
            "signal",
            "stop_loss",
            "take_profit",
            "trailing_stop",
            "time_exit",
            "risk_limit",
            "margin_call",
            "delisted",
            "corporate_action",
            "end_of_data",
        ]
        | None
    ) = _column("exit_reason")
    pnl_gross: float = _column("pnl_gross")
    dividends: float = _column("dividends")
    borrow_fees: float = _column("borrow_fees")
    total_cost: float = _column("total_cost")
    pnl_net: float = _column("pnl_net")
    pnl_percent: float = _column("pnl_percent")
    holding_period_bars: int = _column("holding_period_bars")
    holding_period_days: float = _column("holding_period_days")
    stop_loss_level: float | None = _column("stop_loss_level")
    take_profit_level: float | None = _column("take_profit_level")
    max_favorable_excursion: float = _column("max_favorable_excursion")
    max_adverse_excursion: float = _column("max_adverse_excursion")
    max_favorable_pct: float = _column("max_favorable_pct")
    max_adverse_pct: float = _column("max_adverse_pct")
    ambiguous_bar: bool = _column("ambiguous_bar")
    pnl_net_pessimistic: float | None = _column("pnl_net_pessimistic")
    pnl_net_optimistic: float | None = _column("pnl_net_optimistic")

    @model_validator(mode="after")
    def _extras_were_seen(self) -> Trade:
        strangers = [name for name in self.__pydantic_extra__ or () if not name.startswith(_SEEN_AT)]
        if strangers:
            raise ValueError(f"{', '.join(strangers)}: columns beside those of trades start with {', '.join(_SEEN_AT)}")
        return self

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Trade:
        """Return the trade of a row, as `trades.row(0, named=True)` gives it.

        Raises:
            pydantic.ValidationError: A column is missing, or holds what the table never does.
        """
        return cls.model_validate(dict(row))
