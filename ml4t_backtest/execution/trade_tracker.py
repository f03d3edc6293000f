"""From fills and prices to trades: one row per exit fill, average cost, entry costs pro rata.

The tracker reads a chunk at a time, after the fact: what happened to positions in it (fills, splits, cash flows) and
the prices between. It decides nothing and the broker never asks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.core.chunk import Chunk, Integers
from ml4t_backtest.core.fill import Alternative, CashFlow, Fill, JournalEntry, LedgerEvent, SplitEvent
from ml4t_backtest.core.fill_table import FillTable, placed_events
from ml4t_backtest.core.orders import NO_ROW
from ml4t_backtest.execution.carried import Carried
from ml4t_backtest.execution.round_trips import (
    INSTANTS,
    PLACE,
    TRADE_TYPES,
    plain_positions,
    round_trip_rows,
    with_datetimes,
)
from ml4t_backtest.execution.symbol_bars import (
    SymbolBars,
    bar_of,
    bars_before,
    bars_of,
    first_full_bar,
    rest_of_bar,
)

_MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(slots=True)
class _OpenTrade:
    """A position on its way from flat to flat.

    Quantities are >= 0 on today's share basis; the pools are what has not been given to an exit yet.
    """

    first: Fill
    side: float
    quantity: float
    average_price: float
    average_raw: float
    highest: float
    lowest: float
    entry_bar: int
    stop_loss: float | None = None
    take_profit: float | None = None
    ambiguous: bool = False
    # How else the shares that an order takes could have left; unknown where a doubt has no ends.
    ends: dict[int, tuple[Alternative, Alternative]] = field(default_factory=dict)
    unbounded: bool = False
    # What of the entry bar was certainly lived through, until the bar is over.
    rest_of_entry_bar: tuple[float, float] | None = None
    commission: float = 0.0
    slippage: float = 0.0
    dividends: float = 0.0
    borrow_fees: float = 0.0

    def add(self, quantity: float, price: float, raw: float, commission: float, slippage: float) -> None:
        """Take in an entry of `quantity` shares at average cost."""
        total = self.quantity + quantity
        self.average_price = (self.quantity * self.average_price + quantity * price) / total
        self.average_raw = (self.quantity * self.average_raw + quantity * raw) / total
        self.quantity = total
        self.commission += commission
        self.slippage += slippage

    def see(self, high: float, low: float) -> None:
        """Take in prices the position lived through."""
        self.highest = max(self.highest, high)
        self.lowest = min(self.lowest, low)

    def end_entry_bar(self) -> None:
        """Take in what the entry bar still showed, once the position has outlived it."""
        if self.rest_of_entry_bar is not None:
            self.see(*self.rest_of_entry_bar)
            self.rest_of_entry_bar = None

    def rescale(self, ratio: float) -> None:
        """Put everything per share on the basis after a split."""
        self.stop_loss = None if self.stop_loss is None else self.stop_loss / ratio
        self.take_profit = None if self.take_profit is None else self.take_profit / ratio
        self.quantity *= ratio
        self.average_price /= ratio
        self.average_raw /= ratio
        self.highest /= ratio
        self.lowest /= ratio

    def doubt(self, ends: tuple[Alternative, Alternative] | None) -> None:
        """Take in that a bar leaves open what becomes of the position, between `ends` where they are known."""
        self.ambiguous = True
        if ends is None:
            self.unbounded = True
        else:
            self.ends |= dict.fromkeys((end.order_id for end in ends), ends)

    def release(self, quantity: float) -> dict[str, float]:
        """Give `quantity` of the shares their part of the pools; the last shares get all that is left."""
        share = 1.0 if quantity == self.quantity else quantity / self.quantity
        part = {}
        for pool in ("commission", "slippage", "dividends", "borrow_fees"):
            held = getattr(self, pool)
            part[pool] = held * share
            setattr(self, pool, held - part[pool])
        self.quantity = 0.0 if share == 1.0 else self.quantity - quantity
        return part

    def raw_return(self, price: float) -> float:
        """Return the gain from the average raw entry to `price`, a fraction."""
        return self.side * (price / self.average_raw - 1.0)


@dataclass(slots=True)
class _Exit:
    """How shares left a position; the fill's costs are those of these shares."""

    quantity: float
    timestamp: int
    price: float
    raw_price: float
    commission: float = 0.0
    slippage: float = 0.0
    reason: str = "signal"
    decided: int | None = None
    row: int = NO_ROW
    order_id: int = NO_ROW


