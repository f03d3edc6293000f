"""A slice of plain market orders on its way into the book, in columns.

What is not plain is left to `OrderEntry`, which looks at each request: this place decides nothing that it would decide
otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ml4t_backtest.core.chunk import Flags, Floats, Integers
from ml4t_backtest.core.market import Market
from ml4t_backtest.core.order_block import OrderBlock
from ml4t_backtest.core.orders import (
    AT_MARKET,
    NO_ROW,
    UNPROTECTED,
    BatchRequest,
    CashPolicy,
    OrderRequest,
    Request,
)
from ml4t_backtest.execution.book import Book
from ml4t_backtest.execution.order_size import TARGETS, OrderSize
from ml4t_backtest.portfolio.ledger import Ledger

# Of the columns that `BlockEntry._of_singles` collects.
_TYPES = (np.int64, np.int64, np.float64, np.bool_, np.bool_, np.int64)


class BlockEntry:
    """Takes in the requests of a slice at once, where all of them are plain."""

    def __init__(
        self,
        market: Market,
        ledger: Ledger,
        book: Book,
        size: OrderSize,
        *,
        fractional: bool,
        on_insufficient_cash: CashPolicy | None,
    ) -> None:
        self._market = market
        self._ledger = ledger
        self._book = book
        self._size = size
        self._fractional = fractional
        self._on_insufficient_cash = on_insufficient_cash

    def accept(self, requests: Sequence[Request]) -> bool:
        """Put all requests into the book as one block; return whether they were, else nothing has happened."""
        first = requests[0]
        if len(requests) == 1 and isinstance(first, BatchRequest):
            block = self._of_batch(first)
        else:
            block = self._of_singles(requests)
        if block is None:
            return False
        self._cancel_replaced(requests)
        if len(block):
            self._book.submit_block(block)
        return True

    def _of_batch(self, batch: BatchRequest) -> OrderBlock | None:
        """Return a batch as a block; None where its quantities have to be looked at one by one."""
        symbol_ids, quantities = batch.symbol_ids, batch.quantities
        number = len(symbol_ids)
        # A few numbers are looked at quicker one by one; neither NaN nor infinity is an integer.
        is_plain = all(map(math.isfinite if self._fractional else float.is_integer, quantities.tolist()))
        if not is_plain or len(set(symbol_ids.tolist())) < number:
            return None
        order_ids = np.arange(batch.order_ids.start, batch.order_ids.stop)
        clips = np.ones(number, dtype=np.bool_) if self._on_insufficient_cash == "clip" else None
        return self._block(order_ids, symbol_ids, quantities, None, clips, None)

    def _of_singles(self, requests: Sequence[Request]) -> OrderBlock | None:
        """Return requests for single orders as a block; None where one of them is not plain."""
        order_ids: list[int] = []
        symbol_ids: list[int] = []
        quantities: list[float] = []
        reduce_only: list[bool] = []
        clips: list[bool] = []
        groups: list[int] = []
        seen: set[int] = set()
        equity: float | None = None
        for request in requests:
            if not isinstance(request, OrderRequest) or not _is_plain(request):
                return None
            symbol_id = self._market.ids.get(request.symbol, NO_ROW)
            if symbol_id == NO_ROW or symbol_id in seen:
                return None
            seen.add(symbol_id)
            of_equity = request.sizing in ("percent", "target_percent")
            if of_equity and equity is None:
                equity = self._ledger.value().equity
            mark = math.nan if request.sizing == "quantity" else self._market.mark(symbol_id)
            if mark != mark and request.sizing != "quantity":
                return None
            size = self._size.of(request, self._ledger.quantity(symbol_id), mark, equity or 0.0)
            if size.refusal is None and math.isfinite(size.quantity):
                order_ids.append(request.order_id)
                symbol_ids.append(symbol_id)
                quantities.append(size.quantity)
                reduce_only.append(size.reduce_only)
                policy = self._on_insufficient_cash or ("reject" if request.sizing == "quantity" else "clip")
                clips.append(policy == "clip")
                groups.append(request.group or 0)
            elif size.refusal is None or size.refusal[0] != "on_target":
                return None
        return self._block(
            np.array(order_ids, dtype=np.int64),
            np.array(symbol_ids, dtype=np.int64),
            np.array(quantities, dtype=np.float64),
            np.array(reduce_only) if any(reduce_only) else None,
            np.array(clips) if any(clips) else None,
            np.array(groups) if any(groups) else None,
        )

    def _block(
        self,
        order_ids: Integers,
        symbol_ids: Integers,
        quantities: Floats,
        reduce_only: Flags | None,
        clips: Flags | None,
        groups: Integers | None,
    ) -> OrderBlock:
        market = self._market
        decision_rows = market.run_rows_of(symbol_ids)
        return OrderBlock(
            market.decided,
            market.timestamp,
            order_ids,
            symbol_ids,
            quantities,
            decision_rows,
            reduce_only,
            clips,
            groups,
        )

    def _cancel_replaced(self, requests: Sequence[Request]) -> None:
        """Take back what a target replaces."""
        if not self._book.has_singles:
            return
        for request in requests:
            if isinstance(request, OrderRequest) and request.sizing in TARGETS:
                self._book.cancel_plain(self._market.ids[request.symbol], "replaced_by_target")


def _is_plain(request: OrderRequest) -> bool:
    """Return whether a request is for a market order that nothing is special about."""
    return (
        request.terms is AT_MARKET
        and request.protection is UNPROTECTED
        and math.isfinite(request.amount)
        and not (request.sizing == "percent" and request.amount > 1.0)
    )
