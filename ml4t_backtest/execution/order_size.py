"""How many shares an order is for: what was asked for, at the deciding slice's closes, in what can be traded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ml4t_backtest.core.orders import OrderRequest
from ml4t_backtest.execution.affordability import same_quantity

TARGETS = ("target_quantity", "target_value", "target_percent")
Refusal = tuple[str, str]


class Size(NamedTuple):
    """What an order is for.

    Attributes:
        quantity: Signed shares to trade.
        reduce_only: It closes what is held, and never turns it round.
        is_buy: What was asked for, also where no quantity came of it.
        refusal: Why there is nothing to trade, code and numbers; None where there is.
    """

    quantity: float
    reduce_only: bool
    is_buy: bool
    refusal: Refusal | None = None


class OrderSize:
    """Turns what was asked for into shares: whole lots, or anything in a fractional account."""

    def __init__(self, *, fractional: bool, lot_size: int, whole: Callable[[float], float]) -> None:
        """Choose what is traded.

        Args:
            fractional: Whether parts of shares are.
            lot_size: Otherwise whole multiples of so many shares.
            whole: How a number of shares becomes whole.
        """
        self._fractional = fractional
        self._lot_size = lot_size
        self._whole = whole

    def of(self, request: OrderRequest, held: float, mark: float, equity: float) -> Size:
        """Return what a request comes to.

        Args:
            request: What was asked for.
            held: Signed shares held of its symbol.
            mark: Its last close; needed for all but explicit quantities.
            equity: Of the account; needed for fractions of it.
        """
        if _needs_price(request) and mark <= 0.0:
            # Money buys no number of shares that have no price, or of which one is paid to take them.
            return Size(0.0, request.closes, request.side == "buy", ("no_price", f"last close {mark:.6g}"))
        wanted = _wanted(request, mark, equity)
        if request.sizing not in TARGETS:
            quantity = self._in_lots(wanted, held)
            nothing = ("quantity_rounds_to_zero", f"{wanted:.6g} shares") if quantity == 0.0 else None
            return Size(quantity, request.closes, request.side == "buy", nothing)
        target = self.rounded(wanted)
        reduce_only = request.closes or target == 0.0
        # What is to be held is rounded before the difference is taken; a position is always closed whole.
        # What a fraction bought and sold leaves may miss the target by a rounding error: that is nothing to trade.
        on_target = same_quantity(target, held) if target != 0.0 else held == 0.0
        quantity = 0.0 if on_target else self.rounded(target - held) if target != 0.0 else -held
        if quantity == 0.0:
            kept = on_target and (target != 0.0 or wanted == 0.0)
            refusal = ("on_target", "") if kept else ("quantity_rounds_to_zero", f"{wanted - held:.6g} shares")
            return Size(quantity, reduce_only, wanted >= held, refusal)
        small = _too_small(request, quantity, held, mark, equity)
        return Size(quantity, reduce_only, quantity > 0.0, ("on_target", "") if small else None)

    def rounded(self, quantity: float) -> float:
        """Truncate toward zero to what is traded."""
        return quantity if self._fractional else self._lot_size * self._whole(quantity / self._lot_size)

    def _in_lots(self, wanted: float, held: float) -> float:
        """Return a quantity to trade in whole lots; what closes a position closes all of it, odd shares too."""
        closing = -held if wanted * held < 0.0 and abs(wanted) >= abs(held) and self._lot_size > 1 else 0.0
        return closing + self.rounded(wanted - closing)


def _needs_price(request: OrderRequest) -> bool:
    """Return whether a request asks for money's worth of shares; to hold none takes no price."""
    return request.sizing not in ("quantity", "target_quantity") and request.amount != 0.0


def _wanted(request: OrderRequest, mark: float, equity: float) -> float:
    """Return the shares asked for: to trade for plain orders, to hold for targets."""
    if not _needs_price(request):
        return request.amount
    money = request.amount if request.sizing == "target_value" else request.amount * equity
    return money / mark


def _too_small(request: OrderRequest, trade: float, held: float, mark: float, equity: float) -> bool:
    """Return whether a rebalance leaves a trade out; never one that closes a position."""
    if request.closes:
        return False
    near = equity > 0.0 and abs(held * mark / equity - request.amount) <= request.tolerance
    return abs(trade * mark) < request.minimum_value or (near and request.tolerance > 0.0)