class TradeTracker:
    """Turns what happened to positions into trade rows, chunk by chunk."""

    def __init__(self, symbols: list[str]) -> None:
        self._symbols = symbols
        self._open: dict[int, _OpenTrade] = {}
        self._carried = Carried.none()
        self._parts: list[pl.DataFrame] = []

    def read(self, chunk: Chunk, entries: Sequence[JournalEntry], fills: FillTable) -> None:
        """Take in one chunk: what happened in it, in order, its fills as columns, and its prices.

        A position that one fill opens and the next one closes, both at an open, is a row by arithmetic on columns, and
        columns are what is kept of it until then; what happens to all others is gone through event by event.
        """
        begun, others = self._carried.followed_by(fills), placed_events(entries)
        entered, left, staying = plain_positions(begun.fills, [event.symbol_id for _, event in others])
        plain = np.zeros(len(begun), dtype=bool)
        plain[entered] = plain[left] = plain[staying] = True
        singles = np.flatnonzero(~plain)
        is_new = singles >= begun.before
        self._take_up(begun, singles[~is_new])
        events = [(begun.fills.place.item(index), begun.fills.fill(index)) for index in singles[is_new].tolist()]
        rows = self._walk_through(chunk, sorted([*events, *others], key=lambda event: event[0]))
        self._carried = begun.at_end(chunk, staying)
        parts = [round_trip_rows(chunk, begun, entered, left)] if len(entered) else []
        parts += [_as_frame(rows)] if rows else []
        if parts:
            # Exits of one slice keep the order of their fills over all symbols, however the chunks fall.
            self._parts.append(pl.concat(parts).sort(PLACE).drop(PLACE))

    def frame(self, marks: dict[int, float], timestamp: int) -> pl.DataFrame:
        """Return all trades so far with REFERENCES columns, open positions valued at `marks` at `timestamp`."""
        self._take_up(self._carried, np.arange(len(self._carried)))
        still_open = [(0, self._open_row(trade, marks[symbol_id], timestamp)) for symbol_id, trade in self._in_order()]
        frames = [*self._parts, _as_frame(still_open).drop(PLACE)]
        return pl.concat(frames).with_row_index("trade_id", offset=1)

    def _take_up(self, begun: Carried, which: Integers) -> None:
        """Go on with some positions as objects, from the bars before the present chunk."""
        for index in which.tolist():
            first, bars = begun.fills.fill(index), begun.bars.item(index)
            trade = _begun(first, abs(first.quantity), -bars)
            trade.see(begun.highest.item(index), begun.lowest.item(index))
            self._open[first.symbol_id] = trade

    def _walk_through(
        self, chunk: Chunk, events: Sequence[tuple[int, LedgerEvent]]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Go through events, symbol by symbol; return the exits as (place, row)."""
        by_symbol: dict[int, list[tuple[int, LedgerEvent]]] = {symbol_id: [] for symbol_id in self._open}
        for place, event in events:
            by_symbol.setdefault(event.symbol_id, []).append((place, event))
        rows: list[tuple[int, dict[str, Any]]] = []
        for symbol_id, own in by_symbol.items():
            rows += self._walk(symbol_id, own, chunk, bars_of(chunk, symbol_id))
        return rows

    def _in_order(self) -> list[tuple[int, _OpenTrade]]:
        return sorted(self._open.items(), key=lambda item: self._symbols[item[0]])

    def _walk(
        self, symbol_id: int, events: Sequence[tuple[int, LedgerEvent]], chunk: Chunk, bars: SymbolBars
    ) -> list[tuple[int, dict[str, Any]]]:
        """Go through one symbol's events and the bars between them; return the exits as (place, row)."""
        exits: list[tuple[int, dict[str, Any]]] = []
        seen = 0
        for place, event in events:
            bar = bar_of(event, chunk, bars)
            trade = self._open.get(symbol_id)
            if trade is not None:
                _live_through(trade, bars, seen, bar)
            seen = max(seen, bar)
            row = None
            if isinstance(event, Fill):
                row = self._on_fill(trade, event, bar, bars)
                now = self._open.get(symbol_id)
                seen = max(seen, first_full_bar(event, bar)) if now is not None and now is not trade else seen
            elif isinstance(event, SplitEvent):
                row = self._on_split(trade, event, bars_before(event, bar, chunk, bars))
            elif isinstance(event, CashFlow):
                self._on_cash_flow(trade, event)
            elif trade is not None:
                trade.doubt(event.ends)
            if row is not None:
                exits.append((place, row))
        trade = self._open.get(symbol_id)
        if trade is not None:
            trade.end_entry_bar()
            _live_through(trade, bars, seen, len(bars.rows))
            trade.entry_bar -= len(bars.rows)
        return exits

    def _on_fill(self, trade: _OpenTrade | None, fill: Fill, bar: int, bars: SymbolBars) -> dict[str, Any] | None:
        side = 1.0 if fill.quantity > 0.0 else -1.0
        size = abs(fill.quantity)
        if trade is None:
            self._enter(fill, size, bar, bars)
            return None
        if trade.side == side:
            trade.add(size, fill.price, fill.raw_price, fill.commission, fill.slippage)
            return None
        if trade.entry_bar < bar and fill.phase != "settled":
            # Of the exit bar only its open is certain to have been lived through.
            trade.see(float(bars.open[bar]), float(bars.open[bar]))
        closed = min(size, trade.quantity)
        row = self._exit(trade, _exit_of(fill, closed), bar - (fill.phase == "settled"))
        if size > closed:
            self._enter(fill, size - closed, bar, bars)
        return row

    def _enter(self, fill: Fill, size: float, bar: int, bars: SymbolBars) -> None:
        """Open a trade with `size` shares of a fill."""
        trade = _begun(fill, size, bar)
        trade.rest_of_entry_bar = rest_of_bar(fill, bar, bars)
        self._open[fill.symbol_id] = trade

    def _on_split(self, trade: _OpenTrade | None, split: SplitEvent, bar: int) -> dict[str, Any] | None:
        if trade is None:
            return None
        trade.rescale(split.ratio)
        paid_out = abs(split.lieu_quantity)
        trade.quantity = abs(split.quantity) + paid_out
        if paid_out == 0.0:
            return None
        price = split.lieu_price
        return self._exit(trade, _Exit(paid_out, split.timestamp, price, price, reason="corporate_action"), bar)

    def _on_cash_flow(self, trade: _OpenTrade | None, flow: CashFlow) -> None:
        if trade is not None and flow.kind == "dividend":
            trade.dividends += flow.amount
        elif trade is not None and flow.kind == "borrow_fee":
            trade.borrow_fees -= flow.amount

    def _exit(self, trade: _OpenTrade, leaving: _Exit, bar: int) -> dict[str, Any]:
        trade.see(leaving.raw_price, leaving.raw_price)
        row = _row(trade, leaving, bar - trade.entry_bar)
        if trade.quantity == 0.0:
            del self._open[trade.first.symbol_id]
        return row

    def _open_row(self, trade: _OpenTrade, mark: float, timestamp: int) -> dict[str, Any]:
        """Value what is still held as if it left at the mark without costs, then blank the exit."""
        leaving = _Exit(trade.quantity, timestamp, mark, mark)
        trade.see(mark, mark)
        # Chunks behind it were subtracted from entry_bar, so bar -1 is the symbol's last one.
        row = _row(trade, leaving, -1 - trade.entry_bar)
        blank = dict.fromkeys(("exit_timestamp", "exit_price", "exit_quantity", "exit_reason"))
        return {**row, **blank, "status": "open"}


def _begun(fill: Fill, size: float, bar: int) -> _OpenTrade:
    """Return a trade that `size` shares of a fill open; a flip brings its costs along pro rata."""
    share = size / abs(fill.quantity)
    return _OpenTrade(
        first=fill,
        side=1.0 if fill.quantity > 0.0 else -1.0,
        quantity=size,
        average_price=fill.price,
        average_raw=fill.raw_price,
        highest=fill.raw_price,
        lowest=fill.raw_price,
        entry_bar=bar,
        stop_loss=fill.stop_loss,
        take_profit=fill.take_profit,
        commission=fill.commission * share,
        slippage=fill.slippage * share,
    )


def _live_through(trade: _OpenTrade, bars: SymbolBars, first: int, last: int) -> None:
    """Take in the bars from `first` up to `last`, whole."""
    if last > first:
        trade.end_entry_bar()
        trade.see(float(bars.high[first:last].max()), float(bars.low[first:last].min()))
    elif last > trade.entry_bar:
        trade.end_entry_bar()


def _exit_of(fill: Fill, closed: float) -> _Exit:
    share = closed / abs(fill.quantity)
    return _Exit(
        quantity=closed,
        timestamp=fill.timestamp,
        price=fill.price,
        raw_price=fill.raw_price,
        commission=fill.commission * share,
        slippage=fill.slippage * share,
        reason=fill.exit_reason,
        decided=fill.decided if fill.exit_reason == "signal" else None,
        row=fill.row,
        order_id=fill.order_id,
    )


def _row(trade: _OpenTrade, leaving: _Exit, bars_held: int) -> dict[str, Any]:
    """Return the published columns of one exit, with REFERENCES."""
    first, quantity = trade.first, leaving.quantity
    side, entry_price, entry_raw = trade.side, trade.average_price, trade.average_raw
    favorable = trade.raw_return(trade.highest if side > 0 else trade.lowest)
    adverse = trade.raw_return(trade.lowest if side > 0 else trade.highest)
    part = trade.release(quantity)
    gross, cost, net = _result(trade, leaving, part)
    pessimistic, optimistic = _ends(trade, leaving, part)
    return {
        "position_id": first.position_id,
        "symbol_id": first.symbol_id,
        "side": "long" if side > 0 else "short",
        "status": "closed" if trade.quantity == 0.0 else "partial",
        "decision_timestamp": first.decided,
        "entry_timestamp": first.timestamp,
        "entry_price": entry_price,
        "entry_quantity": quantity,
        "entry_commission": part["commission"],
        "entry_slippage": part["slippage"],
        "exit_decision_timestamp": leaving.decided,
        "exit_timestamp": leaving.timestamp,
        "exit_price": leaving.price,
        "exit_quantity": quantity,
        "exit_commission": leaving.commission,
        "exit_slippage": leaving.slippage,
        "exit_reason": leaving.reason,
        "pnl_gross": gross,
        "dividends": part["dividends"],
        "borrow_fees": part["borrow_fees"],
        "total_cost": cost,
        "pnl_net": net,
        "pnl_percent": net / (entry_price * quantity),
        "holding_period_bars": bars_held,
        "holding_period_days": (leaving.timestamp - first.timestamp) / _MICROSECONDS_PER_DAY,
        "stop_loss_level": trade.stop_loss,
        "take_profit_level": trade.take_profit,
        "max_favorable_excursion": favorable * entry_raw * quantity,
        "max_adverse_excursion": adverse * entry_raw * quantity,
        "max_favorable_pct": favorable,
        "max_adverse_pct": adverse,
        "ambiguous_bar": trade.ambiguous,
        "pnl_net_pessimistic": pessimistic,
        "pnl_net_optimistic": optimistic,
        "decision_slice": first.decision_slice,
        "decision_row": first.decision_row,
        "entry_row": first.row,
        "exit_row": leaving.row,
    }


def _result(trade: _OpenTrade, leaving: _Exit | Alternative, part: dict[str, float]) -> tuple[float, float, float]:
    """Return gross and cost and net of shares that leave, with their part of the position's pools."""
    gross = trade.side * (leaving.raw_price - trade.average_raw) * leaving.quantity
    cost = part["commission"] + part["slippage"] + leaving.commission + leaving.slippage
    return gross, cost, gross - cost + part["dividends"] - part["borrow_fees"]


def _ends(trade: _OpenTrade, leaving: _Exit, part: dict[str, float]) -> tuple[float | None, float | None]:
    """Return the net result had the stop been reached first, and had the target; None where that is unknown."""
    ends = trade.ends.get(leaving.order_id, (leaving, leaving))
    # An order that filled less than it could have leaves its bracket at work: its other story goes on too.
    trade.unbounded = trade.unbounded or any(end.quantity != leaving.quantity for end in ends)
    if trade.unbounded:
        return None, None
    return _result(trade, ends[0], part)[2], _result(trade, ends[1], part)[2]


def _as_frame(rows: Sequence[tuple[int, dict[str, Any]]]) -> pl.DataFrame:
    """Return (place, row) of trades as a frame with instants as datetimes; symbols are still ids."""
    types = TRADE_TYPES | dict.fromkeys(INSTANTS, pl.Int64)
    frame = pl.DataFrame([{PLACE: place, **row} for place, row in rows], schema=types, orient="row")
    return with_datetimes(frame)
