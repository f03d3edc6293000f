"""The engine on a world of the oracle: the same prices, the same tape through the public helpers, and a comparison."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from ml4t_backtest import BacktestEngine, BacktestResult, PolarsDataFeed, Strategy
from ml4t_backtest.execution.accounts import MarginAccount
from oracle.vocabulary import F, Line, Outcome, Report, Tape, Trade, World

SLIPPAGES = {
    "none": ("NoSlippage", ()),
    "percentage": ("PercentageSlippage", ("rate",)),
    "fixed": ("FixedSlippage", ("amount",)),
    "spread": ("SpreadSlippage", ("spread",)),
}
COMMISSIONS = {
    "none": ("NoCommission", ()),
    "percentage": ("PercentageCommission", ("rate",)),
    "per_share": ("PerShareCommission", ("per_share", "minimum")),
    "per_order": ("PerOrderCommission", ("amount",)),
    "tiered": ("TieredCommission", ("tiers",)),
}
# World attribute -> option of the engine, given only where it differs from the default.
OPTIONS = {
    "max_volume_share": "max_volume_share",
    "fractional": "fractional",
    "intrabar_path": "intrabar_path",
    "on_insufficient_cash": "on_insufficient_cash",
    "end_of_data": "end_of_data",
    "delisting_after": "delisting_after",
}
ORDER_WORDS = (
    "quantity",
    "percent",
    "limit",
    "stop",
    "trailing_amount",
    "trailing_percent",
    "market_on_close",
    "tif",
    "stop_loss",
    "take_profit",
    "stop_loss_percent",
    "take_profit_percent",
    "trailing_stop_percent",
    "max_holding_bars",
)
# What the tape leaves at its default is not said, so that helpers without the word can be driven.
SILENT = {"market_on_close": False, "tif": "gtc"}
TOLERANCE = 1e-9


class TapePlayer(Strategy):
    """Does at each slice what the tape says; `ids` are the engine's ids in the order of the tape."""

    def __init__(self, world: World, tape: Tape) -> None:
        self._slices = {day: now for now, day in enumerate(world.days)}
        self._tape = tape
        self.ids: list[int] = []

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        for line in self._tape.get(self._slices[timestamp.date()], ()):
            self.ids += give(self, line, self.ids)


def give(strategy: Strategy, line: Line, ids: Sequence[int]) -> list[int]:
    """Do what a line of a tape says; return the ids of the orders it made.

    Args:
        strategy: Who orders.
        line: What is said.
        ids: The orders that the lines before it made.
    """
    if line.action == "rebalance":
        weights = {symbol: float(weight) for symbol, weight in line.weights}
        return strategy.rebalance(weights, others=line.others)
    if line.action in ("cancel", "replace"):
        if line.nth < len(ids):
            getattr(strategy, line.action)(ids[line.nth], **words(line))
        return []
    if line.action.startswith("order_target"):
        name = line.action.removeprefix("order_target_")
        return [getattr(strategy, line.action)(line.symbol, float(getattr(line, name)))]
    return [getattr(strategy, line.action)(line.symbol, **words(line))]


def words(line: Line) -> dict[str, Any]:
    """Return the keyword arguments of a helper."""
    said = {name: getattr(line, name) for name in ORDER_WORDS}
    said = {name: value for name, value in said.items() if value is not None and value != SILENT.get(name)}
    # The helper calls the distance of a trailing order `trailing`.
    said = {("trailing" if name == "trailing_amount" else name): value for name, value in said.items()}
    return {name: float(value) if isinstance(value, F) else value for name, value in said.items()}


def play(world: World, tape: Tape, *, chunk: int | str = "1mo") -> tuple[BacktestResult, TapePlayer]:
    """Run the engine on a world."""
    feed = PolarsDataFeed(frame(world), bar_label="session", frequency="1d", chunk=chunk)
    player = TapePlayer(world, tape)
    return BacktestEngine(feed, player, **options(world)).run(), player


