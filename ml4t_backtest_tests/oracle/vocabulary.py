"""The words that the oracle, its worlds and its adapter share: plain values, every number a Fraction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

F = Fraction
NOTHING = F(0)
_THOUSAND, _HALF = F(1000), F(1, 2)
TOTALS = ("paid", "paid_raw", "commission", "slippage", "dividends", "borrow_fees")
# What an order waits for; each may be replaced.
LEVELS = ("limit", "stop", "trailing_amount", "trailing_percent")

# Sessions of the New York exchange in January 2024.
DAYS = tuple(date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12, 16, 17, 18, 19, 22, 23))


@dataclass(frozen=True)
class Bar:
    """One session of one symbol."""

    open: F
    high: F
    low: F
    close: F
    volume: F


@dataclass(frozen=True)
class Action:
    """A split (`value` new shares per old one) or dividend (`value` per share) that applies at the open of `slice`."""

    slice: int
    symbol: str
    kind: str
    value: F


@dataclass(frozen=True)
class World:
    """Prices, costs and the account.

    Attributes:
        bars: Symbol -> one bar per session, None where there is none.
        slippage: ("none",), ("percentage", rate), ("fixed", amount) or ("spread", spread).
        commission: ("none",), ("percentage", rate), ("per_share", per_share, minimum), ("per_order", amount) or
            ("tiered", from notional, rate, from notional, rate, ...).
        on_insufficient_cash: clip or reject for all orders; None for the rule of the contract.
        delistings: (symbol, slice, price).
        borrow_rate: Per year, of the value of shorts.
        maintenance: Margin of longs and of shorts.
        exact: Floating point loses nothing in this world, so the engine must agree to the bit.
    """

    bars: dict[str, tuple[Bar | None, ...]]
    capital: F = _THOUSAND
    account: str = "cash"
    slippage: tuple = ("none",)
    commission: tuple = ("none",)
    max_volume_share: F | None = None
    fractional: bool = False
    intrabar_path: str = "pessimistic"
    on_insufficient_cash: str | None = None
    end_of_data: str = "mark"
    actions: tuple[Action, ...] = ()
    delistings: tuple[tuple[str, int, F], ...] = ()
    delisting_after: int = 10
    borrow_rate: F = NOTHING
    initial: F = _HALF
    maintenance: tuple[F, F] = (F(1, 4), F(3, 10))
    days: tuple[date, ...] = DAYS
    exact: bool = True


@dataclass(frozen=True)
class Line:
    """One call of a strategy helper: `action` is its name. `nth` points at an order by its place on the tape."""

    action: str
    symbol: str = ""
    quantity: F | None = None
    percent: F | None = None
    value: F | None = None
    limit: F | None = None
    stop: F | None = None
    trailing_amount: F | None = None
    trailing_percent: F | None = None
    market_on_close: bool = False
    tif: str = "gtc"
    stop_loss: F | None = None
    take_profit: F | None = None
    stop_loss_percent: F | None = None
    take_profit_percent: F | None = None
    trailing_stop_percent: F | None = None
    max_holding_bars: int | None = None
    weights: tuple[tuple[str, F], ...] = ()
    others: str = "close"
    nth: int | None = None

    @property
    def kind(self) -> str:
        """What sort of order it is, for counting."""
        if self.action not in ("buy", "sell"):
            return "target"
        if self.market_on_close:
            return "market_on_close"
        if self.trailing_amount is not None or self.trailing_percent is not None:
            return "trailing"
        parts = [name for name in ("stop", "limit") if getattr(self, name) is not None]
        return "_".join(parts) or "market"


# Slice -> what the strategy does there, in order.
Tape = dict[int, tuple[Line, ...]]


@dataclass(frozen=True)
class Fill:
    """One execution; `nth` is None for orders that the engine made itself."""

    slice: int
    phase: str
    symbol: str
    side: str
    quantity: F
    raw: F
    price: F
    commission: F
    reason: str
    nth: int | None


@dataclass(frozen=True)
class Outcome:
    """What became of the nth order of the tape."""

    symbol: str
    kind: str
    side: str
    status: str
    reason: str | None
    filled: F


@dataclass(frozen=True)
class Flow:
    """Cash that moved without a fill."""

    slice: int
    symbol: str
    kind: str
    amount: F


@dataclass(frozen=True)
class State:
    """The account after a slice."""

    slice: int
    cash: F
    equity: F
    positions: tuple[tuple[str, F], ...]


@dataclass(frozen=True)
class Trade:
    """One exit, or what is open at the end."""

    symbol: str
    side: str
    status: str
    entry_slice: int
    exit_slice: int | None
    quantity: F
    entry_price: F
    exit_price: F | None
    entry_commission: F
    entry_slippage: F
    exit_commission: F
    exit_slippage: F
    exit_reason: str | None
    pnl_gross: F
    dividends: F
    borrow_fees: F
    pnl_net: F
    bars: int
    max_favorable_pct: F
    max_adverse_pct: F
    ambiguous: bool


@dataclass(frozen=True)
class Report:
    """Everything a run leaves behind; `close_call` says that rounding could have turned a decision."""

    fills: tuple[Fill, ...]
    outcomes: tuple[Outcome, ...]
    flows: tuple[Flow, ...]
    states: tuple[State, ...]
    trades: tuple[Trade, ...]
    ruined: bool
    close_call: bool


@dataclass(eq=False)
class Order:
    """An order; `quantity` is what is still to fill, `travel` where the price was going when it (or its parent) filled.

    `travel` is 1 up, -1 down, 0 unknown, None for a fill at the open, which has the whole bar.
    """

    line: Line
    symbol: str
    side: int
    quantity: F
    born: int
    nth: int | None = None
    rank: int = 3
    reason: str = "signal"
    clips: bool = False
    reduce_only: bool = False
    group: int | None = None
    parent: object = None
    entry: F | None = None
    travel: int | None = None
    limit: F | None = None
    stop: F | None = None
    trailing_amount: F | None = None
    trailing_percent: F | None = None
    water: F | None = None
    due: int | None = None
    triggered: bool = False
    met: bool = False
    filled: F = NOTHING
    traded: F = NOTHING
    charged: F = NOTHING
    status: str = "working"
    why: str | None = None

    @property
    def level(self) -> F | None:
        """The price that triggers it: of a trailing stop, at a distance from the water mark."""
        if self.trailing_amount is not None:
            return self.water + self.side * self.trailing_amount
        return self.stop if self.trailing_percent is None else self.water * (1 + self.side * self.trailing_percent)

    def finish(self, status: str, why: str | None = None) -> None:
        self.status, self.why = status, why or self.why


@dataclass
class Held:
    """A position from flat to flat; `seen` are the lowest and the highest price since its first raw fill."""

    side: int
    opened: int
    travel: int | None
    first_bar: int
    seen: tuple[F, F]
    quantity: F = NOTHING
    ambiguous: bool = False
    totals: dict[str, F] = field(default_factory=lambda: dict.fromkeys(TOTALS, NOTHING))

    def see(self, *prices: F) -> None:
        self.seen = (min(*prices, *self.seen), max(*prices, *self.seen))
