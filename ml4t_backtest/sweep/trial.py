"""A trial: one variant over one span, and what tells it apart from every other one ever run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from ml4t_backtest.config.loader import effective_content, hash_of_content
from ml4t_backtest.config.own_code import own_code
from ml4t_backtest.config.schema import BacktestConfig
from ml4t_backtest.data.content_hash import joint_hash
from ml4t_backtest.data.provenance import package_hash

# What a configuration says that no figure depends on.
_WORDS = {"backtest": ("name", "description"), "reporting": ("report", "benchmark", "allow_no_trades")}
_DATA_WORDS = ("name", "description", "max_sessions_behind")


@dataclass(frozen=True)
class Trial:
    """What is run once.

    Attributes:
        variant: Number of its variant in the sweep.
        parameters: Dotted key -> value that was varied.
        seed: Seed among them, or None.
        span: First and last session it trades; None for the whole span of the backtest.
        config: The backtest.
        data_hash: Content hash of the prepared data.
    """

    variant: int
    parameters: Mapping[str, Any]
    seed: int | None
    span: tuple[date, date] | None
    config: BacktestConfig
    data_hash: str

    @cached_property
    def config_hash(self) -> str:
        """Hash of all that the configuration says about what is computed: names and texts do not count."""
        return self._hash({})

    @cached_property
    def variant_hash(self) -> str:
        """The same without the span, with the user's own code: trials of one variant over several spans share it.

        A strategy whose code was changed is another variant, as one whose parameters were: both are ways to try again.
        """
        config = self._hash({"start": None, "end": None})
        return joint_hash({"config": config, **self._own_code}) if self._own_code else config

    def _hash(self, span: Mapping[str, None]) -> str:
        content = effective_content(self.config)
        content["config"]["backtest"] |= span
        told = {
            section: {key: value for key, value in keys.items() if key not in _WORDS.get(section, ())}
            for section, keys in content["config"].items()
        }
        dataset = {key: value for key, value in content["dataset"].items() if key not in _DATA_WORDS}
        return hash_of_content({"config": {**told, "data": self._data(told["data"])}, "dataset": dataset})

    @cached_property
    def code_hash(self) -> str:
        """Hash of this package's code and of the user's modules that the configuration names."""
        return joint_hash({"ml4t_backtest": package_hash(), **self._own_code})

    @cached_property
    def key(self) -> str:
        """What the ledger knows it by: configuration, data and code."""
        return joint_hash({"config": self.config_hash, "data": self.data_hash, "code": self.code_hash})

    @cached_property
    def _own_code(self) -> dict[str, str]:
        return own_code(self.config)

    def written_parameters(self) -> list[dict[str, str]]:
        """Return keys and values as text, as the ledger holds them."""
        return [
            {"key": key, "value": json.dumps(value, sort_keys=True, ensure_ascii=False)}
            for key, value in self.parameters.items()
        ]

    @staticmethod
    def _data(section: Mapping[str, Any]) -> dict[str, Any]:
        """Return the section without the data set, which is told in full beside it."""
        return {key: value for key, value in section.items() if key not in ("dataset", "source")}
