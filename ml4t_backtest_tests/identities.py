"""What must hold for every result: a run replayed from its prices, its fills and its corporate actions.

Written from the design, without the package's own code: positions, marks, cash, equity, cash flows and trades are
derived a second time, with totals where the engine keeps averages, and compared with the published tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from ml4t_backtest.core.schemas import result_schemas
from ml4t_backtest.reporting.result import BacktestResult

_APPLIED = {"none": {"split", "dividend"}, "split": {"dividend"}, "total_return": set()}
_EXIT = ("exit_timestamp", "exit_price", "exit_quantity", "exit_reason")
_DAY = timedelta(days=1)
_MOST_ROWS = 1_000_000

Record = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """Prices of one symbol in one slice; `opened` is None where the feed does not tell."""

    open: float
    high: float
    low: float
    close: float
    opened: datetime | None


@dataclass(frozen=True)
class World:
    """What the engine was given."""

    slices: list[tuple[datetime, dict[str, Bar]]]
    actions: list[tuple[date, str, str, float]]
    fractional: bool
    shorts: bool

    @classmethod
    def of(
        cls,
        feed: Any,
        corporate_actions: pl.DataFrame | None = None,
        adjustment: str = "none",
        fractional: bool = False,
        account: str = "cash",
        **_: Any,
    ) -> World | None:
        """Read the arguments of an engine; None when the feed can be read once only or is too large to replay."""
        if iter(feed) is feed:
            return None
        slices, size = [], 0
        for timestamp, rows, _context in feed:
            slices.append((timestamp, _bars(rows)))
            size += rows.height
            if size > _MOST_ROWS:
                return None
        rows = [] if corporate_actions is None else corporate_actions.iter_rows(named=True)
        due = [(row["ex_date"], row["kind"], row["symbol"], row["value"]) for row in rows]
        due = [action for action in due if action[1] in _APPLIED[adjustment]]
        # Splits come before dividends of the same day.
        due.sort(key=lambda action: (action[0], action[1] != "split", action[2]))
        return cls(slices, due, fractional, account != "cash")


def _bars(rows: pl.DataFrame) -> dict[str, Bar]:
    names = ["symbol", "open", "high", "low", "close"]
    opened = rows["open_instant"].to_list() if "open_instant" in rows.columns else [None] * rows.height
    values = rows.select(names).iter_rows()
    return {row[0]: Bar(*row[1:], moment) for row, moment in zip(values, opened, strict=True)}


@dataclass
class Held:
    """One position from flat to flat: quantity on today's basis, everything else in totals not yet given to an exit."""

    first: Record
    side: float
    quantity: float = 0.0
    paid: float = 0.0
    paid_raw: float = 0.0
    commission: float = 0.0
    slippage: float = 0.0
    dividends: float = 0.0
    seen: list[float] = field(default_factory=list)
    bars: int = 0

    def enter(self, fill: Record, quantity: float) -> None:
        """Take in shares of a fill."""
        share = quantity / fill["quantity"]
        self.quantity += quantity
        self.paid += quantity * fill["price"]
        self.paid_raw += quantity * fill["raw_price"]
        self.commission += fill["commission"] * share
        self.slippage += fill["slippage"] * share

    def leave(self, quantity: float, timestamp: datetime, price: float, raw: float) -> Record:
        """Return the trade row of `quantity` shares leaving, without the exit's own costs, decision and reason."""
        part = quantity / self.quantity
        paid, paid_raw = self.paid * part, self.paid_raw * part
        commission, slippage, dividends = self.commission * part, self.slippage * part, self.dividends * part
        moves = [self.side * (seen * quantity / paid_raw - 1.0) for seen in self.seen]
        self.quantity -= quantity
        self.paid -= paid
        self.paid_raw -= paid_raw
        self.commission -= commission
        self.slippage -= slippage
        self.dividends -= dividends
        return {
            "position_id": self.first["position_id"],
            "symbol": self.first["symbol"],
            "side": "long" if self.side > 0 else "short",
            "status": "partial" if self.quantity else "closed",
            "decision_timestamp": self.first["decision_timestamp"],
            "entry_timestamp": self.first["timestamp"],
            "entry_price": paid / quantity,
            "entry_quantity": quantity,
            "entry_commission": commission,
            "entry_slippage": slippage,
            "exit_timestamp": timestamp,
            "exit_price": price,
            "exit_quantity": quantity,
            "exit_commission": 0.0,
            "exit_slippage": 0.0,
            "exit_decision_timestamp": None,
            "exit_reason": None,
            "pnl_gross": self.side * (raw * quantity - paid_raw),
            "dividends": dividends,
            "borrow_fees": 0.0,
            "pnl_percent_of": paid,
            "holding_period_bars": self.bars,
            "holding_period_days": (timestamp - self.first["timestamp"]) / _DAY,
            "max_favorable_pct": max(moves),
            "max_adverse_pct": min(moves),
            "max_favorable_excursion": max(moves) * paid_raw,
            "max_adverse_excursion": min(moves) * paid_raw,
        }


