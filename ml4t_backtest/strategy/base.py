"""The class users derive from.

A strategy never holds the broker: it reads a view of the account and drops order requests into an outbox that the
engine drains after each callback. Orders made on a slice can fill on later slices only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from itertools import count
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.event import MarketEvent
from ml4t_backtest.core.orders import (
    CancelRequest,
    OrderRequest,
    OrderSide,
    Protection,
    ProtectionTerms,
    ReplaceRequest,
    Request,
    Sizing,
    Terms,
    TimeInForce,
)
from ml4t_backtest.core.position import Position
from ml4t_backtest.errors import StrategyError
from ml4t_backtest.portfolio.view import PortfolioView
from ml4t_backtest.strategy import sizing
from ml4t_backtest.strategy.events import EventReader

CallbackMode = Literal["batch", "symbol"]
_AT_MARKET = Terms()
_UNPROTECTED = Protection()


class Outbox:
    """Order requests on their way to the engine."""

    def __init__(self, ids: Iterator[int]) -> None:
        """Start empty.

        Args:
            ids: Source of order ids, shared with whoever else makes orders.
        """
        self._ids = ids
        self._groups = count(1)
        self._requests: list[Request] = []

    def put(
        self,
        symbol: str,
        sizing: Sizing,
        amount: float,
        *,
        side: OrderSide = "buy",
        terms: Terms = _AT_MARKET,
        protection: Protection = _UNPROTECTED,
        group: int | None = None,
        closes: bool = False,
    ) -> int:
        """Add a request and return its order id."""
        order_id = next(self._ids)
        self._requests.append(
            OrderRequest(order_id, symbol, side, sizing, float(amount), terms, protection, group, closes)
        )
        return order_id

    def cancel(self, order_id: int) -> None:
        """Add a wish to take an order back."""
        self._requests.append(CancelRequest(order_id))

    def replace(self, request: ReplaceRequest) -> None:
        """Add a wish to change an order."""
        self._requests.append(request)

    def new_group(self) -> int:
        """Return an id for orders that belong together."""
        return next(self._groups)

    def drain(self) -> list[Request]:
        """Return the requests since the last call, in order."""
        requests, self._requests = self._requests, []
        return requests


class Strategy:
    """Decides on orders. Override exactly one of `on_timestamp_batch` and `on_market_data`.

    >>> class BuyAndHold(Strategy):
    ...     def on_market_data(self, event):
    ...         if not self.get_position(event.symbol):
    ...             self.buy(event.symbol, percent=0.1)
    """

    _portfolio: PortfolioView
    _outbox: Outbox
    _signal_columns: tuple[str, ...] = ()
    _indicator_columns: tuple[str, ...] = ()

    def attach(
        self,
        portfolio: PortfolioView,
        outbox: Outbox,
        *,
        signals: tuple[str, ...] = (),
        indicators: tuple[str, ...] = (),
    ) -> None:
        """Connect the strategy to a run; called once by the engine before `on_start`."""
        self._portfolio = portfolio
        self._outbox = outbox
        self._signal_columns = signals
        self._indicator_columns = indicators

    # Callbacks

    def on_start(self) -> None:
        """Called once before the first slice."""

    def on_warm_up(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Called for the slices before the traded span; orders are errors here."""

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Called once per slice.

        Args:
            timestamp: Close of the slice's bars, UTC.
            asset_batch: One row per symbol that has a bar, in symbol order: `symbol, open, high, low, close, volume`,
                signals (NAME, NAME_available_at, NAME_is_new) and indicators. A value that is not known is null.
            context: Context name -> value known at the decision, None where there is none.
        """
        raise NotImplementedError

    def on_market_data(self, event: MarketEvent) -> None:
        """Called once per bar of a slice, in symbol order."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Called once after the last slice."""

    # Orders

    def buy(
        self,
        symbol: str,
        quantity: float | None = None,
        *,
        percent: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
        trailing: float | None = None,
        trailing_percent: float | None = None,
        market_on_close: bool = False,
        tif: TimeInForce = "gtc",
        **protection: Unpack[ProtectionTerms],
    ) -> int:
        """Buy, in addition to what is held and pending; at the next open unless a price or the close is named.

        Args:
            symbol: Instrument.
            quantity: Shares, > 0. Refused when cash does not suffice at the fill.
            percent: Fraction of equity, turned into shares with this slice's equity and close. Cut to what cash
                allows at the fill.
            limit: Worst price to pay; with `stop` the limit of the order that the stop turns into.
            stop: Price from which on to buy.
            trailing: Distance of a trailing stop from the lowest price since, account currency per share.
            trailing_percent: The same as a fraction.
            market_on_close: Fill at the session's close.
            tif: `gtc`, `day` or `ioc`.
            **protection: Fields of `Protection`: stop_loss, take_profit (prices), stop_loss_percent,
                take_profit_percent, trailing_stop_percent (fractions of the raw entry fill), max_holding_bars.

        Returns:
            The order id.

        Raises:
            StrategyError: Not exactly one of `quantity` and `percent`, a negative one, or terms that exclude each
                other.
        """
        terms = _terms(symbol, limit, stop, trailing, trailing_percent, market_on_close, tif)
        return self._trade(symbol, quantity, percent, "buy", terms, _protection(symbol, protection))

    def sell(
        self,
        symbol: str,
        quantity: float | None = None,
        *,
        percent: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
        trailing: float | None = None,
        trailing_percent: float | None = None,
        market_on_close: bool = False,
        tif: TimeInForce = "gtc",
        **protection: Unpack[ProtectionTerms],
    ) -> int:
        """Sell; the mirror of `buy`. A cash account sells what it holds and refuses the rest."""
        terms = _terms(symbol, limit, stop, trailing, trailing_percent, market_on_close, tif)
        return self._trade(symbol, quantity, percent, "sell", terms, _protection(symbol, protection))

    def submit_batch(
        self,
        symbols: Iterable[str],
        quantities: Iterable[float],
        *,
        tif: TimeInForce = "gtc",
        **protection: Unpack[ProtectionTerms],
    ) -> list[int]:
        """Submit one market order per symbol, as if one by one in the given order.

        Args:
            symbols: Instruments: a Series or list.
            quantities: Signed shares, aligned with `symbols`: positive buys, negative sells; 0 gives no order.
            tif: `gtc`, `day` or `ioc`.
            **protection: As for `buy`, for all of them.

        Returns:
            The order ids, of the orders that were made.
        """
        terms, shared = Terms(tif=tif), _protection("the batch", protection)
        pairs = zip(symbols, quantities, strict=True)
        return [
            self._outbox.put(
                symbol,
                "quantity",
                quantity,
                side="sell" if quantity < 0.0 else "buy",
                terms=terms,
                protection=shared,
            )
            for symbol, quantity in pairs
            if quantity != 0.0
        ]

    def cancel(self, order_id: int) -> None:
        """Take a working order back before the next slice; nothing happens when it has ended."""
        self._outbox.cancel(order_id)

    def replace(
        self,
        order_id: int,
        *,
        quantity: float | None = None,
        limit: float | None = None,
        stop: float | None = None,
    ) -> None:
        """Change a working order; it keeps its place in the sequence.

        Args:
            order_id: What `buy` or `sell` returned.
            quantity: New total shares, what was filled included, > 0.
            limit: New limit price.
            stop: New stop price.
        """
        self._outbox.replace(ReplaceRequest(order_id, quantity, limit, stop))

    def order_target_quantity(self, symbol: str, quantity: float) -> int:
        """Trade to a position of `quantity` shares; working orders of the symbol are cancelled."""
        return self._outbox.put(symbol, "target_quantity", quantity)

    def order_target_value(self, symbol: str, value: float) -> int:
        """Trade to a position worth `value` at this slice's close; working orders of the symbol are cancelled."""
        return self._outbox.put(symbol, "target_value", value)

    def order_target_percent(self, symbol: str, percent: float) -> int:
        """Trade to a position worth the fraction `percent` of this slice's equity."""
        return self._outbox.put(symbol, "target_percent", percent)

    def close_position(self, symbol: str) -> int:
        """Close whatever is held of a symbol; never opens anything."""
        return self._outbox.put(symbol, "target_quantity", 0.0, closes=True)

    def rebalance(self, weights: Mapping[str, float], *, others: Literal["close", "keep"] = "close") -> list[int]:
        """Trade to fractions of equity, all at once; when cash falls short the buys are cut by one common factor.

        Args:
            weights: Symbol -> fraction of this slice's equity.
            others: What happens to held symbols that are not named.

        Returns:
            The order ids, in symbol order.
        """
        targets = dict(weights)
        if others == "close":
            targets = {**dict.fromkeys(self.get_all_positions()["symbol"].to_list(), 0.0), **targets}
        group = self._outbox.new_group()
        return [
            self._outbox.put(symbol, "target_percent", targets[symbol], group=group, closes=targets[symbol] == 0.0)
            for symbol in sorted(targets)
        ]

    # The account

    @property
    def equity(self) -> float:
        """Cash plus positions at their last closes, account currency."""
        return self._portfolio.equity

    @property
    def cash(self) -> float:
        """Cash, account currency."""
        return self._portfolio.cash

    def get_position(self, symbol: str) -> Position:
        """Return what is held of a symbol; false in a condition when flat."""
        return self._portfolio.position(symbol)

    def get_all_positions(self) -> pl.DataFrame:
        """Return one row per held symbol: symbol, quantity, average_price, market_price, market_value."""
        return self._portfolio.positions()

    def position_quantities(self, symbols: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return the signed shares held of each symbol, aligned with `symbols`."""
        return self._portfolio.quantities(symbols)

    # Helpers

    def calculate_position_size(self, price: float, atr: float, risk_pct: float = 0.02) -> float:
        """Return the whole shares at which a move of one ATR costs `risk_pct` of equity; see `strategy.sizing`."""
        return sizing.calculate_position_size(self.equity, price, atr, risk_pct)

    def iter_events(self, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> Iterator[MarketEvent]:
        """Return the bars of a batch as events, in symbol order."""
        reader = EventReader(asset_batch, self._signal_columns, self._indicator_columns)
        return reader.events(0, asset_batch.height, context)

    def _trade(
        self,
        symbol: str,
        quantity: float | None,
        percent: float | None,
        side: OrderSide,
        terms: Terms,
        protection: Protection,
    ) -> int:
        if (quantity is None) == (percent is None):
            raise StrategyError(f"order for {symbol!r}: give exactly one of quantity and percent")
        amount = quantity if quantity is not None else percent
        if amount is None or amount < 0.0:
            raise StrategyError(f"order for {symbol!r}: {amount!r} is negative; the side is in the method's name")
        sizing: Sizing = "quantity" if quantity is not None else "percent"
        signed = amount if side == "buy" else -amount
        return self._outbox.put(symbol, sizing, signed, side=side, terms=terms, protection=protection)


def _terms(
    symbol: str,
    limit: float | None,
    stop: float | None,
    trailing: float | None,
    trailing_percent: float | None,
    market_on_close: bool,
    tif: TimeInForce,
) -> Terms:
    trails = [distance for distance in (trailing, trailing_percent) if distance is not None]
    if len(trails) > 1 or (trails and (limit is not None or stop is not None)):
        raise StrategyError(f"order for {symbol!r}: a trailing stop takes one distance and neither limit nor stop")
    if market_on_close and (trails or limit is not None or stop is not None):
        raise StrategyError(f"order for {symbol!r}: a market-on-close order takes no price")
    return Terms(limit, stop, trailing, trailing_percent, market_on_close, tif)


def _protection(symbol: str, wanted: Mapping[str, Any]) -> Protection:
    if not wanted:
        return _UNPROTECTED
    known = {each.name for each in fields(Protection)}
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            raise StrategyError(
                f"order for {symbol!r}: unknown argument {name!r}" + (f"; {near[0]!r}?" if near else "")
            )
    protection = Protection(**wanted)
    for pair in (("stop_loss", "stop_loss_percent"), ("take_profit", "take_profit_percent")):
        if all(getattr(protection, name) is not None for name in pair):
            raise StrategyError(f"order for {symbol!r}: give one of {pair[0]} and {pair[1]}")
    return protection


def callback_mode(strategy: Strategy) -> CallbackMode:
    """Return which callback a strategy overrides, however it does that.

    Raises:
        StrategyError: It overrides both callbacks, or neither.
    """
    batch = _overrides(strategy, "on_timestamp_batch")
    per_symbol = _overrides(strategy, "on_market_data")
    if batch == per_symbol:
        what = (
            "both on_timestamp_batch and on_market_data" if batch else "neither on_timestamp_batch nor on_market_data"
        )
        raise StrategyError(f"{type(strategy).__name__} overrides {what}; override exactly one")
    return "batch" if batch else "symbol"


def _overrides(strategy: Strategy, name: str) -> bool:
    return name in vars(strategy) or getattr(type(strategy), name) is not getattr(Strategy, name)
