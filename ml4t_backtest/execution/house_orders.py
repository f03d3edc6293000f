"""Orders of the house: what the engine itself orders when a position has to be closed."""

from __future__ import annotations

from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import Order


def closing_order(market: Market, symbol_id: int, held: float, *, order_id: int, rank: int, reason: str) -> Order:
    """Return a market order that closes a position and never does more, decided at the present slice.

    Args:
        market: Where the run stands.
        symbol_id: What is held.
        held: Signed shares held, not 0.
        order_id: Its sequence number.
        rank: LIQUIDATION or PORTFOLIO_LIMIT.
        reason: Exit reason.
    """
    return Order(
        order_id=order_id,
        symbol=market.symbols[symbol_id],
        symbol_id=symbol_id,
        side="sell" if held > 0.0 else "buy",
        quantity=-held,
        decided=market.timestamp,
        live_from=market.timestamp,
        decision_slice=market.timestamp,
        decision_row=market.run_row_of(symbol_id),
        rank=rank,
        sequence=order_id,
        reduce_only=True,
        exit_reason=reason,
        last_timestamp=market.timestamp,
    )
