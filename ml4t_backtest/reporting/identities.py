"""The books must balance: identities that hold for every result of the engine.

They are stated once, here, and checked after every run. The tolerance is the cost of floating point:
1e-9 x max(1, turnover).
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ml4t_backtest.errors import AccountingError
from ml4t_backtest.reporting.result import BacktestResult

_RELATIVE = 1e-9


def check_identities(result: BacktestResult) -> None:
    """Check every identity and raise all that do not hold.

    Raises:
        AccountingError: The records contradict each other; this is a defect of the engine.
    """
    broken = list(_broken(result))
    if broken:
        raise AccountingError("the records contradict each other:\n" + "\n".join(broken))


def turnover(result: BacktestResult) -> float:
    """Return the sum of |quantity x price| over all fills, account currency."""
    return _total(result.fills["quantity"] * result.fills["price"])


def _broken(result: BacktestResult) -> Iterator[str]:
    states, trades, fills = result.portfolio_states, result.trades, result.fills
    if states.is_empty():
        return
    tolerance = _RELATIVE * max(1.0, turnover(result), abs(result.initial_capital))
    last = states.row(-1, named=True)
    cash = result.initial_capital - _bought(fills) - _total(fills["commission"]) + _total(result.cash_flows["amount"])
    yield from _differ("last cash = initial - bought + sold - commissions + cash flows", last["cash"], cash, tolerance)
    interest = _total(result.cash_flows.filter(pl.col("kind") == "interest")["amount"])
    gained = _total(trades["pnl_net"]) + interest
    yield from _differ("sum(pnl_net) + interest = gain", gained, last["equity"] - result.initial_capital, tolerance)
    yield from _rows_hold(
        states, pl.col("equity") - (pl.col("cash") + pl.col("positions_value")), "equity = cash + positions", tolerance
    )
    parts = pl.col("pnl_gross") - pl.col("total_cost") + pl.col("dividends") - pl.col("borrow_fees")
    yield from _rows_hold(trades, pl.col("pnl_net") - parts, "pnl_net = gross - cost + dividends - fees", tolerance)
    yield from _costs(trades, fills, tolerance)
    yield from _excursions(trades)
    yield from _order_of_time(fills, at_own_close=result.facts.get("fill_at") == "same_close")


def _costs(trades: pl.DataFrame, fills: pl.DataFrame, tolerance: float) -> Iterator[str]:
    charged = [f"{end}_{kind}" for end in ("entry", "exit") for kind in ("commission", "slippage")]
    difference = pl.col("total_cost") - pl.sum_horizontal(charged)
    yield from _rows_hold(trades, difference, "total_cost = commissions + slippage", tolerance)
    for kind in ("commission", "slippage"):
        shared = _total(trades[f"entry_{kind}"]) + _total(trades[f"exit_{kind}"])
        yield from _differ(f"{kind} of trades = {kind} of fills", shared, _total(fills[kind]), tolerance)


def _excursions(trades: pl.DataFrame) -> Iterator[str]:
    if _any(trades, (pl.col("status") != "open") & (pl.col("entry_quantity") != pl.col("exit_quantity"))):
        yield "entry_quantity = exit_quantity per closed row"
    if _any(trades, pl.col("max_adverse_pct") > pl.col("max_favorable_pct")):
        yield "max_adverse_pct <= max_favorable_pct"


def _order_of_time(fills: pl.DataFrame, *, at_own_close: bool) -> Iterator[str]:
    """Check that nothing fills before its decision; the very slice fills at its close only, where that is asked."""
    if _any(fills, pl.col("fill_instant") < pl.col("decision_timestamp")):
        yield "decision_timestamp <= fill_instant"
    is_bound = pl.col("phase") != "settled"
    if at_own_close:
        is_bound &= (pl.col("phase") != "close") | (pl.col("timestamp") < pl.col("decision_timestamp"))
    if _any(fills, is_bound & (pl.col("timestamp") <= pl.col("decision_timestamp"))):
        yield "every fill's slice is after its decision"
    if not fills["timestamp"].is_sorted():
        yield "fills are in the order of time"


def _any(frame: pl.DataFrame, breaks: pl.Expr) -> bool:
    return not frame.filter(breaks).is_empty()


def _rows_hold(frame: pl.DataFrame, difference: pl.Expr, law: str, tolerance: float) -> Iterator[str]:
    worst = frame.select(difference.abs().max()).item()
    if worst is not None and not worst <= tolerance:
        yield f"{law}: off by {worst!r}"


def _differ(law: str, found: float, expected: float, tolerance: float) -> Iterator[str]:
    if not abs(found - expected) <= tolerance:
        yield f"{law}: {found!r} against {expected!r}"


def _bought(fills: pl.DataFrame) -> float:
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    return _total(fills.select(sign * pl.col("quantity") * pl.col("price")).to_series())


def _total(values: pl.Series) -> float:
    # Added pairwise and by one thread: off by far less than the tolerance, at a fiftieth of the price of an exact sum.
    return float(values.drop_nulls().to_numpy().sum())