class Replay:
    """Walks through the slices a second time and collects what the tables must say."""

    def __init__(self, result: BacktestResult, world: World) -> None:
        self.cash = result.initial_capital
        self.held: dict[str, Held] = {}
        self.trades: list[Record] = []
        self.flows: list[Record] = []
        self.states: list[Record] = []
        self.complaints: list[str] = []
        self._world = world
        self._marks: dict[str, float] = {}
        self._positions = 0
        self._lived: dict[str, list[datetime]] = {}
        self._fills: dict[datetime, list[Record]] = {}
        for fill in result.fills.iter_rows(named=True):
            self._fills.setdefault(fill["timestamp"], []).append(fill)
        self._sessions = list(result.daily_returns.select("timestamp", "session").iter_rows())

    def walk(self) -> Replay:
        """Go through all slices."""
        due = list(self._world.actions)
        for timestamp, now in self._world.slices:
            while due and due[0][0] <= self._session(timestamp):
                self._apply(due.pop(0), timestamp)
            for symbol in now:
                if symbol in self.held:
                    self.held[symbol].bars += 1
            for fill in self._fills.pop(timestamp, []):
                self._on_fill(fill, now.get(fill["symbol"]))
            for symbol, bar in now.items():
                self._marks[symbol] = bar.close
                self._lived.setdefault(symbol, []).append(timestamp)
                if symbol in self.held:
                    self.held[symbol].seen += [bar.high, bar.low]
            self._record(timestamp)
        if self._fills:
            self.complaints.append(f"fills at times without a slice: {list(self._fills)}")
        last = self._world.slices[-1][0]
        for symbol in sorted(self.held):
            trade = self.held[symbol]
            trade.seen.append(self._marks[symbol])
            row = trade.leave(trade.quantity, last, self._marks[symbol], self._marks[symbol])
            self.trades.append({**row, **dict.fromkeys(_EXIT), "status": "open"})
        return self

    def _session(self, timestamp: datetime) -> date:
        while self._sessions and self._sessions[0][0] < timestamp:
            self._sessions.pop(0)
        traded = self._sessions and timestamp.date() <= self._sessions[0][1]
        return self._sessions[0][1] if traded and timestamp > self._sessions[0][0] - _DAY else timestamp.date()

    def _apply(self, action: tuple[date, str, str, float], timestamp: datetime) -> None:
        _, kind, symbol, value = action
        if kind == "split" and symbol in self._marks:
            self._marks[symbol] /= value
        trade = self.held.get(symbol)
        if trade is None:
            return
        if kind == "dividend":
            amount = trade.side * trade.quantity * value
            trade.dividends += amount
            self._flow(timestamp, trade, kind, amount)
            return
        exact = trade.quantity * value
        whole = exact if self._world.fractional else _whole(exact)
        trade.quantity, trade.seen = exact, [seen / value for seen in trade.seen]
        if math.isclose(exact, whole, rel_tol=1e-9):
            trade.quantity = whole
            return
        mark = self._marks[symbol]
        trade.seen.append(mark)
        self.trades.append({**trade.leave(exact - whole, timestamp, mark, mark), "exit_reason": "corporate_action"})
        trade.quantity = whole
        self._flow(timestamp, trade, "cash_in_lieu", trade.side * (exact - whole) * mark)
        if not whole:
            self.trades[-1]["status"] = "closed"
            del self.held[symbol]

    def _flow(self, timestamp: datetime, trade: Held, kind: str, amount: float) -> None:
        self.cash += amount
        first = trade.first
        self.flows.append(
            {
                "timestamp": timestamp,
                "symbol": first["symbol"],
                "position_id": first["position_id"],
                "kind": kind,
                "amount": amount,
            }
        )

    def _on_fill(self, fill: Record, bar: Bar | None) -> None:
        self._check_price(fill, bar)
        side = 1.0 if fill["side"] == "buy" else -1.0
        self.cash -= side * fill["quantity"] * fill["price"] + fill["commission"]
        symbol, left = fill["symbol"], fill["quantity"]
        trade = self.held.get(symbol)
        if trade is not None and trade.side != side:
            left -= self._exit(trade, fill, bar)
            trade = self.held.get(symbol)
        if left <= 0.0:
            return
        if trade is None:
            self._positions += 1
            if fill["position_id"] != self._positions:
                self.complaints.append(f"fill {fill['fill_id']} opens position {self._positions}, says otherwise")
            trade = self.held[symbol] = Held(fill, side, seen=[fill["raw_price"]])
        trade.enter(fill, left)
        if fill["position_id"] != trade.first["position_id"]:
            self.complaints.append(f"fill {fill['fill_id']} belongs to position {trade.first['position_id']}")
        if side < 0.0 and not self._world.shorts:
            self.complaints.append(f"fill {fill['fill_id']} sells short in a cash account")
        if self.cash < -1e-9 * max(1.0, fill["quantity"] * fill["price"]):
            self.complaints.append(f"fill {fill['fill_id']} opens with cash that is not there: {self.cash!r}")

    def _exit(self, trade: Held, fill: Record, bar: Bar | None) -> float:
        quantity = min(fill["quantity"], trade.quantity)
        share = quantity / fill["quantity"]
        if bar is not None and trade.first["timestamp"] < fill["timestamp"]:
            trade.seen.append(bar.open)
        trade.seen.append(fill["raw_price"])
        row = trade.leave(quantity, fill["timestamp"], fill["price"], fill["raw_price"])
        row["exit_commission"], row["exit_slippage"] = fill["commission"] * share, fill["slippage"] * share
        self.trades.append({**row, "exit_decision_timestamp": fill["decision_timestamp"], "exit_reason": "signal"})
        if row["status"] == "closed":
            del self.held[fill["symbol"]]
        return quantity

    def _check_price(self, fill: Record, bar: Bar | None) -> None:
        name = f"fill {fill['fill_id']}"
        if bar is None:
            self.complaints.append(f"{name} at a time without a bar of {fill['symbol']}")
            return
        raw, price, sign = fill["raw_price"], fill["price"], 1.0 if fill["side"] == "buy" else -1.0
        if not bar.low <= raw <= bar.high:
            self.complaints.append(f"{name}: raw price {raw} outside [{bar.low}, {bar.high}]")
        if raw != bar.open or (bar.opened is not None and fill["fill_instant"] != bar.opened):
            self.complaints.append(f"{name}: a market order fills at the open {bar.open}, {bar.opened}")
        if sign * (price - raw) < 0.0 or not _near(fill["slippage"], sign * (price - raw) * fill["quantity"]):
            self.complaints.append(f"{name}: slippage {fill['slippage']} between {raw} and {price}")
        if not fill["decision_timestamp"] <= fill["fill_instant"] <= fill["timestamp"]:
            self.complaints.append(f"{name}: decision <= fill instant <= slice does not hold")
        if fill["decision_timestamp"] >= fill["timestamp"]:
            self.complaints.append(f"{name}: its slice is not after its decision")

    def _record(self, timestamp: datetime) -> None:
        values = [t.side * t.quantity * self._marks[s] for s, t in sorted(self.held.items())]
        net, gross = math.fsum(values), math.fsum(map(abs, values))
        equity = self.cash + net
        self.states.append(
            {
                "timestamp": timestamp,
                "equity": equity,
                "cash": self.cash,
                "positions_value": net,
                "num_positions": len(values),
                "gross_leverage": gross / equity if equity > 0.0 else None,
                "net_leverage": net / equity if equity > 0.0 else None,
            }
        )


