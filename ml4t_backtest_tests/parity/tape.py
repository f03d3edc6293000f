"""The order tape: bars, orders, costs and capital that a peer and our engine both replay.

On disk it is one JSON file (`as_json`), so that a peer's environment needs nothing but the standard library to read
it; floats survive the trip to the last bit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

PRICES = ("open", "high", "low", "close")
VOLUME = 1_000_000


@dataclass(frozen=True)
class TapeOrder:
    """An order as it was decided.

    Attributes:
        slice: Index of the deciding slice: the order is made at its close.
        symbol: Instrument.
        quantity: Shares, positive buys, negative sells; 0 with `close`.
        close: Close whatever is held, instead of a quantity.
        limit, stop: Prices; both make a stop-limit order.
        trail_amount, trail_percent: Distance of a trailing stop.
        stop_loss, take_profit: Prices of the bracket.
        stop_loss_percent, take_profit_percent, trailing_stop_percent: Its distances, fractions.
    """

    slice: int
    symbol: str
    quantity: float = 0.0
    close: bool = False
    limit: float | None = None
    stop: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    stop_loss_percent: float | None = None
    take_profit_percent: float | None = None
    trailing_stop_percent: float | None = None


@dataclass(frozen=True)
class Tape:
    """Everything that determines a run.

    Attributes:
        name: Of the scenario.
        slices: Dates of the daily bars, ISO, sessions of the New York Stock Exchange.
        bars: Symbol -> price name -> one value per slice.
        orders: In the order they were given.
        capital: Cash at the start.
        commission: `model` (none, percentage, per_share, per_order) and its numbers, named as in a configuration.
        slippage: `model` (none, percentage, fixed) and its number.
        fractional: Whether parts of shares can be traded.
        shorts: Whether the account may be short.
    """

    name: str
    slices: list[str]
    bars: dict[str, dict[str, list[float]]]
    orders: list[TapeOrder]
    capital: float = 100_000.0
    commission: dict[str, Any] = field(default_factory=lambda: {"model": "none"})
    slippage: dict[str, Any] = field(default_factory=lambda: {"model": "none"})
    fractional: bool = False
    shorts: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return what `json` can write; order terms that are not used are left out."""
        plain = asdict(self)
        plain["orders"] = [{name: value for name, value in order.items() if value} for order in plain["orders"]]
        for order in plain["orders"]:
            order.setdefault("slice", 0)
        return plain


@dataclass(frozen=True)
class Execution:
    """A fill as both sides report it.

    Attributes:
        slice: Index of the slice whose bar filled it.
        symbol: Instrument.
        side: buy or sell.
        quantity: Shares, > 0.
        price: Price per share, slippage included.
        commission: Account currency.
    """

    slice: int
    symbol: str
    side: str
    quantity: float
    price: float
    commission: float


@dataclass(frozen=True)
class Outcome:
    """What an engine made of a tape.

    Attributes:
        fills: In the order they happened.
        equity: Equity at the close of each slice; a peer that starts late leaves its first slices out with None.
    """

    fills: list[Execution]
    equity: list[float | None]

    @classmethod
    def of_json(cls, plain: dict[str, Any]) -> Outcome:
        """Read what a peer's runner wrote."""
        return cls([Execution(*fill) for fill in plain["fills"]], plain["equity"])

    def as_json(self) -> dict[str, Any]:
        """Return what `json` can write; one list per fill."""
        return {"fills": [list(asdict(fill).values()) for fill in self.fills], "equity": self.equity}
