"""A user's own function from data to signals, and what comes out of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from ml4t_backtest.data.sources import collect, scan
from ml4t_backtest.errors import BacktestError, ConfigError, DataValidationError, StrategyError
from ml4t_backtest.lookahead.comparing import ALL_ALONG, Outcome, differences
from ml4t_backtest.lookahead.records import result_outcomes
from ml4t_backtest.lookahead.timed import TimedTable, moments
from ml4t_backtest.reporting.result import BacktestResult

# Sums over other lengths, vector units and threads round differently; what looks ahead differs by much more.
ROUNDING = 1e-9
Frames = Mapping[str, pl.DataFrame]


class Pipeline:
    """A function that is given the frames that its parameters name."""

    def __init__(self, function: Callable[..., Any], name: str = "signals") -> None:
        """Take a function.

        Args:
            function: Takes frames by the names of its parameters (`prices`, `context`, ...); returns a frame, frames
                by name, or a `BacktestResult`. A single parameter with a name of its own is given the prices.
            name: What a frame that it returns is called.
        """
        if not callable(function):
            raise ConfigError(f"a pipeline is a function from frames to a frame, got {function!r}")
        self._function = function
        self._name = name

    def outcomes(self, frames: Frames) -> list[Outcome]:
        """Return what the function makes of some frames.

        Raises:
            ConfigError: A parameter names no frame, or what is returned is no frame.
            StrategyError: The function raised.
        """
        returned = call_with(self._function, frames, "pipeline")
        if isinstance(returned, BacktestResult):
            return result_outcomes(returned)
        named = returned if isinstance(returned, Mapping) else {self._name: returned}
        return [each for name, table in named.items() for each in outcomes_of(str(name), _frame(table))]

    def require_repeatable(self, real: list[Outcome], frames: Frames) -> None:
        """Refuse a function that makes something else of the same frames.

        Raises:
            ConfigError: It does.
        """
        again = {outcome.name: outcome for outcome in self.outcomes(frames)}
        for outcome in real:
            for found in differences(outcome, again[outcome.name], -ALL_ALONG):
                raise ConfigError(
                    f"the pipeline gives different answers to the same data ({found.table}.{found.column}: "
                    f"{found.before} and {found.after} at {found.key}), so that nothing can be said about the future: "
                    "set its seeds"
                )


def call_with(function: Callable[..., Any], frames: Frames, what: str) -> Any:
    """Call a function with the frames that its parameters name.

    Raises:
        ConfigError: A parameter that needs a value names no frame.
        StrategyError: The function raised.
    """
    arguments = _arguments(function, frames, what)
    try:
        return function(**arguments) if isinstance(arguments, dict) else function(arguments)
    except BacktestError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise StrategyError(f"the {what} raised {type(error).__name__}: {error}") from error


def _arguments(function: Callable[..., Any], frames: Frames, what: str) -> dict[str, pl.DataFrame] | pl.DataFrame:
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(frames)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL]
    absent = [name for name in needed if name not in frames]
    if absent and len(needed) == 1 and "prices" in frames:
        return frames["prices"]
    if absent:
        raise ConfigError(
            f"the {what} takes {', '.join(needed)}; there is no {', '.join(absent)}, only {', '.join(frames)}"
        )
    return {each.name: frames[each.name] for each in parameters if each.name in frames}


def _frame(returned: Any) -> pl.DataFrame:
    try:
        return collect(scan(returned, dataset="pipeline"))
    except DataValidationError as error:
        raise ConfigError(
            f"a pipeline returns a frame, frames by name, or a BacktestResult, got {type(returned).__name__}"
        ) from error


def outcomes_of(name: str, frame: pl.DataFrame) -> list[Outcome]:
    """Return a table as what it claims to have known when: memberships as their beginnings and their ends."""
    if {"symbol", "start", "end"} <= set(frame.columns):
        return [_event(name, frame, "start"), _event(name, frame, "end")]
    time = next((each for each in ("timestamp", "ex_date") if each in frame.columns), None)
    keys = tuple(each for each in (time, "symbol") if each is not None and each in frame.columns)
    known = TimedTable.of(frame).known
    if known is None:
        # What has no time is meant for all of it.
        known = pl.repeat(ALL_ALONG, frame.height, dtype=pl.Int64, eager=True)
    return [Outcome(name, frame, known, keys or tuple(frame.columns), ROUNDING)]


def _event(name: str, frame: pl.DataFrame, column: str) -> Outcome:
    """Return the beginnings, or the ends, of memberships as what they are: events of which each has its day."""
    rows = frame.select(column, "symbol").drop_nulls()
    return Outcome(f"{name} {column}", rows, moments(rows[column]), (column, "symbol"), ROUNDING)
