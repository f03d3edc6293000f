"""The executor of all jobs, as `$ML4T_EXECUTOR` says: see `ml4t_backtest.pipeline.executor_choice`."""

from __future__ import annotations

from importlib import import_module

import dagster as dg

from ml4t_backtest.pipeline.executor_choice import executor_choice


def executor() -> dg.ExecutorDefinition:
    """Return the executor that was chosen, with its settings.

    A step in a process of its own costs seconds: without a choice, runs go side by side instead.
    """
    choice = executor_choice()
    definition: dg.ExecutorDefinition = getattr(import_module(choice.module), choice.attribute)
    return definition.configured(choice.config, name=choice.name) if choice.config else definition
