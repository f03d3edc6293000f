"""The shape of `configs/sweeps/NAME.yaml`: one backtest, varied."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ml4t_backtest.config.fields import PlainText, SafeName, Section, must
from ml4t_backtest.sweep.spaces import Grid, Listed, Optuna, Random, SpaceChoice
from ml4t_backtest.sweep.splits import Combinatorial, SplitChoice

Objective = Literal["sharpe_ratio", "sortino_ratio", "calmar_ratio", "total_return"]

__all__ = ["Grid", "Listed", "Objective", "Random", "SweepConfig", "SweepSection"]


class SweepSection(Section):
    """What is varied, and what counts as good."""

    name: SafeName = Field(description="Name of the sweep. Default: the file's name.")
    description: str = Field(default="", description="What it is, for people.")
    base: PlainText = Field(
        description="Backtest that is varied: a name in the folder above, or the path of its file from this one's."
    )
    objective: Objective = Field(
        default="sharpe_ratio",
        description="Figure by which trials are ranked: sharpe_ratio, sortino_ratio, calmar_ratio or total_return.",
    )


class SweepConfig(Section):
    """One sweep: which backtest, which values, which seeds, over which spans."""

    sweep: SweepSection = Field(description="What is varied, and what counts as good.")
    space: SpaceChoice = Field(
        description="Which values are tried: model grid (parameters), random (parameters, trials, seed), list "
        "(trials) or optuna (parameters, trials, seed, at_once); keys are dotted keys of the backtest."
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="Each point is tried once with each of these, put where seed_key says."
    )
    seed_key: PlainText | None = Field(
        default=None, description="Dotted key that takes the seed, for example strategy.params.seed."
    )
    splits: SplitChoice | None = Field(
        default=None,
        description="Parts of time that are chosen on and then tested: model walk_forward or combinatorial. null: "
        "the whole span of the backtest, once.",
    )

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.sweep.name

    @model_validator(mode="after")
    def _seeds_have_a_place(self) -> Self:
        if bool(self.seeds) != (self.seed_key is not None):
            raise must("must come together: seeds, and seed_key that says where they go", key="seeds")
        if len(set(self.seeds)) < len(self.seeds):
            raise must("must name each seed once", key="seeds")
        if self.seed_key is not None and self.seed_key in self.space.varied():
            raise must("must be another key than those of the space", key="seed_key")
        return self

    @model_validator(mode="after")
    def _a_search_sees_no_test(self) -> Self:
        if not isinstance(self.space, Optuna):
            return self
        if self.seeds:
            raise must("must be left out where space.model is optuna, which tries each point once", key="seeds")
        if isinstance(self.splits, Combinatorial):
            text = "must be walk_forward where space.model is optuna, which learns from what lies before the first test"
            raise must(text, key="splits")
        return self