def frame(world: World) -> pl.DataFrame:
    """Return the bars as raw daily data, labelled by session."""
    rows = [
        {"timestamp": world.days[now], "symbol": symbol, **{k: float(v) for k, v in vars(bar).items()}}
        for symbol, bars in world.bars.items()
        for now, bar in enumerate(bars)
        if bar is not None
    ]
    return pl.DataFrame(rows)


def options(world: World) -> dict[str, Any]:
    """Return the engine's keyword arguments."""
    plain = World(bars={})
    said = {
        option: getattr(world, name) for name, option in OPTIONS.items() if getattr(world, name) != getattr(plain, name)
    }
    said = {name: float(value) if isinstance(value, F) else value for name, value in said.items()}
    if world.account == "margin":
        long, short = map(float, world.maintenance)
        said["account"] = MarginAccount(float(world.initial), long, short, float(world.borrow_rate))
    if world.actions:
        types = {"symbol": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
        rows = [(a.symbol, world.days[a.slice], a.kind, float(a.value)) for a in world.actions]
        said["corporate_actions"] = pl.DataFrame(rows, schema=types, orient="row")
    return {
        "initial_capital": float(world.capital),
        "slippage": _model("slippage", SLIPPAGES, world.slippage),
        "commission": _model("commission", COMMISSIONS, world.commission),
        **said,
    }


def _model(module: str, known: Mapping[str, tuple[str, tuple[str, ...]]], model: tuple) -> Any:
    name, fields = known[model[0]]
    numbers = [float(number) for number in model[1:]]
    if model[0] == "tiered":
        numbers = [tuple(zip(numbers[::2], numbers[1::2], strict=True))]
    found = getattr(importlib.import_module(f"ml4t_backtest.execution.{module}"), name)
    return found(**dict(zip(fields, numbers, strict=True)))


# Comparison

Row = tuple[Any, ...]
NO_ORDER = (None, None, None, None)
# The codes that the contract names; others may be called as the engine likes.
NAMED = ("short_not_allowed", "no_price", "position_closed", "no_volume")


def disagreements(world: World, report: Report, result: BacktestResult, player: TapePlayer) -> list[str]:
    """Say where engine and oracle differ, the first row of each table."""
    turnover = sum(float(fill.quantity * fill.price) for fill in report.fills)
    same = _Same(world.exact, TOLERANCE * max(1.0, turnover))
    wanted, found = _of_oracle(report), _of_engine(world, result, player)
    return [line for table in wanted for line in _compare(table, wanted[table], found[table], same)]


class _Same:
    """Whether two values agree: money to the bit where floating point loses nothing, else within a tolerance."""

    def __init__(self, exact: bool, tolerance: float) -> None:
        self._exact = exact
        self._tolerance = tolerance

    def __call__(self, wanted: Any, found: Any, *, exactly: bool) -> bool:
        if not isinstance(wanted, F) or found is None:
            return bool(wanted == found)
        if self._exact and exactly and F(float(wanted)) == wanted:
            return bool(F(found) == wanted)
        return abs(float(wanted) - found) <= self._tolerance


def _compare(table: str, wanted: list[Row], found: list[Row], same: _Same) -> Iterator[str]:
    if len(wanted) != len(found):
        yield f"{table}: {len(wanted)} rows expected, the engine has {len(found)}"
    exactly = table != "trades"  # average prices divide
    for number, (row, other) in enumerate(zip(wanted, found, strict=False)):
        if row[1:] == NO_ORDER and other[1:] != NO_ORDER and other[2:4] == ("rejected", 0.0):
            continue
        if not all(same(one, two, exactly=exactly) for one, two in zip(row, other, strict=True)):
            yield f"{table} row {number}: expected {_shown(row)}, the engine has {_shown(other)}"
            return
    for number, row in list(enumerate(wanted))[len(found) :][:1]:
        yield f"{table} row {number}: expected {_shown(row)}, the engine has nothing"
    for number, row in list(enumerate(found))[len(wanted) :][:1]:
        yield f"{table} row {number}: expected nothing, the engine has {_shown(row)}"


def _shown(row: Row) -> str:
    return "(" + ", ".join(str(float(v)) if isinstance(v, F) else str(v) for v in row) + ")"


def _of_oracle(report: Report) -> dict[str, list[Row]]:
    return {
        "fills": [(f.slice, f.symbol, f.side, f.quantity, f.raw, f.price, f.commission) for f in report.fills],
        "orders": [_order(n, o) for n, o in enumerate(report.outcomes)],
        "cash_flows": sorted((f.slice, f.symbol, f.kind, f.amount) for f in report.flows),
        "states": [(s.slice, s.cash, s.equity, len(s.positions)) for s in report.states],
        "trades": sorted((_trade(trade) for trade in report.trades), key=_trade_key),
    }


def _order(number: int, outcome: Outcome) -> Row:
    # An order for no shares, such as a target already met, may be rejected or leave no record.
    if outcome.reason == "zero_quantity":
        return (number, *NO_ORDER)
    return (number, outcome.symbol, outcome.status, outcome.filled, _named(outcome.reason))


def _named(reason: str | None) -> str | None:
    return reason if reason in NAMED else None


def _trade(trade: Trade) -> Row:
    values = vars(trade)
    return tuple(values[name] for name in TRADE)


TRADE = (
    "symbol",
    "entry_slice",
    "exit_slice",
    "status",
    "exit_reason",
    "quantity",
    "side",
    "entry_price",
    "exit_price",
    "entry_commission",
    "entry_slippage",
    "exit_commission",
    "exit_slippage",
    "pnl_gross",
    "dividends",
    "borrow_fees",
    "pnl_net",
    "bars",
    "max_favorable_pct",
    "max_adverse_pct",
    "ambiguous",
)
RENAMED = {
    "quantity": "entry_quantity",
    "bars": "holding_period_bars",
    "ambiguous": "ambiguous_bar",
    "entry_slice": "entry_timestamp",
    "exit_slice": "exit_timestamp",
}


def _trade_key(row: Row) -> tuple[Any, ...]:
    symbol, entry, left, status, reason, quantity = row[:6]
    return (symbol, entry, left is None, left or 0, status, reason or "", quantity)


def _of_engine(world: World, result: BacktestResult, player: TapePlayer) -> dict[str, list[Row]]:
    slices = {day: now for now, day in enumerate(world.days)}

    def at(moment: datetime | None) -> int | None:
        return None if moment is None else slices[moment.date()]

    fills = result.fills.select("timestamp", "symbol", "side", "quantity", "raw_price", "price", "commission").rows()
    flows = result.cash_flows.select("timestamp", "symbol", "kind", "amount").rows()
    states = result.portfolio_states.select("timestamp", "cash", "equity", "num_positions").rows()
    known = {row["order_id"]: row for row in result.orders.iter_rows(named=True)}
    orders = [_engine_order(number, known.get(order_id)) for number, order_id in enumerate(player.ids)]
    names = [RENAMED.get(name, name) for name in TRADE]
    trades = [[row[name] for name in names] for row in result.trades.iter_rows(named=True)]
    trades = [[at(v) if isinstance(v, datetime) else v for v in row] for row in trades]
    return {
        "fills": [(at(row[0]), *row[1:]) for row in fills],
        "orders": orders,
        "cash_flows": sorted((at(row[0]), *row[1:]) for row in flows),
        "states": [(at(row[0]), *row[1:]) for row in states],
        "trades": sorted(map(tuple, trades), key=_trade_key),
    }


def _engine_order(number: int, row: Mapping[str, Any] | None) -> Row:
    if row is None:
        return (number, *NO_ORDER)
    return (number, row["symbol"], row["status"], row["filled_quantity"], _named(row["reason"]))
