"""The strategies of the example configs: short, and meant to be read before writing one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from ml4t_backtest.core.event import MarketEvent
from ml4t_backtest.strategy.base import Strategy
from ml4t_backtest.strategy.columns import BatchColumn, ContextName, SignalName


@dataclass
class PredictionThreshold(Strategy):
    """Buys a symbol when its prediction is high and leaves it when the prediction falls back.

    Attributes:
        signal: Signal column, a probability.
        enter_above: Prediction from which on a flat symbol is bought.
        exit_below: Prediction below which a held symbol is closed.
        position_percent: Fraction of equity per position.
    """

    signal: SignalName = "prediction"
    enter_above: float = 0.52
    exit_below: float = 0.50
    position_percent: float = 0.15

    def on_market_data(self, event: MarketEvent) -> None:
        """Decide on one bar."""
        prediction = event.signals[self.signal]
        if prediction is None:
            return
        held = self.get_position(event.symbol)
        if not held and prediction > self.enter_above:
            self.buy(event.symbol, percent=self.position_percent)
        elif held and prediction < self.exit_below:
            self.close_position(event.symbol)


@dataclass
class TopNByPrediction(Strategy):
    """Holds the symbols with the highest predictions in equal parts.

    Attributes:
        signal: Signal column to rank by.
        top_n: Number of symbols held.
        rebalance_every: Slices between rebalances.
        gross_exposure: Fraction of equity invested.
    """

    signal: BatchColumn = "prediction"
    top_n: int = 2
    rebalance_every: int = 5
    gross_exposure: float = 0.95

    def on_start(self) -> None:
        """Begin counting slices."""
        self._slices = 0

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Decide on one slice."""
        due = self._slices % self.rebalance_every == 0
        self._slices += 1
        if not due:
            return
        chosen = top_by(asset_batch, self.signal, self.top_n)
        self.rebalance(dict.fromkeys(chosen, self.gross_exposure / self.top_n))


@dataclass
class RegimeSwitching(Strategy):
    """Holds the best symbols while the market is calm, and only convincing ones while it is stressed.

    The regime is a fact of the context at the decision; when it changes the portfolio is rebalanced at once.

    Attributes:
        signal: Signal column, a probability.
        volatility: Context column with annualised volatility.
        calm_below: Volatility below which the market is calm.
        calm_top_n: Symbols held in the calm regime.
        stressed_enter_above: Prediction a symbol needs in the stressed regime.
        rebalance_every: Slices between rebalances within a regime.
        gross_exposure: Fraction of equity invested in the calm regime.
    """

    signal: BatchColumn = "prediction"
    volatility: ContextName = "spx_volatility_21d"
    calm_below: float = 0.20
    calm_top_n: int = 3
    stressed_enter_above: float = 0.52
    rebalance_every: int = 5
    gross_exposure: float = 0.95

    def on_start(self) -> None:
        """Begin without a regime."""
        self._regime: str | None = None
        self._slices = 0

    def on_timestamp_batch(self, timestamp: datetime, asset_batch: pl.DataFrame, context: Mapping[str, Any]) -> None:
        """Decide on one slice."""
        volatility = context[self.volatility]
        if volatility is None:
            return
        regime = "calm" if volatility < self.calm_below else "stressed"
        due = regime != self._regime or self._slices % self.rebalance_every == 0
        self._regime = regime
        self._slices += 1
        if due:
            self.rebalance(self._weights(asset_batch, regime))

    def _weights(self, asset_batch: pl.DataFrame, regime: str) -> dict[str, float]:
        """Return equal weights; in the stressed regime a symbol that does not convince leaves its part in cash."""
        chosen = top_by(asset_batch, self.signal, self.calm_top_n)
        if regime == "stressed":
            convincing = asset_batch.filter(pl.col(self.signal) > self.stressed_enter_above)
            chosen = [symbol for symbol in chosen if symbol in convincing["symbol"].to_list()]
        return dict.fromkeys(chosen, self.gross_exposure / self.calm_top_n)


def top_by(asset_batch: pl.DataFrame, column: str, n: int) -> list[str]:
    """Return the `n` symbols with the greatest values of a column, equal ones in symbol order; nulls never count."""
    known = asset_batch.select("symbol", column).drop_nulls(column)
    return known.sort(column, descending=True, maintain_order=True)["symbol"].head(n).cast(pl.String).to_list()
