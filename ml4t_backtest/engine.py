"""The loop, in the order of the published contract.

For each slice (all bars of one timestamp):

0. before the open: corporate actions of the day apply;
1. open: eligible market orders fill at the open, those that reduce a position first;
3. close: positions are marked at the close;
4. decide: the strategy is called; its orders cannot touch this slice;
5. record: the portfolio state.

Step 2 (orders working inside the bar) has no order types yet. The whole contract: docs/concepts/event_order.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.fill import CashFlow, Fill
from ml4t_backtest.core.instants import UTC_MICROSECONDS, to_datetime
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import CashPolicy
from ml4t_backtest.data.polars_feed import DataFeed, PolarsDataFeed
from ml4t_backtest.data.slices import chunks_of
from ml4t_backtest.data.validation import validate
from ml4t_backtest.errors import BacktestError, ConfigError, StrategyError
from ml4t_backtest.execution.broker import Broker
from ml4t_backtest.execution.commission import CommissionModel, PercentageCommission
from ml4t_backtest.execution.order_entry import OrderEntry
from ml4t_backtest.execution.seen_rows import SeenRows
from ml4t_backtest.execution.slippage import PercentageSlippage, SlippageModel
from ml4t_backtest.execution.trade_tracker import TradeTracker
from ml4t_backtest.portfolio.corporate_actions import schedule
from ml4t_backtest.portfolio.ledger import Ledger
from ml4t_backtest.portfolio.state import StateRecorder
from ml4t_backtest.portfolio.view import PortfolioView
from ml4t_backtest.reporting import records
from ml4t_backtest.reporting.identities import check_identities
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.strategy.base import Outbox, Strategy, callback_mode
from ml4t_backtest.strategy.events import EventReader

Progress = Callable[[int], None]
Decider = Callable[[int], None]


class BacktestEngine:
    """Walks a strategy through a feed once.

    >>> from datetime import date
    >>> bars = pl.DataFrame({"timestamp": [date(2024, 1, 2), date(2024, 1, 3)], "symbol": ["A", "A"],
    ...                      "open": [10.0, 11.0], "high": [10.0, 12.0], "low": [10.0, 11.0], "close": [10.0, 12.0],
    ...                      "volume": [1.0, 1.0]})
    >>> class Once(Strategy):
    ...     def on_market_data(self, event):
    ...         if not self.get_position(event.symbol):
    ...             self.buy(event.symbol, quantity=10)
    >>> feed = PolarsDataFeed(bars, bar_label="session")
    >>> result = BacktestEngine(feed, Once(), initial_capital=1_000.0, slippage=PercentageSlippage(0.0),
    ...                         commission=PercentageCommission(0.0)).run()
    >>> result.portfolio_states["equity"].to_list()
    [1000.0, 1010.0]
    """

    def __init__(
        self,
        feed: DataFeed,
        strategy: Strategy,
        *,
        initial_capital: float = 1_000_000.0,
        slippage: SlippageModel | None = None,
        commission: CommissionModel | None = None,
        fractional: bool = False,
        on_insufficient_cash: CashPolicy | None = None,
        corporate_actions: pl.DataFrame | None = None,
        adjustment: str = "none",
        on_progress: Progress | None = None,
    ) -> None:
        """Wire a run.

        Args:
            feed: Slices in time order.
            strategy: Overrides exactly one callback.
            initial_capital: Account currency, > 0.
            slippage: Default `PercentageSlippage()`.
            commission: Default `PercentageCommission()`.
            fractional: Whether parts of shares are traded.
            on_insufficient_cash: `clip` or `reject` for all buys; None clips percent, target and rebalance orders and
                rejects explicit quantities.
            corporate_actions: Frame of schema `corporate_actions`; those not in the prices yet are applied.
            adjustment: What the prices are adjusted for: `none`, `split` or `total_return`.
            on_progress: Called after each chunk with the number of slices done.

        Raises:
            StrategyError: The strategy overrides both callbacks or neither.
            ConfigError: The capital is not positive, or a choice is unknown.
            DataValidationError: The corporate actions break their schema.
        """
        if not (math.isfinite(initial_capital) and initial_capital > 0.0):
            raise ConfigError(f"initial_capital must be a positive finite number, got {initial_capital!r}")
        if on_insufficient_cash not in (None, "clip", "reject"):
            raise ConfigError(f"on_insufficient_cash must be 'clip', 'reject' or None, got {on_insufficient_cash!r}")
        if corporate_actions is not None:
            validate(corporate_actions, schemas.corporate_actions_schema(), allow_empty=True)
        self._feed = feed
        self._strategy = strategy
        self._mode = callback_mode(strategy)
        self._initial_capital = float(initial_capital)
        self._on_progress = on_progress
        self._has_run = False
        self._signals = feed.signal_columns if isinstance(feed, PolarsDataFeed) else ()
        self._indicators = feed.indicator_columns if isinstance(feed, PolarsDataFeed) else ()
        self._context_columns = feed.context_columns if isinstance(feed, PolarsDataFeed) else ()
        self._trading_start = feed.trading_start if isinstance(feed, PolarsDataFeed) else None
        self._market = Market(list(feed.symbols) if isinstance(feed, PolarsDataFeed) else [])
        self._ledger = Ledger(self._initial_capital, self._market)
        self._broker = Broker(
            self._market,
            self._ledger,
            slippage=slippage or PercentageSlippage(),
            commission=commission or PercentageCommission(),
            fractional=fractional,
        )
        self._entry = OrderEntry(
            self._market, self._ledger, self._broker, fractional=fractional, on_insufficient_cash=on_insufficient_cash
        )
        self._broker.schedule(schedule(corporate_actions, adjustment, self._open_of))
        self._outbox = Outbox()
        self._states = StateRecorder(self._initial_capital)
        self._tracker = TradeTracker(self._market.symbols)
        self._seen = SeenRows(self._signals, self._indicators, self._context_columns)
        self._events: list[Fill | CashFlow] = []

    def run(self) -> BacktestResult:
        """Walk through the feed and return the records.

        Raises:
            StrategyError: A callback raised or ordered where it may not.
            AccountingError: The records contradict each other.
            BacktestError: The engine was run before.
        """
        if self._has_run:
            raise BacktestError("an engine runs once; build a new one for another run")
        self._has_run = True
        portfolio = PortfolioView(self._ledger, self._market)
        self._strategy.attach(portfolio, self._outbox, signals=self._signals, indicators=self._indicators)
        self._call(self._strategy.on_start)
        self._refuse_orders("in on_start, before the first slice")
        rows = slices = 0
        for chunk in chunks_of(self._feed, self._market):
            self._walk(chunk, rows)
            rows += chunk.frame.height
            slices += chunk.num_slices
            if self._on_progress is not None:
                self._on_progress(slices)
        self._broker.expire_working("end_of_data")
        self._call(self._strategy.on_end)
        self._refuse_orders("in on_end, after the last slice")
        result = self._result(rows, slices)
        check_identities(result)
        return result

    def _walk(self, chunk: Chunk, first_row: int) -> None:
        """Go through the slices of a chunk, then turn what happened in it into records."""
        self._market.enter(chunk, first_row)
        orders_before = len(self._broker.orders)
        decide = self._decider(chunk)
        for index in range(chunk.num_slices):
            self._market.move_to(index)
            if self._trading_start is not None and self._market.timestamp < self._trading_start:
                self._warm_up(chunk, index)
            else:
                self._trade(chunk, index, decide)
        events = self._broker.take_events()
        self._tracker.read(chunk, events)
        self._seen.keep(chunk, first_row, self._broker.orders[orders_before:], events)
        self._events += [event for event in events if isinstance(event, (Fill, CashFlow))]

    def _trade(self, chunk: Chunk, index: int, decide: Decider) -> None:
        """Live through one slice, in the order of the contract."""
        self._broker.before_open()
        self._broker.at_open()
        self._market.take_marks()
        decide(index)
        self._entry.accept(self._outbox.drain())
        session = int(chunk.sessions[index])
        self._states.record(self._market.timestamp, session, self._ledger.value(), chunk.context_at(index))

    def _warm_up(self, chunk: Chunk, index: int) -> None:
        """Show a slice from before the traded span; corporate actions reach its prices all the same."""
        self._broker.before_open()
        self._market.take_marks()
        stamp, batch, context = to_datetime(self._market.timestamp), chunk.batch(index), chunk.context_at(index)
        self._call(lambda: self._strategy.on_warm_up(stamp, batch, context))
        self._refuse_orders(f"at {stamp:%Y-%m-%d %H:%M}, before the first traded slice")

    def _decider(self, chunk: Chunk) -> Decider:
        """Return what hands a slice of the chunk to the strategy: whole, or one event per symbol in symbol order."""
        if self._mode == "batch":
            return lambda index: self._decide_on_batch(chunk, index)
        reader = EventReader(chunk.frame, self._signals, self._indicators)
        return lambda index: self._decide_on_events(chunk, index, reader)

    def _decide_on_batch(self, chunk: Chunk, index: int) -> None:
        stamp, batch, context = to_datetime(self._market.timestamp), chunk.batch(index), chunk.context_at(index)
        self._call(lambda: self._strategy.on_timestamp_batch(stamp, batch, context))

    def _decide_on_events(self, chunk: Chunk, index: int, reader: EventReader) -> None:
        first, last = chunk.first_rows[index], chunk.first_rows[index + 1]
        for event in reader.events(first, last, chunk.context_at(index)):
            try:
                self._strategy.on_market_data(event)
            except Exception as error:
                raise self._strategy_error(error, event.symbol) from error

    def _call(self, callback: Callable[[], None]) -> None:
        """Run a callback; whatever it raises is the strategy's error, told with the moment it happened at."""
        try:
            callback()
        except Exception as error:
            raise self._strategy_error(error) from error

    def _strategy_error(self, error: Exception, symbol: str | None = None) -> StrategyError:
        when = f"at {to_datetime(self._market.timestamp):%Y-%m-%d %H:%M} UTC" if self._market.started else "in on_start"
        where = f" on {symbol}" if symbol else ""
        return StrategyError(f"{self._name()} raised {when}{where}: {error!r}")

    def _refuse_orders(self, when: str) -> None:
        """Raise for orders made where there is no slice to size them with, or none left to fill them."""
        if self._outbox.drain():
            raise StrategyError(f"{self._name()} ordered {when}; order in the callbacks of traded slices")

    def _name(self) -> str:
        return type(self._strategy).__name__

    def _open_of(self, days: pl.Series) -> pl.Series:
        """Return when the session of a date opens; at midnight UTC for a feed without a calendar."""
        if isinstance(self._feed, PolarsDataFeed):
            return self._feed.calendar.open_of(days)
        return days.cast(UTC_MICROSECONDS)

    def _result(self, rows: int, slices: int) -> BacktestResult:
        market, symbols = self._market, self._market.symbols
        marks = {symbol_id: market.mark(symbol_id) for symbol_id in self._ledger.holdings}
        states, daily = self._states.frames(self._context_columns)
        trades = self._seen.complete(self._tracker.frame(marks, market.timestamp), symbols)
        fills = [event for event in self._events if isinstance(event, Fill)]
        flows = [event for event in self._events if isinstance(event, CashFlow)]
        return BacktestResult(
            trades=trades,
            fills=records.fills_frame(fills, symbols),
            orders=records.orders_frame(self._broker.orders),
            cash_flows=records.cash_flows_frame(flows, symbols),
            portfolio_states=states,
            daily_returns=daily,
            initial_capital=self._initial_capital,
            facts={
                "rows_checked": rows,
                "slices": slices,
                "symbols": len(symbols),
                "median_signal_lag_hours": self._seen.median_lag_hours(fills),
                "notes": list(self._feed.notes) if isinstance(self._feed, PolarsDataFeed) else [],
            },
        )
