"""Numbered small worlds for the properties: those of the oracle, and what the oracle does not know.

A number, not a tree of hypothesis draws, is what makes a world: `oracle.worlds` visits every branch of the contract
often (levels that meet prices exactly, caps that leave a rest), where independent draws mostly give orders that never
fill; it costs a fortieth of the run; and a number means the same world under every version of hypothesis. What breaks
is made small by taking the world itself apart (`oracle.shrink`: lines of the tape, sessions, symbols, actions, costs),
which random bits cannot be. Hypothesis draws what relates two runs: see `test_laws.py` and `test_indifference.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

import polars as pl
from oracle import worlds
from oracle.shrink import told
from oracle.vocabulary import F, Tape, World

from ml4t_backtest.execution.commission import TieredCommission
from ml4t_backtest.execution.guard import PortfolioLimits, PositionRules
from ml4t_backtest.execution.slippage import VolumeShareSlippage

Mode = Literal["batch", "symbol"]


@dataclass(frozen=True)
class Scene:
    """A world, its tape, and how it is run.

    Attributes:
        world: Prices, costs, account.
        tape: What the strategy does.
        extras: Options of the engine that a world does not hold.
        mode: Callback of the strategy.
        chunk: Slices in memory at once.
    """

    world: World
    tape: Tape
    extras: Mapping[str, Any] = field(default_factory=dict)
    mode: Mode = "batch"
    chunk: int | str = 5

    def __str__(self) -> str:
        extras = "".join(f"{name} = {value}\n" for name, value in self.extras.items())
        return f"{extras}{self.mode}, {self.chunk} slices at once\n{told(self.world, self.tape)}"


def scene(number: int, features: Collection[str] = worlds.FEATURES, *, plain: bool = False) -> Scene:
    """Return the scene of a number.

    Args:
        number: Even ones are exact: dyadic numbers, whole shares, no divisions.
        features: What may be in it, of `oracle.worlds.FEATURES`.
        plain: Without what the oracle does not know.
    """
    world, tape = worlds.generate(number, features)
    rng = Random(f"scene {number}")
    mode: Mode = rng.choice(["batch", "symbol"])
    made = Scene(world, tape, {}, mode, rng.randint(1, 6))
    if plain or rng.random() < 0.5:
        return made
    ends = _ends(rng, world) if rng.random() < 0.3 else ()
    extras = _extras(rng)
    if not world.fractional and rng.random() < 0.3:
        extras["lot_size"] = rng.choice([4, 10])
    return replace(made, world=replace(world, delistings=ends), extras=extras)


def _ends(rng: Random, world: World) -> tuple[tuple[str, int, F], ...]:
    symbol, now = rng.choice(sorted(world.bars)), rng.randint(2, len(world.days) - 1)
    return ((symbol, now, F(rng.randint(1, 4096), 64)),)


def _extras(rng: Random) -> dict[str, Any]:
    drawn = {
        "interest_rate": 0.0625,
        "slippage": VolumeShareSlippage(rng.choice([0.125, 0.5])),
        "commission": TieredCommission(((256.0, 0.015625), (1024.0, 0.0078125))),
        "position_rules": _rules(rng),
        "limits": _limits(rng),
        "adjustment": rng.choice(["split", "total_return"]),
    }
    return {name: value for name, value in drawn.items() if rng.random() < 0.3}


def _rules(rng: Random) -> PositionRules:
    return PositionRules(
        stop_loss_percent=rng.choice([None, 0.03125, 0.125]),
        take_profit_percent=rng.choice([None, 0.03125, 0.125]),
        trailing_stop_percent=rng.choice([None, 0.0625]),
        max_holding_bars=rng.choice([None, 2, 4]),
    )


def _limits(rng: Random) -> PortfolioLimits:
    return PortfolioLimits(
        max_positions=rng.choice([None, 1, 2]),
        max_weight=rng.choice([None, 0.5]),
        max_gross_exposure=rng.choice([None, 0.75]),
        max_net_exposure=rng.choice([None, 0.75]),
        max_drawdown=rng.choice([None, 0.0625, 0.25]),
        max_daily_loss=rng.choice([None, 0.03125]),
    )


def delistings(world: World) -> pl.DataFrame | None:
    """Return the declared ends of symbols as the engine takes them."""
    types = {"symbol": pl.String, "date": pl.Date, "price": pl.Float64}
    rows = [(symbol, world.days[now], float(price)) for symbol, now, price in world.delistings]
    return pl.DataFrame(rows, schema=types, orient="row") if rows else None