def check(result: BacktestResult, world: World | None) -> None:
    """Raise AssertionError with everything that does not hold."""
    complaints = [*_tables(result), *_orders(result), *_returns(result), *_trade_rows(result)]
    # Other order types have rules of their own; their tests bring them along.
    if world is not None and world.slices and set(result.orders["order_type"]) <= {"market"}:
        complaints += [*_first_eligible(result, world), *_replayed(result, world)]
    assert not complaints, "\n".join(complaints)


def _tables(result: BacktestResult) -> Iterator[str]:
    for name, schema in result_schemas().items():
        frame = result.tables()[name]
        # pandera reports its findings by raising; an empty frame has columns to check as well.
        schema.validate(frame, lazy=True)
        for column in frame.columns:
            if frame.schema[column].is_float() and not frame[column].drop_nulls().is_finite().all():
                yield f"{name}.{column} is not finite"
    extra = set(result.trades.columns) - set(result_schemas()["trades"].columns)
    yield from (f"trades.{name}" for name in extra if not name.startswith(("decision_", "entry_", "exit_")))
    for row in result.trades.iter_rows(named=True):
        is_open = row["status"] == "open"
        if any((row[name] is None) != is_open for name in _EXIT):
            yield f"trade {row['trade_id']}: exit is null when and only when it is open"
    for name, key in (("trades", "trade_id"), ("fills", "fill_id")):
        ids = result.tables()[name][key].to_list()
        if ids != list(range(1, len(ids) + 1)):
            yield f"{name} are not numbered from 1: {ids}"


