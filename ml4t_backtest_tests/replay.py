"""A run lived through a second time, from its prices, its fills and its corporate actions.

Written from the design, without the package's own code: positions, marks, cash, equity, cash flows and trades are
derived anew, with totals where the engine keeps averages.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from ml4t_backtest.reporting.result import BacktestResult

_APPLIED = {"none": {"split", "dividend"}, "split": {"dividend"}, "total_return": set()}
EXIT = ("exit_timestamp", "exit_price", "exit_quantity", "exit_reason")
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

    @classmethod
    def of(
        cls,
        feed: Any,
        corporate_actions: pl.DataFrame | None = None,
        adjustment: str = "none",
        fractional: bool = False,
        account: Any = None,
        max_volume_share: float | None = None,
        profile: Any = None,
        fill_at: Any = None,
        state_frequency: str = "slice",
        **_: Any,
    ) -> World | None:
        """Read the arguments of an engine; None when a replay knows less than they ask for.

        That is: a feed that can be read once only or is too large, credit, a volume cap, states that leave slices out,
        the rules of another engine.
        """
        told = account is None and max_volume_share is None and state_frequency == "slice"
        if iter(feed) is feed or not told or profile is not None or fill_at is not None:
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
        return cls(slices, due, fractional)


def _bars(rows: pl.DataFrame) -> dict[str, Bar]:
    names = ["symbol", "open", "high", "low", "close"]
    opened = rows["open_instant"].to_list() if "open_instant" in rows.columns else [None] * rows.height
    values = rows.select(names).iter_rows()
    return {row[0]: Bar(*row[1:], moment) for row, moment in zip(values, opened, strict=True)}


def is_told_in_full(result: BacktestResult) -> bool:
    """Whether a run holds nothing but what a replay knows: orders at the open of whole bars, by a living cash account.

    Other order types, brackets, margin and settlements have the oracle (`oracle/`) and tables by hand.
    """
    plain = result.orders["order_type"].is_in(["market"]).all() and (result.fills["phase"] == "open").all()
    ordered = result.trades["exit_reason"].drop_nulls().is_in(["signal", "corporate_action"]).all()
    flows = result.cash_flows["kind"].is_in(["dividend", "cash_in_lieu"]).all()
    filled_in_part = (pl.col("status") != "filled") & (pl.col("filled_quantity") > 0.0)
    filled_once = result.fills["order_id"].n_unique() == result.fills.height
    filled_once = filled_once and result.orders.filter(filled_in_part).is_empty()
    alive = result.portfolio_states.is_empty() or result.portfolio_states["equity"][-1] > 0.0
    return bool(plain and ordered and flows and filled_once and alive)


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
        self._start = result.portfolio_states["timestamp"].min()
        self._sessions = deque(result.daily_returns.select("timestamp", "session").iter_rows())

    def walk(self) -> Replay:
        """Go through all slices."""
        due = deque(self._world.actions)
        for timestamp, now in self._world.slices:
            for symbol in now:
                if symbol in self.held:
                    self.held[symbol].bars += 1
            session = self._session(timestamp)
            while due and due[0][0] <= session:
                self._apply(due.popleft(), timestamp)
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
            self.trades.append({**row, **dict.fromkeys(EXIT), "status": "open"})
        return self

    def _session(self, timestamp: datetime) -> date:
        """Return the session of a slice: as recorded, its date before the traded span."""
        while self._sessions and self._sessions[0][0] < timestamp:
            self._sessions.popleft()
        return self._sessions[0][1] if self._sessions and timestamp >= self._start else timestamp.date()

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
        if side < 0.0:
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
        if sign * (price - raw) < 0.0 or not near(fill["slippage"], sign * (price - raw) * fill["quantity"]):
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


def near(found: float, wanted: float, tolerance: float = 0.0) -> bool:
    """Whether two numbers agree but for the cost of floating point."""
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=max(tolerance, 1e-12))


def _whole(quantity: float) -> float:
    nearest = float(round(quantity))
    return nearest if math.isclose(quantity, nearest, rel_tol=1e-12) else float(math.floor(quantity))
