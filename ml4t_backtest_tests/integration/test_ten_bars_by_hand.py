"""Ten sessions, two symbols, ten orders that trade: every fill, trade, state and cash flow worked out by hand.

Costs: a buy pays 1 % more than the open, a sell gets 1 % less; commission is 0.1 % of what is paid or received.

    slice           ALFA open high low close    BETA open high low close
    0  Fri Nov 22        100  101  99   100           20   21  19    20
    1  Mon Nov 25        100  104  99   103           20   22  20    21
    2  Tue Nov 26        104  108 103   107           21   21  18    19
    3  Wed Nov 27        106  107 101   102           no bar             ALFA pays 0.50 per share (ex-date)
       Thu Nov 28        Thanksgiving, no session
    4  Fri Nov 29        102  106 101   105           20   23  19    22  half day: closes at 13:00 in New York
    5  Mon Dec  2         52   55  51    54           22   24  21    23  ALFA splits 2:1 (ex-date)
    6  Tue Dec  3         54   56  53    55           23   25  22    24
    7  Wed Dec  4         55   57  54    56           25   26  23    24
    8  Thu Dec  5         56   58  55    57           24   24  20    21
    9  Fri Dec  6         57   60  56    59           22   23  21    22
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from worlds import Mode, actions, bars, run, same_tables

from ml4t_backtest import BacktestResult, PercentageCommission, PercentageSlippage, Strategy

SESSIONS = [date(2024, 11, day) for day in (22, 25, 26, 27, 29)] + [date(2024, 12, day) for day in (2, 3, 4, 5, 6)]
PRICES = bars(
    {
        "ALFA": [
            (100, 101, 99, 100),
            (100, 104, 99, 103),
            (104, 108, 103, 107),
            (106, 107, 101, 102),
            (102, 106, 101, 105),
            (52, 55, 51, 54),
            (54, 56, 53, 55),
            (55, 57, 54, 56),
            (56, 58, 55, 57),
            (57, 60, 56, 59),
        ],
        "BETA": [
            (20, 21, 19, 20),
            (20, 22, 20, 21),
            (21, 21, 18, 19),
            None,
            (20, 23, 19, 22),
            (22, 24, 21, 23),
            (23, 25, 22, 24),
            (25, 26, 23, 24),
            (24, 24, 20, 21),
            (22, 23, 21, 22),
        ],
    },
    SESSIONS,
)
ACTIONS = actions(("ALFA", date(2024, 11, 27), "dividend", 0.5), ("ALFA", date(2024, 12, 2), "split", 2.0))
# Opens at 14:30 UTC (winter time), closes at 21:00, on the half day at 18:00.
OPEN = [datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC) for day in SESSIONS]
CLOSE = [datetime(day.year, day.month, day.day, 18 if day.day == 29 else 21, tzinfo=UTC) for day in SESSIONS]

IDS: dict[str, int] = {}


def note(**ids: int) -> None:
    IDS.update(ids)


def rebalance(strategy: Strategy) -> None:
    alfa, beta = strategy.rebalance({"BETA": 0.6, "ALFA": 0.6})
    note(rebalanced_alfa=alfa, rebalanced_beta=beta)


PLAN = {
    # Half of 10,000 at the close of 100: 50 shares. 600 BETA cost 600 x 20.20 = 12,120: more than there is.
    0: lambda s: note(half=s.buy("ALFA", percent=0.5), too_much=s.buy("BETA", 600)),
    1: lambda s: note(beta=s.buy("BETA", 100)),
    # BETA has no bar in slice 3, so its sell waits for slice 4; it asks for 50 shares more than are held.
    2: lambda s: note(partial=s.sell("ALFA", 20), beyond=s.sell("BETA", 150)),
    # Decided before the split, filled after it: 10 old shares are 20 new ones.
    4: lambda s: note(across=s.buy("ALFA", 10)),
    # 120 % of equity: both buys are cut by the same factor.
    5: rebalance,
    # 20 % of 10,425.45 at 24 are 86.9 shares; 0.1 % of it does not buy one ALFA at 55.
    6: lambda s: note(fifth=s.sell("BETA", percent=0.2), nothing=s.buy("ALFA", percent=0.001)),
    7: lambda s: note(close=s.close_position("ALFA")),
    8: lambda s: note(target=s.order_target_quantity("ALFA", 40)),
    # There is no bar after slice 9.
    9: lambda s: note(late=s.buy("BETA", 1)),
}


@cache
def result(mode: Mode = "batch", chunk: str | int = "1mo") -> BacktestResult:
    return run(
        PRICES,
        PLAN,
        mode=mode,
        feed={"chunk": chunk},
        initial_capital=10_000.0,
        slippage=PercentageSlippage(0.01),
        commission=PercentageCommission(0.001),
        corporate_actions=ACTIONS,
    )


# order, position, symbol, side, decided at close of, slice, quantity, raw price, price, commission, slippage
FILLS: list[tuple[Any, ...]] = [
    ("half", 1, "ALFA", "buy", 0, 1, 50, 100, 101.00, 5.05, 50 * 1.00),
    ("beta", 2, "BETA", "buy", 1, 2, 100, 21, 21.21, 2.121, 100 * 0.21),
    ("partial", 1, "ALFA", "sell", 2, 3, 20, 106, 104.94, 2.0988, 20 * 1.06),
    ("beyond", 2, "BETA", "sell", 2, 4, 100, 20, 19.80, 1.98, 100 * 0.20),
    ("across", 1, "ALFA", "buy", 4, 5, 20, 52, 52.52, 1.0504, 20 * 0.52),
    # Wanted: ALFA 0.6 x 10,190.0998 / 54 = 113.2 -> 113, holds 80: 33. BETA 0.6 x 10,190.0998 / 23 = 265.8 -> 265.
    # Cost: 33 x 54.54 x 1.001 = 1,801.61982 and 265 x 23.23 x 1.001 = 6,162.10595, together 7,963.72577.
    # Factor: 5,870.0998 / 7,963.72577 = 0.73711. 33 x 0.73711 = 24.3 -> 24, 265 x 0.73711 = 195.3 -> 195.
    ("rebalanced_alfa", 1, "ALFA", "buy", 5, 6, 24, 54, 54.54, 1.30896, 24 * 0.54),
    ("rebalanced_beta", 3, "BETA", "buy", 5, 6, 195, 23, 23.23, 4.52985, 195 * 0.23),
    ("fifth", 3, "BETA", "sell", 6, 7, 86, 25, 24.75, 2.1285, 86 * 0.25),
    ("close", 1, "ALFA", "sell", 7, 8, 104, 56, 55.44, 5.76576, 104 * 0.56),
    ("target", 4, "ALFA", "buy", 8, 9, 40, 57, 57.57, 2.3028, 40 * 0.57),
]

# cash, ALFA shares x close, BETA shares x close
STATES: list[tuple[float, float, float]] = [
    (10_000.0, 0, 0),
    (4_944.95, 50 * 103, 0),  # 10,000 - 50 x 101 - 5.05
    (2_821.829, 50 * 107, 100 * 19),  # - 100 x 21.21 - 2.121
    (4_943.5302, 30 * 102, 100 * 19),  # + 50 x 0.50 + 20 x 104.94 - 2.0988; BETA keeps its last close
    (6_921.5502, 30 * 105, 0),  # + 100 x 19.80 - 1.98
    (5_870.0998, 80 * 54, 0),  # 30 old shares are 60; - 20 x 52.52 - 1.0504
    (25.45099, 104 * 55, 195 * 24),  # - 24 x 54.54 - 1.30896 - 195 x 23.23 - 4.52985
    (2_151.82249, 104 * 56, 109 * 24),  # + 86 x 24.75 - 2.1285
    (7_911.81673, 0, 109 * 21),  # + 104 x 55.44 - 5.76576
    (5_606.71393, 40 * 59, 109 * 22),  # - 40 x 57.57 - 2.3028
]

# ALFA's first position on the basis after the split: 60 at 50.50, 20 at 52.52, 24 at 54.54.
PAID = 60 * 50.50 + 20 * 52.52 + 24 * 54.54  # 5,389.36
PAID_RAW = 60 * 50 + 20 * 52 + 24 * 54  # 5,336

TRADES: list[dict[str, Any]] = [
    # 20 of the first 50 ALFA. Bars lived through: 1 and 2 in full (99 to 108), the open of 3 (106).
    {
        "position_id": 1,
        "symbol": "ALFA",
        "status": "partial",
        "decision": 0,
        "entry": 1,
        "entry_price": 101.0,
        "entry_quantity": 20,
        "entry_commission": 5.05 * 20 / 50,  # 2.02
        "entry_slippage": 20 * 1.00,
        "exit_decision": 2,
        "exit": 3,
        "exit_price": 104.94,
        "exit_commission": 2.0988,
        "exit_slippage": 20 * 1.06,  # 21.20
        "pnl_gross": 20 * (106 - 100),
        "dividends": 25.0 * 20 / 50,
        "total_cost": 45.3188,  # 2.02 + 20 + 2.0988 + 21.20
        "pnl_net": 84.6812,  # 120 - 45.3188 + 10
        "pnl_percent": 84.6812 / 2_020,
        "holding_period_bars": 2,
        "holding_period_days": 2.0,
        "max_favorable_pct": 108 / 100 - 1,
        "max_adverse_pct": 99 / 100 - 1,
        "max_favorable_excursion": 20 * 8,
        "max_adverse_excursion": 20 * -1,
    },
    # All 100 BETA. Lived through: bar 2 in full (18 to 21), the open of 4 (20); no bar in 3.
    {
        "position_id": 2,
        "symbol": "BETA",
        "status": "closed",
        "decision": 1,
        "entry": 2,
        "entry_price": 21.21,
        "entry_quantity": 100,
        "entry_commission": 2.121,
        "entry_slippage": 21.0,
        "exit_decision": 2,
        "exit": 4,
        "exit_price": 19.8,
        "exit_commission": 1.98,
        "exit_slippage": 20.0,
        "pnl_gross": 100 * (20 - 21),
        "dividends": 0,
        "total_cost": 45.101,
        "pnl_net": -145.101,
        "pnl_percent": -145.101 / 2_121,
        "holding_period_bars": 1,
        "holding_period_days": 2.875,  # Tuesday 16:00 to Friday 13:00
        "max_favorable_pct": 0,
        "max_adverse_pct": 18 / 21 - 1,
        "max_favorable_excursion": 0,
        "max_adverse_excursion": 100 * (18 - 21),
    },
    # 86 of 195 BETA. Lived through: bar 6 (22 to 25), the open of 7 (25).
    {
        "position_id": 3,
        "symbol": "BETA",
        "status": "partial",
        "decision": 5,
        "entry": 6,
        "entry_price": 23.23,
        "entry_quantity": 86,
        "entry_commission": 1.99778,  # 4.52985 x 86 / 195
        "entry_slippage": 19.78,  # 86 x 0.23
        "exit_decision": 6,
        "exit": 7,
        "exit_price": 24.75,
        "exit_commission": 2.1285,
        "exit_slippage": 21.5,
        "pnl_gross": 86 * (25 - 23),
        "dividends": 0,
        "total_cost": 45.40628,
        "pnl_net": 126.59372,
        "pnl_percent": 126.59372 / 1_997.78,
        "holding_period_bars": 1,
        "holding_period_days": 1.0,
        "max_favorable_pct": 25 / 23 - 1,
        "max_adverse_pct": 22 / 23 - 1,
        "max_favorable_excursion": 86 * 2,
        "max_adverse_excursion": 86 * -1,
    },
    # The rest of ALFA: 30 old shares = 60, and 20 and 24 bought later. Lived through on today's basis: lowest 99 / 2 in
    # bar 1, highest 57 in bar 7; on the exit bar only its open.
    {
        "position_id": 1,
        "symbol": "ALFA",
        "status": "closed",
        "decision": 0,
        "entry": 1,
        "entry_price": PAID / 104,
        "entry_quantity": 104,
        "entry_commission": 5.38936,  # 5.05 x 30 / 50 + 1.0504 + 1.30896
        "entry_slippage": 53.36,  # 30 + 10.40 + 12.96
        "exit_decision": 7,
        "exit": 8,
        "exit_price": 55.44,
        "exit_commission": 5.76576,
        "exit_slippage": 58.24,
        "pnl_gross": 104 * 56 - PAID_RAW,  # 488
        "dividends": 15.0,
        "total_cost": 122.75512,
        "pnl_net": 380.24488,
        "pnl_percent": 380.24488 / PAID,
        "holding_period_bars": 7,
        "holding_period_days": 10.0,
        "max_favorable_pct": 57 * 104 / PAID_RAW - 1,
        "max_adverse_pct": 49.5 * 104 / PAID_RAW - 1,
        "max_favorable_excursion": 57 * 104 - PAID_RAW,  # 592
        "max_adverse_excursion": 49.5 * 104 - PAID_RAW,  # -188
    },
    # Open at the end, valued at the last closes of 59 and 22.
    {
        "position_id": 4,
        "symbol": "ALFA",
        "status": "open",
        "decision": 8,
        "entry": 9,
        "entry_price": 57.57,
        "entry_quantity": 40,
        "entry_commission": 2.3028,
        "entry_slippage": 22.8,
        "pnl_gross": 40 * (59 - 57),
        "dividends": 0,
        "total_cost": 25.1028,
        "pnl_net": 54.8972,
        "pnl_percent": 54.8972 / 2_302.8,
        "holding_period_bars": 0,
        "holding_period_days": 0.0,
        "max_favorable_pct": 60 / 57 - 1,
        "max_adverse_pct": 56 / 57 - 1,
        "max_favorable_excursion": 40 * 3,
        "max_adverse_excursion": 40 * -1,
    },
    # Lived through: 22-25, 23-26, 20-24, 21-23.
    {
        "position_id": 3,
        "symbol": "BETA",
        "status": "open",
        "decision": 5,
        "entry": 6,
        "entry_price": 23.23,
        "entry_quantity": 109,
        "entry_commission": 2.53207,  # 4.52985 x 109 / 195
        "entry_slippage": 25.07,
        "pnl_gross": 109 * (22 - 23),
        "dividends": 0,
        "total_cost": 27.60207,
        "pnl_net": -136.60207,
        "pnl_percent": -136.60207 / 2_532.07,
        "holding_period_bars": 3,
        "holding_period_days": 3.0,
        "max_favorable_pct": 26 / 23 - 1,
        "max_adverse_pct": 20 / 23 - 1,
        "max_favorable_excursion": 109 * 3,
        "max_adverse_excursion": 109 * -3,
    },
]

# order, symbol, side, decided at close of, quantity, filled, status, reason, slice of the last change
ORDERS: list[tuple[Any, ...]] = [
    ("half", "ALFA", "buy", 0, 50, 50, "filled", None, 1),
    ("too_much", "BETA", "buy", 0, 600, 0, "rejected", "insufficient_cash", 1),
    ("beta", "BETA", "buy", 1, 100, 100, "filled", None, 2),
    ("partial", "ALFA", "sell", 2, 20, 20, "filled", None, 3),
    ("beyond", "BETA", "sell", 2, 150, 100, "filled", "short_not_allowed", 4),
    ("across", "ALFA", "buy", 4, 20, 20, "filled", None, 5),
    ("rebalanced_alfa", "ALFA", "buy", 5, 33, 24, "filled", "clipped_to_cash", 6),
    ("rebalanced_beta", "BETA", "buy", 5, 265, 195, "filled", "clipped_to_cash", 6),
    ("fifth", "BETA", "sell", 6, 86, 86, "filled", None, 7),
    ("nothing", "ALFA", "buy", 6, 0, 0, "rejected", "quantity_rounds_to_zero", 6),
    ("close", "ALFA", "sell", 7, 104, 104, "filled", None, 8),
    ("target", "ALFA", "buy", 8, 40, 40, "filled", None, 9),
    ("late", "BETA", "buy", 9, 1, 0, "expired", "end_of_data", 9),
]


def expect(frame: pl.DataFrame, rows: list[dict[str, Any]]) -> None:
    """Compare all columns with rows worked out by hand: numbers within rounding, everything else exactly."""
    expected = pl.DataFrame(rows, schema=dict(frame.schema), strict=False)
    assert_frame_equal(frame, expected, rel_tol=1e-12, abs_tol=1e-9)


@pytest.fixture(params=["batch", "symbol"])
def mode(request: pytest.FixtureRequest) -> Mode:
    value: Mode = request.param
    return value


def test_every_fill_is_as_worked_out(mode: Mode) -> None:
    names = ["order_id", "position_id", "symbol", "side", "decision_timestamp", "timestamp", "quantity", "raw_price"]
    names += ["price", "commission", "slippage"]
    found = result(mode).fills
    rows = []
    for number, (order, position, symbol, side, decided, at, *amounts) in enumerate(FILLS, start=1):
        values = [IDS[order], position, symbol, side, CLOSE[decided], CLOSE[at], *map(float, amounts)]
        rows.append(
            {"fill_id": number, "fill_instant": OPEN[at], "phase": "open", **dict(zip(names, values, strict=True))}
        )
    expect(found, rows)


def test_every_trade_is_as_worked_out(mode: Mode) -> None:
    rows = []
    for number, trade in enumerate(TRADES, start=1):
        instants = ("decision", "entry", "exit_decision", "exit")
        stamps = {f"{name}_timestamp": CLOSE[trade[name]] if name in trade else None for name in instants}
        values = {name: value for name, value in trade.items() if name not in instants}
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        ids = {name: values[name] for name in ("position_id", "holding_period_bars")}
        closed = trade["status"] != "open"
        rows.append(
            {
                **values,
                **numbers,
                **ids,
                **stamps,
                "trade_id": number,
                "side": "long",
                "exit_price": trade.get("exit_price"),
                "exit_quantity": float(trade["entry_quantity"]) if closed else None,
                "exit_commission": trade.get("exit_commission", 0.0),
                "exit_slippage": trade.get("exit_slippage", 0.0),
                "exit_reason": "signal" if closed else None,
                "borrow_fees": 0.0,
                "stop_loss_level": None,
                "take_profit_level": None,
                "ambiguous_bar": False,
                "pnl_net_pessimistic": numbers["pnl_net"],
                "pnl_net_optimistic": numbers["pnl_net"],
            }
        )
    expect(result(mode).trades, rows)


def test_every_portfolio_state_is_as_worked_out(mode: Mode) -> None:
    rows, before = [], 10_000.0
    for at, (cash, alfa, beta) in enumerate(STATES):
        equity = cash + alfa + beta
        rows.append(
            {
                "timestamp": CLOSE[at],
                "equity": equity,
                "cash": cash,
                "positions_value": float(alfa + beta),
                "num_positions": (alfa > 0) + (beta > 0),
                "gross_leverage": (alfa + beta) / equity,
                "net_leverage": (alfa + beta) / equity,
                "period_return": equity / before - 1.0,
                "daily_return": equity / before - 1.0,
                "cumulative_return": equity / 10_000.0 - 1.0,
            }
        )
        before = equity
    expect(result(mode).portfolio_states, rows)
    # 5,606.71393 + 2,360 + 2,398
    assert result(mode).portfolio_states["equity"][-1] == pytest.approx(10_364.71393, rel=1e-12)


def test_daily_returns_are_the_states_of_the_sessions(mode: Mode) -> None:
    states = result(mode).portfolio_states
    columns = ["timestamp", "equity", "daily_return", "cumulative_return"]
    expected = states.select(pl.Series("session", SESSIONS), *columns)
    assert_frame_equal(result(mode).daily_returns, expected)


def test_the_dividend_is_the_only_cash_flow(mode: Mode) -> None:
    flow = {"timestamp": CLOSE[3], "symbol": "ALFA", "position_id": 1, "kind": "dividend", "amount": 50 * 0.5}
    expect(result(mode).cash_flows, [flow])


def test_every_order_has_its_record(mode: Mode) -> None:
    found = result(mode).orders
    names = ["order_id", "symbol", "side", "decision_timestamp", "quantity", "filled_quantity", "status", "reason"]
    names += ["last_timestamp"]
    rows = []
    for order, symbol, side, decided, quantity, filled, status, reason, last in ORDERS:
        amounts = [float(quantity), float(filled)]
        values = [IDS[order], symbol, side, CLOSE[decided], *amounts, status, reason, CLOSE[last]]
        rows.append({"order_type": "market", **dict(zip(names, values, strict=True))})
    expected = pl.DataFrame(rows, schema=dict(found.drop("detail").schema))
    assert_frame_equal(found.drop("detail"), expected.select(found.drop("detail").columns))
    # The numbers behind a refusal or a cut are told.
    told = found.filter(pl.col("reason").is_not_null() & (pl.col("status") != "expired"))
    assert told["detail"].null_count() == 0


def test_both_callback_modes_give_the_same_tables() -> None:
    assert same_tables(result("batch"), result("symbol"))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100, "1w", "1y"])
def test_chunk_size_changes_nothing_to_the_bit(mode: Mode, chunk: str | int) -> None:
    assert same_tables(result(mode, chunk), result(mode, "1mo"))
