"""The loop, in the order of the published contract.

For each slice (all bars of one timestamp):

0. before the open: orders past their time expire, corporate actions apply, fees and interest accrue;
1. open: what the open fills, orders that reduce a position first;
2. inside: limits and stops against high and low, protective orders first;
3. close: market-on-close orders, marks, settlements, margin calls;
4. decide: the strategy is told what filled and ended, then called; its orders cannot touch this slice;
5. record: the portfolio state.

The whole contract: docs/concepts/event_order.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Literal, get_args

import numpy as np
import polars as pl

from ml4t_backtest.core import schemas
from ml4t_backtest.core.argument_types import checked_arguments_but
from ml4t_backtest.core.choices import is_number, require_choice
from ml4t_backtest.core.chunk import Chunk
from ml4t_backtest.core.fill import Fill
from ml4t_backtest.core.instants import UTC_MICROSECONDS, to_datetime
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import CashPolicy, Order, OrderIds
from ml4t_backtest.data.polars_feed import DataFeed, PolarsDataFeed
from ml4t_backtest.data.quality.data_quality import findings_frame
from ml4t_backtest.data.slices import chunks_of
from ml4t_backtest.data.validation import validate
from ml4t_backtest.errors import BacktestError, ConfigError, StrategyError
from ml4t_backtest.execution.accounts import Account
from ml4t_backtest.execution.brackets import IntrabarPath
from ml4t_backtest.execution.commission import CommissionModel, PercentageCommission
from ml4t_backtest.execution.custodian import Custody
from ml4t_backtest.execution.desk import Desk, ExecutionRules
from ml4t_backtest.execution.filling import Costs
from ml4t_backtest.execution.guard import PortfolioLimits, PositionRules
from ml4t_backtest.execution.knobs.habits import account_of
from ml4t_backtest.execution.profiles import FillAt, Profile, profile_of, with_fill_at
from ml4t_backtest.execution.slippage import PercentageSlippage, SlippageModel
from ml4t_backtest.execution.watched_models import watched_commission, watched_slippage
from ml4t_backtest.portfolio.corporate_actions import declared_ends, schedule
from ml4t_backtest.portfolio.ledger import Ledger
from ml4t_backtest.portfolio.state import StateFrequency
from ml4t_backtest.portfolio.view import PortfolioView
from ml4t_backtest.reporting import records
from ml4t_backtest.reporting.identities import check_identities
from ml4t_backtest.reporting.result import BacktestResult
from ml4t_backtest.run_records import RunRecords, Standing
from ml4t_backtest.strategy.base import Strategy, listens
from ml4t_backtest.strategy.calls import Calls
from ml4t_backtest.strategy.history import History
from ml4t_backtest.strategy.outbox import Outbox

EndOfData = Literal["mark", "close"]
Progress = Callable[[int], None]


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

    @checked_arguments_but("feed", "strategy", "slippage", "commission")
    def __init__(
        self,
        feed: DataFeed,
        strategy: Strategy,
        *,
        initial_capital: float = 1_000_000.0,
        slippage: SlippageModel | None = None,
        commission: CommissionModel | None = None,
        fractional: bool = False,
        lot_size: int = 1,
        on_insufficient_cash: CashPolicy | None = None,
        account: Account | None = None,
        max_volume_share: float | None = None,
        intrabar_path: IntrabarPath = "pessimistic",
        end_of_data: EndOfData = "mark",
        position_rules: PositionRules | None = None,
        limits: PortfolioLimits | None = None,
        corporate_actions: pl.DataFrame | None = None,
        adjustment: str = "none",
        delistings: pl.DataFrame | None = None,
        delisting_after: int = 10,
        interest_rate: float = 0.0,
        profile: Profile | str | None = None,
        fill_at: FillAt | None = None,
        state_frequency: StateFrequency = "slice",
        on_progress: Progress | None = None,
    ) -> None:
        """Wire a run.

        Args:
            feed: Slices in time order.
            strategy: Overrides exactly one callback.
            initial_capital: Account currency, > 0.
            slippage: Default `PercentageSlippage()`; any object with the method of `SlippageModel`.
            commission: Default `PercentageCommission()`; any object with the method of `CommissionModel`.
            fractional: Whether parts of shares are traded.
            lot_size: Orders are for whole multiples of this many shares, truncated toward zero; closing a position
                closes all of it. Not together with `fractional`.
            on_insufficient_cash: `clip` or `reject` for all buys; None clips percent, target and rebalance orders and
                rejects explicit quantities.
            account: `CashAccount()` (default without a profile) or `MarginAccount(...)`.
            max_volume_share: Largest fraction of a bar's volume that a symbol's orders may fill; the rest keeps
                working. None for no limit.
            intrabar_path: What a bar that holds both stop and target is assumed to reach first: `pessimistic` (the
                stop), `optimistic` (the target), `ohlc` (what lies above the open), `olhc` (what lies below).
            end_of_data: `mark` leaves positions open at their last close, `close` closes them there, with costs.
            position_rules: Protection for every entry that brings none of its own.
            limits: What the portfolio must keep.
            corporate_actions: Frame of schema `corporate_actions`; those not in the prices yet are applied.
            adjustment: What the prices are adjusted for: `none`, `split` or `total_return`.
            delistings: Frame `symbol, date, price`: positions are settled at this price at the close of this date.
            delisting_after: Sessions without a bar after which a position is settled at its last close.
            interest_rate: Interest on cash, a fraction per year of 365 days.
            profile: Rules of another engine, by name (`backtrader@1.9`) or as a value; None for our own. What the
                profile says about account and cash holds where `account` and `on_insufficient_cash` are None.
            fill_at: What fills a market order: `next_open`, or `same_close`, the close it was decided at, for which
                signals must be known before it; None for what the profile says, which is `next_open` for our own.
            state_frequency: Which slices `portfolio_states` shows: every `slice`, or the last one of each `session`,
                `week` or `month`; the last slice always. Daily returns do not depend on it.
            on_progress: Called after each chunk with the number of slices done.

        Raises:
            StrategyError: The strategy overrides both callbacks or neither.
            ConfigError: An argument is none of what it may be, arguments contradict each other, or a column has a name
                that the records need.
            DataValidationError: The corporate actions or the delistings break their schema.
            SignalTimingError: Orders fill at the close they were decided at, and a signal is not known before it.
        """
        if not (is_number(initial_capital) and initial_capital > 0.0):
            raise ConfigError(f"initial_capital must be a positive finite number, got {initial_capital!r}")
        require_choice("end_of_data", end_of_data, get_args(EndOfData))
        if not isinstance(feed, DataFeed):
            raise ConfigError(f"a feed yields (timestamp, rows, context), got {feed!r}")
        if corporate_actions is not None:
            validate(corporate_actions, schemas.corporate_actions_schema(), allow_empty=True)
        if delistings is not None:
            validate(delistings, schemas.delistings_schema(), allow_empty=True)
        self._feed = feed
        self._strategy = strategy
        self._initial_capital = float(initial_capital)
        self._on_progress = on_progress
        self._has_run = False
        self._rows = self._slices = 0
        self._ruined_at: int | None = None
        self._signals = feed.signal_columns if isinstance(feed, PolarsDataFeed) else ()
        self._indicators = feed.indicator_columns if isinstance(feed, PolarsDataFeed) else ()
        self._context_columns = feed.context_columns if isinstance(feed, PolarsDataFeed) else ()
        records.require_free_names((*self._signals, *self._indicators), self._context_columns)
        self._trading_start = feed.trading_start if isinstance(feed, PolarsDataFeed) else None
        self._market = Market(list(feed.symbols) if isinstance(feed, PolarsDataFeed) else [])
        self._ledger = Ledger(self._initial_capital, self._market)
        actions = schedule(corporate_actions, adjustment, self._open_of)
        custody = Custody(
            actions=actions,
            delistings=declared_ends(delistings, self._close_of),
            delisting_after=delisting_after,
            interest_rate=interest_rate,
        )
        self._profile = with_fill_at(profile_of(profile), fill_at)
        if self._profile.fill_at == "same_close" and isinstance(feed, PolarsDataFeed):
            feed.require_known_before_close()
        rules = ExecutionRules(
            Costs(
                watched_slippage(PercentageSlippage() if slippage is None else slippage),
                watched_commission(PercentageCommission() if commission is None else commission),
                max_volume_share,
            ),
            account or account_of(self._profile),
            custody,
            fractional,
            self._profile.on_insufficient_cash if on_insufficient_cash is None else on_insufficient_cash,
            intrabar_path,
            position_rules or PositionRules(),
            limits or PortfolioLimits(),
            profile=self._profile,
            lot_size=lot_size,
        )
        order_ids = OrderIds()
        self._outbox = Outbox(order_ids, self._market)
        self._calls = Calls(strategy, self._outbox, self._market, signals=self._signals, indicators=self._indicators)
        listening = listens(strategy)
        self._desk = Desk(self._market, self._ledger, rules, order_ids, keeps_news=listening)
        self._history = History(self._market, actions, feed.bars_before if isinstance(feed, PolarsDataFeed) else None)
        self._news: list[Fill | Order] | None = [] if listening else None
        self._end_of_data = end_of_data
        self._records = RunRecords(
            self._market, self._signals, self._indicators, self._context_columns, self._initial_capital, state_frequency
        )

    def run(self) -> BacktestResult:
        """Walk through the feed and return the records.

        Raises:
            StrategyError: A callback raised or ordered where it may not.
            AccountingError: The records contradict each other.
            BacktestError: The engine was run before.
        """
        self.begin()
        for chunk in chunks_of(self._feed, self._market):
            self.live(chunk)
            if self.is_over:
                break
        return self.finish()

    @property
    def feed(self) -> DataFeed:
        """The feed it was built for."""
        return self._feed

    @property
    def market(self) -> Market:
        """Where the run stands; only to be read."""
        return self._market

    @property
    def is_over(self) -> bool:
        """Whether the account is ruined, so that what follows in the data is not lived through."""
        return self._ruined_at is not None

    def begin(self) -> None:
        """Do what comes before the first slice. `run` is this, `live` for every chunk, and `finish`.

        Raises:
            StrategyError: The strategy raised or ordered.
            BacktestError: The engine was run before.
        """
        if self._has_run:
            raise BacktestError("an engine runs once; build a new one for another run")
        self._has_run = True
        portfolio = PortfolioView(self._ledger, self._market, self._desk.book.working)
        self._strategy.attach(
            portfolio, self._outbox, self._history, signals=self._signals, indicators=self._indicators
        )
        self._calls.start()

    def live(self, chunk: Chunk) -> None:
        """Live through the next chunk of the feed.

        Raises:
            StrategyError: A callback raised or ordered where it may not.
        """
        lived = self._walk(chunk, self._rows)
        self._rows += lived.frame.height
        self._slices += lived.num_slices
        if self._on_progress is not None:
            self._on_progress(self._slices)

    def finish(self) -> BacktestResult:
        """Do what comes after the last slice and return the records.

        Raises:
            StrategyError: The strategy raised or ordered.
            AccountingError: The records contradict each other.
        """
        self._tell()
        self._calls.end()
        result = self._result()
        check_identities(result)
        return result

    def _walk(self, chunk: Chunk, first_row: int) -> Chunk:
        """Go through the slices of a chunk, turn what happened into records and return the part that was lived."""
        self._market.enter(chunk, first_row)
        first = self._first_traded(chunk)
        begin = Standing(self._ledger.cash, self._ledger.quantities.copy(), self._market.marks().copy(), first)
        for index in range(begin.first_slice):
            self._market.move_to(index)
            self._warm_up(chunk, index)
        self._trade(chunk, begin.first_slice)
        if chunk.is_last:
            self._end()
        self._take_news()
        lived = chunk.head(self._market.index + 1)
        self._history.leave(lived)
        self._records.read(lived, first_row, begin, self._desk)
        return lived

    def _trade(self, chunk: Chunk, first: int) -> None:
        """Live through the slices from the first one that is traded."""
        desk, outbox = self._desk, self._outbox
        desk.enter(first)
        decide = self._calls.decider(chunk, first)
        for index in range(first, chunk.num_slices):
            try:
                alive = desk.live(index)
            except StrategyError as error:
                # Only a cost model of the user's can raise here.
                raise StrategyError(f"at {chunk.moments[index]:%Y-%m-%d %H:%M} UTC: {error}") from error
            if not alive:
                self._ruined_at = self._market.timestamp
                break
            if self._news is not None:
                self._tell()
            decide(index)
            if outbox.requests:
                desk.accept(outbox.drain())

    def _first_traded(self, chunk: Chunk) -> int:
        """Return the first slice of a chunk that is traded; those before it belong to the warm-up."""
        return 0 if self._trading_start is None else int(np.searchsorted(chunk.timestamps, self._trading_start))

    def _end(self) -> None:
        """The data is over: what still works expires; positions are closed where that is asked for."""
        self._desk.book.expire_all("end_of_data")
        if self._end_of_data == "close" and self._ruined_at is None:
            self._desk.close_out()

    def _notes(self) -> list[str]:
        notes = list(self._feed.notes) if isinstance(self._feed, PolarsDataFeed) else []
        notes += self._profile.notes()
        if self._ruined_at is not None:
            notes.append(f"ruined: equity fell to zero or below at {to_datetime(self._ruined_at):%Y-%m-%d %H:%M} UTC")
        return notes

    def _take_news(self) -> None:
        if self._news is not None:
            self._news += self._desk.news()

    def _tell(self) -> None:
        """Tell the strategy what has filled and what has ended, in the order it happened."""
        self._take_news()
        news, self._news = self._news, None if self._news is None else []
        self._calls.tell(news or ())

    def _warm_up(self, chunk: Chunk, index: int) -> None:
        """Show a slice from before the traded span; corporate actions reach its prices all the same."""
        self._desk.warm_up()
        self._calls.warm_up(chunk, index)

    def _open_of(self, days: pl.Series) -> pl.Series:
        """Return when the session of a date opens; at midnight UTC for a feed without a calendar."""
        if isinstance(self._feed, PolarsDataFeed):
            return self._feed.calendar.open_of(days)
        return days.cast(UTC_MICROSECONDS)

    def _close_of(self, days: pl.Series) -> pl.Series:
        """Return when the session of a date closes; the end of the day for a feed without a calendar."""
        if isinstance(self._feed, PolarsDataFeed):
            return self._feed.calendar.last_close_of(days)
        return days.cast(UTC_MICROSECONDS) + timedelta(days=1)

    def _result(self) -> BacktestResult:
        market = self._market
        marks = {symbol_id: market.mark(symbol_id) for symbol_id in self._ledger.held()}
        tables = self._records.tables(marks, market.timestamp)
        return BacktestResult(
            **tables,
            initial_capital=self._initial_capital,
            facts={
                "rows_checked": self._rows,
                "slices": self._slices,
                "symbols": len(market.symbols),
                "median_signal_lag_hours": self._records.median_lag_hours(),
                "fill_at": self._profile.fill_at,
                "notes": self._notes(),
            },
            data_quality=self._feed.data_quality if isinstance(self._feed, PolarsDataFeed) else findings_frame(()),
        )