def _orders(result: BacktestResult) -> Iterator[str]:
    filled = {row["order_id"]: row for row in result.fills.iter_rows(named=True)}
    if len(filled) != result.fills.height:
        yield "a market order fills once"
    orders = {row["order_id"]: row for row in result.orders.iter_rows(named=True)}
    if list(orders) != sorted(orders) or len(orders) != result.orders.height:
        yield "orders are not in sequence"
    if not set(filled) <= set(orders):
        yield f"fills of orders that are not there: {set(filled) - set(orders)}"
    for order_id, row in orders.items():
        fill, status = filled.get(order_id), row["status"]
        if status == "working" or (status == "filled") != (fill is not None):
            yield f"order {order_id} is {status}, fill {fill}"
        if status != "filled" and not row["reason"]:
            yield f"order {order_id} is {status} without a reason"
        if row["filled_quantity"] != (fill["quantity"] if fill else 0.0):
            yield f"order {order_id}: filled quantity {row['filled_quantity']}"
        if fill and (row["side"], row["symbol"], row["decision_timestamp"], row["last_timestamp"]) != (
            fill["side"],
            fill["symbol"],
            fill["decision_timestamp"],
            fill["timestamp"],
        ):
            yield f"order {order_id} and its fill contradict each other"
        if fill and fill["quantity"] > row["quantity"] * (1.0 + 1e-12):
            yield f"order {order_id} fills more than was asked for"


def _returns(result: BacktestResult) -> Iterator[str]:
    """Returns follow from equity; the daily ones from the last state of the session before."""
    states, daily = result.portfolio_states, list(result.daily_returns.iter_rows(named=True))
    before = session_base = last_of_session = result.initial_capital
    sessions = iter(daily)
    session = next(sessions, None)
    for row in states.iter_rows(named=True):
        equity = row["equity"]
        if session is not None and row["timestamp"] > session["timestamp"]:
            session, session_base = next(sessions, None), last_of_session
        expected = {
            "period_return": _growth(before, equity),
            "daily_return": _growth(session_base, equity),
            "cumulative_return": _growth(result.initial_capital, equity),
        }
        yield from _unequal(f"state {row['timestamp']}", row, expected, 1e-9)
        if session is None:
            yield f"state {row['timestamp']} belongs to no session of daily_returns"
        elif session["timestamp"] == row["timestamp"]:
            yield from _unequal("daily_returns", session, {"equity": equity, **_without(expected, "period_return")}, 0.0)
        before = last_of_session = equity
    if len({row["session"] for row in daily}) != len(daily):
        yield "daily_returns has two rows for a session"


def _growth(before: float, now: float) -> float | None:
    return now / before - 1.0 if before > 0.0 else None


def _trade_rows(result: BacktestResult) -> Iterator[str]:
    trades, tolerance = result.trades, _tolerance(result)
    for row in trades.iter_rows(named=True):
        name = f"trade {row['trade_id']}"
        side, quantity = 1.0 if row["side"] == "long" else -1.0, row["entry_quantity"]
        cost = math.fsum(row[f"{end}_{kind}"] for end in ("entry", "exit") for kind in ("commission", "slippage"))
        net = row["pnl_gross"] - cost + row["dividends"] - row["borrow_fees"]
        expected = {"total_cost": cost, "pnl_net": net, "pnl_percent": net / (row["entry_price"] * quantity)}
        yield from _unequal(name, row, expected, tolerance)
        raw_entry = row["entry_price"] - side * row["entry_slippage"] / quantity
        gain = row["pnl_gross"] / (raw_entry * quantity)
        if not row["max_adverse_pct"] - 1e-9 <= gain <= row["max_favorable_pct"] + 1e-9:
            yield f"{name}: raw return {gain} outside its excursions"
        if row["status"] != "open":
            if row["exit_quantity"] != quantity:
                yield f"{name}: entry and exit quantity differ"
            if (row["exit_decision_timestamp"] is None) != (row["exit_reason"] != "signal"):
                yield f"{name}: exit decision {row['exit_decision_timestamp']} for {row['exit_reason']}"
    for cost in ("commission", "slippage"):
        shared = _sum(trades[f"entry_{cost}"]) + _sum(trades[f"exit_{cost}"])
        if abs(shared - _sum(result.fills[cost])) > tolerance:
            yield f"{cost} of trades {shared}, of fills {_sum(result.fills[cost])}"


