"""The class users derive from.

A strategy never holds the broker: it reads a view of the account and drops order requests into an outbox that the
engine drains after each callback. Orders made on a slice can fill on later slices only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt
import polars as pl

from ml4t_backtest.core.event import MarketEvent
from ml4t_backtest.core.orders import (
    NO_ROW,
    OrderSide,
    Protection,
    ProtectionTerms,
    ReplaceRequest,
    Sizing,
    Terms,
    TimeInForce,
)
from ml4t_backtest.core.position import Position
from ml4t_backtest.core.views import FillView, OrderView
from ml4t_backtest.errors import StrategyError
from ml4t_backtest.portfolio.view import PortfolioView
from ml4t_backtest.strategy import arguments, sizing
from ml4t_backtest.strategy.events import events_of_slice
from ml4t_backtest.strategy.history import History
from ml4t_backtest.strategy.outbox import NotRunning, Outbox

CallbackMode = Literal["batch", "symbol"]


class Strategy:
    """Decides on orders. Override exactly one of `on_timestamp_batch` and `on_market_data`.

    See docs/guides/strategy_modes.md and docs/guides/orders_and_sizing.md.

    >>> class BuyAndHold(Strategy):
    ...     def on_market_data(self, event):
    ...         if not self.get_position(event.symbol):
    ...             self.buy(event.symbol, percent=0.1)
    """

    _portfolio: PortfolioView = NotRunning()  # type: ignore[assignment]
    _outbox: Outbox = NotRunning()  # type: ignore[assignment]
    _history: History = NotRunning()  # type: ignore[assignment]
    _signal_columns: tuple[str, ...] = ()
    _indicator_columns: tuple[str, ...] = ()

    def attach(
        self,
        portfolio: PortfolioView,
        outbox: Outbox,
        history: History,
        *,
        signals: tuple[str, ...] = (),
        indicators: tuple[str, ...] = (),
    ) -> None:
        """Connect the strategy to a run; called once by the engine before `on_start`."""
        self._portfolio = portfolio
        self._outbox = outbox
        self._history = history
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

    def on_fill(self, fill: FillView) -> None:
        """Called for each fill, before the decision of its slice; orders made here go with those of the decision."""

    def on_order(self, order: OrderView) -> None:
        """Called when an order has ended: filled, cancelled, rejected or expired; in turn with `on_fill`."""

    def on_end(self) -> None:
        """Called once after the last slice; orders are errors here."""

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
            StrategyError: Not exactly one of `quantity` and `percent`, a negative one, terms that exclude each other,
                or an argument of a wrong type.
        """
        terms = arguments.terms_of(symbol, limit, stop, trailing, trailing_percent, market_on_close, tif)
        return self._trade(symbol, quantity, percent, "buy", terms, arguments.protection_of(symbol, protection))

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
        terms = arguments.terms_of(symbol, limit, stop, trailing, trailing_percent, market_on_close, tif)
        return self._trade(symbol, quantity, percent, "sell", terms, arguments.protection_of(symbol, protection))

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
        shares = arguments.number_array("a quantity of the batch", quantities)
        names = symbols if isinstance(symbols, pl.Series) else list(map(arguments.symbol_name, symbols))
        if len(names) != len(shares):
            raise StrategyError(f"the batch has {len(names)} symbols and {len(shares)} quantities")
        wanted = shares.nonzero()[0]
        if tif == "gtc" and not protection:
            symbol_ids = self._outbox.symbol_ids(names)[wanted]
            if wanted.size and NO_ROW not in symbol_ids.tolist():
                return self._outbox.put_batch(symbol_ids, shares[wanted])
        terms = arguments.terms_of("the batch", None, None, None, None, False, tif)
        shared = arguments.protection_of("the batch", protection)
        put = self._outbox.put
        return [
            put(
                arguments.symbol_name(names[row]),
                "quantity",
                shares.item(row),
                side="sell" if shares.item(row) < 0.0 else "buy",
                terms=terms,
                protection=shared,
            )
            for row in wanted.tolist()
        ]

    def cancel(self, order_id: int) -> None:
        """Take a working order back before the next slice; nothing happens when it has ended."""
        self._outbox.cancel(arguments.order_number(order_id))

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
        changes = [
            arguments.optional_number(f"replace: {name}", value)
            for name, value in (("quantity", quantity), ("limit", limit), ("stop", stop))
        ]
        self._outbox.replace(ReplaceRequest(arguments.order_number(order_id), *changes))

    def order_target_quantity(self, symbol: str, quantity: float, **protection: Unpack[ProtectionTerms]) -> int:
        """Trade to a position of `quantity` shares; working orders of the symbol are cancelled.

        Args:
            symbol: Instrument.
            quantity: Shares to hold, negative for a short position.
            **protection: As for `buy`, for what is opened or added.
        """
        return self._target(symbol, "target_quantity", quantity, protection)

    def order_target_value(self, symbol: str, value: float, **protection: Unpack[ProtectionTerms]) -> int:
        """Trade to a position worth `value` at this slice's close; otherwise as `order_target_quantity`."""
        return self._target(symbol, "target_value", value, protection)

    def order_target_percent(self, symbol: str, percent: float, **protection: Unpack[ProtectionTerms]) -> int:
        """Trade to a position worth the fraction `percent` of this slice's equity; see `order_target_quantity`."""
        return self._target(symbol, "target_percent", percent, protection)

    def close_position(self, symbol: str) -> int:
        """Close whatever is held of a symbol; never opens anything."""
        return self._outbox.put(arguments.symbol_name(symbol), "target_quantity", 0.0, closes=True)

    def rebalance(
        self,
        weights: Mapping[str, float],
        *,
        others: Literal["close", "keep"] = "close",
        minimum_trade_value: float = 0.0,
        weight_tolerance: float = 0.0,
    ) -> list[int]:
        """Trade to fractions of equity, all at once; when cash falls short the buys are cut by one common factor.

        A trade that is left out as too small still cancels the working orders of its symbol, like any target. Closing
        a position, because its weight is 0 or it is not named, is never left out.

        Args:
            weights: Symbol -> fraction of this slice's equity.
            others: What happens to held symbols that are not named.
            minimum_trade_value: Trades worth less at this slice's close are left out; account currency.
            weight_tolerance: Symbols whose weight is off by at most this are left as they are; fraction of equity.

        Returns:
            The order ids, in symbol order.
        """
        if others not in ("close", "keep"):
            raise StrategyError(f"rebalance: others must be 'close' or 'keep', got {others!r}")
        least = arguments.not_negative("rebalance: minimum_trade_value", minimum_trade_value)
        tolerance = arguments.not_negative("rebalance: weight_tolerance", weight_tolerance)
        targets = {
            arguments.symbol_name(symbol): arguments.number(f"weight of {symbol!r}", each)
            for symbol, each in weights.items()
        }
        if others == "close":
            targets = {**dict.fromkeys(self.get_all_positions()["symbol"].to_list(), 0.0), **targets}
        group = self._outbox.new_group()
        return [
            self._outbox.put(
                symbol,
                "target_percent",
                targets[symbol],
                group=group,
                closes=targets[symbol] == 0.0,
                minimum_value=least,
                tolerance=tolerance,
            )
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

    def get_orders(self, symbol: str | None = None) -> list[OrderView]:
        """Return the working orders of a symbol (of all symbols for None), protective ones included.

        They come in the order of their submission; what this very callback asks for is not among them yet.
        """
        return self._portfolio.orders(symbol)

    # Helpers

    def history(self, symbol: str, n: int) -> pl.DataFrame:
        """Return the last `n` bars of a symbol, the present slice's included, fewer where there are fewer.

        Rows are those of `asset_batch`, oldest first; nothing is later than the present slice. Slices of the warm-up
        count, bars from before it do not. Bars from before a split that is applied to positions (`adjustment: none`)
        are put on the present basis: prices divided by the ratio, volume multiplied, so that they compare with
        today's prices; no bar sees a later split. Dividends, signals and indicators are left as they were.

        Args:
            symbol: Instrument; an unknown one has no bars.
            n: Number of bars from 1. A feed that is read once only remembers the last 500 slices.

        Raises:
            StrategyError: In `on_start`, before the first slice; or for an `n` that cannot be.
        """
        return self._history.bars(symbol, n)

    def calculate_position_size(self, price: float | None, atr: float | None, risk_pct: float = 0.02) -> float:
        """Return the whole shares at which a move of one ATR costs `risk_pct` of equity; see `strategy.sizing`."""
        return sizing.calculate_position_size(self.equity, price, atr, risk_pct)

    def iter_events(self, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> Iterator[MarketEvent]:
        """Return the bars of a batch as events, in symbol order."""
        return events_of_slice(asset_batch, context, self._signal_columns, self._indicator_columns)

    def _trade(
        self,
        symbol: str,
        quantity: float | None,
        percent: float | None,
        side: OrderSide,
        terms: Terms,
        protection: Protection,
    ) -> int:
        amount = arguments.amount_of(symbol, quantity, percent)
        return self._outbox.put(
            arguments.symbol_name(symbol),
            "quantity" if quantity is not None else "percent",
            amount if side == "buy" else -amount,
            side=side,
            terms=terms,
            protection=protection,
        )

    def _target(self, symbol: str, sizing: Sizing, amount: float, protection: Mapping[str, Any]) -> int:
        wanted = arguments.number(f"target for {symbol!r}", amount)
        return self._outbox.put(
            arguments.symbol_name(symbol), sizing, wanted, protection=arguments.protection_of(symbol, protection)
        )


def callback_mode(strategy: object) -> CallbackMode:
    """Return which callback a strategy overrides, however it does that.

    Raises:
        StrategyError: It overrides both callbacks, or neither, or is no strategy.
    """
    if not isinstance(strategy, Strategy):
        what = f"the class {strategy.__name__}" if isinstance(strategy, type) else repr(strategy)
        raise StrategyError(f"a strategy is an instance of a class derived from Strategy, got {what}")
    batch = _overrides(strategy, "on_timestamp_batch")
    per_symbol = _overrides(strategy, "on_market_data")
    if batch == per_symbol:
        what = (
            "both on_timestamp_batch and on_market_data" if batch else "neither on_timestamp_batch nor on_market_data"
        )
        raise StrategyError(f"{type(strategy).__name__} overrides {what}; override exactly one")
    return "batch" if batch else "symbol"


def listens(strategy: Strategy) -> bool:
    """Return whether a strategy wants to be told of fills or of orders that end."""
    return _overrides(strategy, "on_fill") or _overrides(strategy, "on_order")


def _overrides(strategy: object, name: str) -> bool:
    return name in vars(strategy) or getattr(type(strategy), name) is not getattr(Strategy, name)
