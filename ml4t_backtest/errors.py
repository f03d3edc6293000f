"""The exception tree: everything the public API raises on purpose descends from `BacktestError`.

An error takes objects and writes its own sentence: what is wrong, where, what was found, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_SHOWN_PER_KIND = 3


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule broken by a data set, with the first place and the number of places.

    Attributes:
        code: Stable identifier, for example `E-PX-HILO`.
        dataset: Which data set (`prices`, `signals`, `context`, ...).
        message: What is wrong, in words.
        file: The file as given, or None for a frame in memory.
        row: 0-based physical row of the first offender, or None where no row is to blame.
        key: Symbol and UTC ISO timestamp of the first offender.
        column: Column concerned.
        value: `repr` of the offending value, cut to 80 characters.
        count: Number of offenders.
        samples: The first five offenders, as text.
        hint: What to do about it.

    >>> print(Violation("E-PX-HILO", "prices", "high is below low", row=3, hint="repair the source"))
    E-PX-HILO prices: high is below low (1 found)
      first: row 3
      do: repair the source
    """

    code: str
    dataset: str
    message: str
    file: str | None = None
    row: int | None = None
    key: str | None = None
    column: str | None = None
    value: str | None = None
    count: int = 1
    samples: tuple[str, ...] = field(default=())
    hint: str = ""

    def __str__(self) -> str:
        """Return at most five lines: code and message, place, samples, hint."""
        place = [
            f"{name} {value}"
            for name, value in (
                ("file", self.file),
                ("row", self.row),
                ("key", self.key),
                ("column", self.column),
                ("value", self.value),
            )
            if value is not None
        ]
        lines = [f"{self.code} {self.dataset}: {self.message} ({self.count} found)"]
        if place:
            lines.append("  first: " + ", ".join(place))
        if len(self.samples) > 1:
            lines.append("  also: " + "; ".join(self.samples[1:_SHOWN_PER_KIND]))
        if self.hint:
            lines.append(f"  do: {self.hint}")
        return "\n".join(lines)


class BacktestError(Exception):
    """Base of every error this package raises on purpose.

    >>> issubclass(SignalTimingError, BacktestError)
    True
    """


class DataValidationError(BacktestError, ValueError):
    """Data broke one or more rules; all of them were collected before raising.

    Attributes:
        violations: Every rule broken, in the order of the checks.

    >>> error = DataValidationError([Violation("E-PX-HILO", "prices", "high is below low")])
    >>> [violation.code for violation in error.violations]
    ['E-PX-HILO']
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("\n".join(str(violation) for violation in self.violations))


class SignalTimingError(DataValidationError):
    """A signal or context value was used before it was known.

    See docs/concepts/signal_timing.md.

    >>> issubclass(SignalTimingError, ValueError)
    True
    """


class CorruptDatasetError(BacktestError):
    """A stored data set or file is damaged or incomplete, or is no data set at all.

    >>> from ml4t_backtest import read_result
    >>> read_result("no_such_run")
    Traceback (most recent call last):
    ml4t_backtest.errors.CorruptDatasetError: ...
    """


class InputsChangedError(BacktestError):
    """A run cannot be made again: something it was made from is gone or changed; the text lists all of it."""


class ConfigError(BacktestError, ValueError):
    """A configuration is wrong; the text lists every mistake with file, key, value and what is allowed.

    See docs/guides/configuration.md.

    >>> from ml4t_backtest import BacktestEngine, PolarsDataFeed, Strategy
    >>> BacktestEngine([], Strategy(), initial_capital=-1.0)
    Traceback (most recent call last):
    ml4t_backtest.errors.ConfigError: initial_capital must be a positive finite number, got -1.0
    """


class StrategyError(BacktestError):
    """A strategy, or a cost model of the user's, is built wrongly, misuses the engine, or raised.

    >>> from ml4t_backtest import Strategy
    >>> Strategy().buy("A", 10)
    Traceback (most recent call last):
    ml4t_backtest.errors.StrategyError: a strategy can order and look at its account only while an engine runs it
    """


class UnsafePathError(BacktestError):
    """A name would escape its folder or is not portable as a file name.

    >>> from ml4t_backtest.data.safe_path import safe_path
    >>> safe_path("runs", "../elsewhere")
    Traceback (most recent call last):
    ml4t_backtest.errors.UnsafePathError: ...
    """


class AccountingError(BacktestError):
    """An identity of the records does not hold: a defect of the engine, never of its input.

    >>> issubclass(AccountingError, BacktestError)
    True
    """