def _first_eligible(result: BacktestResult, world: World) -> Iterator[str]:
    """A market order fills or fails at the first bar of its symbol that opens at or after the decision."""
    start = result.portfolio_states["timestamp"].min()
    lived: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for timestamp, now in world.slices:
        for symbol, bar in now.items():
            lived.setdefault(symbol, []).append((timestamp, bar.opened))
    for row in result.orders.iter_rows(named=True):
        decided = row["decision_timestamp"]
        if row["status"] == "cancelled" or row["last_timestamp"] <= decided < start:
            continue
        opened = (t for t, moment in lived.get(row["symbol"], []) if (moment or t) >= decided and t > decided)
        first = next(opened, None)
        if row["status"] == "expired" and first is not None and row["symbol"] in lived:
            yield f"order {row['order_id']} expired although it could have filled at {first}"
        if row["status"] == "filled" and row["last_timestamp"] != first:
            yield f"order {row['order_id']} filled at {row['last_timestamp']}, not at {first}"


def _replayed(result: BacktestResult, world: World) -> Iterator[str]:
    replay, tolerance = Replay(result, world).walk(), _tolerance(result)
    yield from replay.complaints
    start = result.portfolio_states["timestamp"].min()
    states = [state for state in replay.states if start is not None and state["timestamp"] >= start]
    yield from _rows_differ("portfolio_states", result.portfolio_states, states, tolerance)
    yield from _rows_differ("cash_flows", result.cash_flows, replay.flows, tolerance)
    yield from _rows_differ("trades", result.trades, [_finished(row) for row in replay.trades], tolerance)
    gained = _sum(result.trades["pnl_net"])
    if states and abs(gained - (states[-1]["equity"] - result.initial_capital)) > tolerance:
        yield f"sum(pnl_net) {gained} is not the gain {states[-1]['equity'] - result.initial_capital}"


def _finished(row: Record) -> Record:
    cost = row["entry_commission"] + row["entry_slippage"] + row["exit_commission"] + row["exit_slippage"]
    net = row["pnl_gross"] - cost + row["dividends"] - row["borrow_fees"]
    percent = net / row["pnl_percent_of"]
    return {**_without(row, "pnl_percent_of"), "total_cost": cost, "pnl_net": net, "pnl_percent": percent}


def _rows_differ(name: str, frame: pl.DataFrame, expected: list[Record], tolerance: float) -> Iterator[str]:
    if frame.height != len(expected):
        yield f"{name}: {frame.height} rows, the replay has {len(expected)}"
        return
    for number, (row, wanted) in enumerate(zip(frame.iter_rows(named=True), expected, strict=True)):
        yield from _unequal(f"{name} row {number}", row, wanted, tolerance)


def _unequal(name: str, row: Record, expected: Record, tolerance: float) -> Iterator[str]:
    for column, wanted in expected.items():
        found = row[column]
        is_number = isinstance(wanted, float) and isinstance(found, float)
        if not (_near(found, wanted, tolerance) if is_number else found == wanted):
            yield f"{name}: {column} is {found!r}, expected {wanted!r}"


def _near(found: float, wanted: float, tolerance: float = 0.0) -> bool:
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=max(tolerance, 1e-12))


def _tolerance(result: BacktestResult) -> float:
    """Return 1e-9 x max(1, turnover), as the design states it."""
    fills = result.fills
    return 1e-9 * max(1.0, _sum(fills["quantity"] * fills["price"]))


def _sum(values: Iterable[float]) -> float:
    return math.fsum(values)


def _whole(quantity: float) -> float:
    nearest = float(round(quantity))
    return nearest if math.isclose(quantity, nearest, rel_tol=1e-12) else float(math.floor(quantity))


def _without(row: Record, name: str) -> Record:
    return {column: value for column, value in row.items() if column != name}


