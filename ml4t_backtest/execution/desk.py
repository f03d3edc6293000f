"""The trading desk: everything between a strategy's requests and the journal, wired once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from ml4t_backtest.core.choices import is_number, require_choice
from ml4t_backtest.core.fill import Fill, JournalEntry
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.orders import LIQUIDATION, PORTFOLIO_LIMIT, CashPolicy, Order, OrderIds, Request
from ml4t_backtest.errors import ConfigError
from ml4t_backtest.execution.accounts import Account, CashAccount
from ml4t_backtest.execution.block_entry import BlockEntry
from ml4t_backtest.execution.block_filling import BlockFiller
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.brackets import IntrabarPath
from ml4t_backtest.execution.broker import Broker
from ml4t_backtest.execution.custodian import Custodian, Custody
from ml4t_backtest.execution.filling import Costs, Filler
from ml4t_backtest.execution.guard import Guard, PortfolioLimits, PositionRules
from ml4t_backtest.execution.house_orders import closing_order
from ml4t_backtest.execution.journal import Journal
from ml4t_backtest.execution.knobs.habits import habits_of
from ml4t_backtest.execution.knobs.procedures import procedure_of
from ml4t_backtest.execution.knobs.screening import screening_of
from ml4t_backtest.execution.order_entry import OrderEntry
from ml4t_backtest.execution.order_size import OrderSize
from ml4t_backtest.execution.profiles import OURS, Profile
from ml4t_backtest.execution.settlement import Settlement
from ml4t_backtest.execution.watch import Watch
from ml4t_backtest.portfolio.ledger import Ledger


@dataclass(frozen=True)
class ExecutionRules:
    """How a run's orders are executed.

    Attributes:
        costs: Slippage, commission and volume cap.
        account: Cash or margin.
        custody: Corporate actions, delistings, interest.
        fractional: Whether parts of shares are traded.
        lot_size: Orders are for whole multiples of this many shares; 1 in a fractional account.
        on_insufficient_cash: Policy for all buys; None clips percent, target and rebalance orders, rejects others.
        position_rules: Protection that entries get without asking.
        limits: What the portfolio must keep.
        intrabar_path: Which of stop and target a bar that holds both is assumed to reach first.
        profile: The rules that other engines have otherwise.
    """

    costs: Costs
    account: Account = field(default_factory=CashAccount)
    custody: Custody = field(default_factory=Custody)
    fractional: bool = False
    on_insufficient_cash: CashPolicy | None = None
    intrabar_path: IntrabarPath = "pessimistic"
    position_rules: PositionRules = field(default_factory=PositionRules)
    limits: PortfolioLimits = field(default_factory=PortfolioLimits)
    profile: Profile = OURS
    lot_size: int = 1

    def __post_init__(self) -> None:
        share, lot = self.costs.max_volume_share, self.lot_size
        if share is not None and not (is_number(share) and 0.0 < share <= 1.0):
            raise ConfigError(f"max_volume_share must be a fraction in (0, 1] or None, got {share!r}")
        if self.on_insufficient_cash not in (None, *get_args(CashPolicy)):
            found = self.on_insufficient_cash
            raise ConfigError(f"on_insufficient_cash must be 'clip', 'reject' or None, got {found!r}")
        require_choice("intrabar_path", self.intrabar_path, get_args(IntrabarPath))
        if isinstance(lot, bool) or not isinstance(lot, int) or lot < 1:
            raise ConfigError(f"lot_size must be a whole number from 1, got {lot!r}")
        if lot > 1 and self.fractional:
            raise ConfigError(f"lot_size must be 1 where fractional is true, got {lot}: there are lots or fractions")

    @property
    def are_plain(self) -> bool:
        """Whether a market order without protection has nothing to mind but its account."""
        nobody_protects = self.position_rules == PositionRules() and self.limits == PortfolioLimits()
        return self.profile == OURS and nobody_protects and self.lot_size == 1 and self.costs.max_volume_share is None


class Desk:
    """Runs the steps of a slice that move money, in the order of the contract.

    Attributes:
        book: Every order of the run.
        entry: Where requests become orders.
        journal: What happened.
    """

    def __init__(
        self, market: Market, ledger: Ledger, rules: ExecutionRules, ids: OrderIds, *, keeps_news: bool
    ) -> None:
        """Wire a run.

        Args:
            market: Where the run stands.
            ledger: The account.
            rules: How orders are executed.
            ids: Source of order ids.
            keeps_news: Whether `news` will be asked for: then each fill and order is kept as an object.
        """
        fractional, account, profile = rules.fractional, rules.account, rules.profile
        habits = habits_of(profile, market, ledger)
        self.journal = Journal(market, ledger)
        self.book = Book(market, self.journal.__len__, fractional=fractional)
        self.book.ended = [] if keeps_news else None
        self._told = 0
        self._guard = Guard(rules.limits, ledger.cash)
        self._market = market
        self._ledger = ledger
        self._account = account
        self._ids = ids
        filler = Filler(market, ledger, self.journal, rules.costs, account, self._guard, habits, fractional=fractional)
        size = OrderSize(fractional=fractional, lot_size=rules.lot_size, whole=habits.whole)
        self._block_entry, block_filler = None, None
        if rules.are_plain and not keeps_news:
            self._block_entry = BlockEntry(
                market,
                ledger,
                self.book,
                size,
                fractional=fractional,
                on_insufficient_cash=rules.on_insufficient_cash,
            )
            settlement = Settlement(market, ledger, self.journal, rules.costs)
            block_filler = BlockFiller(market, ledger, account, rules.costs, settlement, fractional=fractional)
        self.entry = OrderEntry(
            market,
            ledger,
            self.book,
            account,
            rules.position_rules,
            habits,
            size,
            on_insufficient_cash=rules.on_insufficient_cash,
        )
        self._broker = Broker(
            market,
            ledger,
            self.book,
            self.journal,
            filler,
            account,
            habits,
            block_filler,
            path=rules.intrabar_path,
            fractional=fractional,
            lot_size=rules.lot_size,
            ids=ids,
        )
        self._custodian = Custodian(
            market,
            ledger,
            self.book,
            self.journal,
            filler,
            account,
            rules.custody,
            fractional=fractional,
            ids=ids,
        )
        self._procedure = procedure_of(profile, self._broker, habits.rules)
        self._screening = screening_of(profile, market, ledger, self.book, rules.costs.commission)
        self._watch = Watch(market, ledger, account)
        # Before this slice, as long as nothing works, there is nothing to look at but what falls due by itself.
        self._calm_until = 0
        self._due: list[bool] = []

    def enter(self, first: int) -> None:
        """Prepare for the chunk that the market has entered; slice `first` is the first one traded.

        At that one everything is looked at.
        """
        self._due = self._custodian.enter(first)
        self._watch.enter()

    def live(self, index: int) -> bool:
        """Steps 0 to 3 of a slice of the chunk. Return whether the account still lives."""
        if index < self._calm_until and not self._due[index]:
            # What is held follows the market, and nobody has to look.
            self._market.pass_over(index)
            return True
        self._market.move_to(index)
        # Where nothing is due, step 0 has nothing to do but for single orders: a block may meet the open before it.
        if self._due[index] or self.book.has_singles or not self._trade_block():
            self.before_open()
            self.trade()
            return self.close()
        self._market.take_marks()
        return self._account_lives()

    def _trade_block(self) -> bool:
        """Let a block meet the open where nothing else works and nothing falls due; return whether that was all."""
        self._market.take_opens()
        self._broker.open_block()
        return not self.book.has_singles

    def warm_up(self) -> None:
        """Live through a slice before the traded span: corporate actions reach its prices, no money moves."""
        self._custodian.apply_actions()
        self._market.take_marks()

    def before_open(self) -> None:
        """Step 0: orders expire, corporate actions apply, fees accrue."""
        self._broker.before_open()
        self._custodian.apply_actions()
        self._custodian.accrue()

    def trade(self) -> None:
        """Steps 1 and 2: the open, then the inside of the bars."""
        self._market.take_opens()
        self._procedure.trade()

    def close(self) -> bool:
        """Step 3: orders at the close, marks, settlements, margin calls. Return whether the account still lives."""
        self._market.take_marks()
        self._broker.at_close()
        self._broker.end_slice()
        self._custodian.after_close()
        return self._account_lives()

    def _account_lives(self) -> bool:
        """End of step 3: margin calls and limits. Return whether the account still lives."""
        calm_until = 0 if self._guard.watches_equity else self._watch.calm_until()
        self._calm_until = 0 if self.book else calm_until
        if calm_until > self._market.index:
            return True
        value = self._ledger.value()
        if value.equity <= 0.0:
            self.book.expire_all("ruined")
            return False
        leaving = [order.symbol_id for order in self.book if order.rank == LIQUIDATION]
        for symbol_id in self._account.must_close(self._ledger, self._market, leaving):
            self._queue_exit(symbol_id, LIQUIDATION, "margin_call")
        if self._guard.watches_equity and self._guard.must_flatten(value, self._market.session):
            self._flatten()
        return True

    def accept(self, requests: Sequence[Request]) -> None:
        """Step 4: take in what the strategy decided, one request at least."""
        self._calm_until = 0
        if self._block_entry is not None and self._block_entry.accept(requests):
            return
        known = len(self.book.submitted)
        self.entry.accept(requests)
        self._screening.screen(self.book.submitted[known:])
        self._procedure.decided()

    def news(self) -> list[Fill | Order]:
        """Return fills and orders that have ended since the last call, in the order they happened.

        The journal must be as long as at the last call, or longer: ask before it is taken.
        """
        ended, self.book.ended = self.book.ended or [], []
        told: list[Fill | Order] = []
        for moment, order in ended:
            told += self.journal.fills_between(self._told, moment)
            told.append(order)
            self._told = moment
        told += self.journal.fills_between(self._told, len(self.journal))
        self._told = len(self.journal)
        return told

    def take_entries(self) -> list[JournalEntry]:
        """Return the entries of the journal, which begins anew."""
        self._told = 0
        return self.journal.take()

    def close_out(self) -> None:
        """Close every position at its last close, with costs: the end of the data."""
        for symbol_id in self._ledger.held():
            self._custodian.settle(symbol_id, self._market.mark(symbol_id), "end_of_data", free=False)

    def _flatten(self) -> None:
        """Take back what was ordered and close everything at the next open."""
        for order in self.book:
            if order.rank > PORTFOLIO_LIMIT:
                self.book.cancel(order, "halted")
        for symbol_id in self._ledger.held():
            self._queue_exit(symbol_id, PORTFOLIO_LIMIT, "risk_limit")

    def _queue_exit(self, symbol_id: int, rank: int, reason: str) -> None:
        """Queue an order of the house for the next open, ahead of all others; one is enough."""
        if any(order.rank <= PORTFOLIO_LIMIT for order in self.book.working_of(symbol_id)):
            return
        held = self._ledger.quantity(symbol_id)
        self.book.submit(
            closing_order(self._market, symbol_id, held, order_id=next(self._ids), rank=rank, reason=reason)
        )
