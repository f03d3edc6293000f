"""Outcomes of checks as Dagster has them: recorded first, and only what passed is published.

Dagster's blocking checks do not keep bad data out of storage. So an asset yields its check results first and then
raises before it yields its value: the results are recorded, and the version published last stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
import polars as pl

from ml4t_backtest.errors import BacktestError, DataValidationError
from ml4t_backtest.pipeline.checks import Outcome, audit, checks_of, is_warning, outcomes_of
from ml4t_backtest.pipeline.transient import is_transient

if TYPE_CHECKING:
    from collections.abc import Generator

    import pandera.polars as pa

Made = TypeVar("Made")
Checks = Iterator[dg.AssetCheckResult]
_ATTEMPTS, _SECONDS_BETWEEN = 3, 5


def check_specs(*assets: str, blocking: bool = True) -> list[dg.AssetCheckSpec]:
    """Return the check specs of assets."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=meaning, blocking=blocking and not is_warning(name))
        for asset in assets
        for name, meaning in checks_of(asset).items()
    ]


def recorded(outcomes: Iterable[Outcome]) -> Checks:
    """Yield outcomes as check results."""
    for each in outcomes:
        yield dg.AssetCheckResult(
            passed=each.passed,
            asset_key=each.asset,
            check_name=each.check,
            severity=dg.AssetCheckSeverity.WARN if each.is_warning else dg.AssetCheckSeverity.ERROR,
            description=each.text or None,
            metadata={"rows_checked": each.rows, "violations": each.violations},
        )


def guarded(make: Callable[[], Made], asset_of: Mapping[str, str]) -> Generator[dg.AssetCheckResult, None, Made]:
    """Return what `make` returns; when it raises, yield the checks that this fails and refuse to go on.

    Args:
        make: Reads, joins or runs, and raises when a rule is broken.
        asset_of: Name of the data set in a violation -> asset whose check it fails.

    Raises:
        dg.Failure: With the package's text; it is never retried, because the same input fails again.
    """
    with step_failures():
        try:
            return make()
        except BacktestError as error:
            yield from recorded(outcomes_of(error, asset_of))
            raise


def audited(tables: Mapping[str, pl.DataFrame], schemas: Mapping[str, pa.DataFrameSchema]) -> Checks:
    """Yield the results of every rule of every table, and refuse to go on when one failed that is no warning.

    Raises:
        dg.Failure: With every violation of every table.
    """
    outcomes, grave = audit(tables, schemas)
    yield from recorded(outcomes)
    if grave:
        with step_failures():
            raise DataValidationError(grave)


def required(outcomes: Iterable[Outcome]) -> Checks:
    """Yield outcomes as check results, and refuse to go on when one failed that is no warning.

    Raises:
        dg.Failure: With the text of every such outcome.
    """
    found = list(outcomes)
    yield from recorded(found)
    grave = [f"{each.asset}.{each.check}: {each.text}" for each in found if not (each.passed or each.is_warning)]
    if grave:
        raise dg.Failure("\n".join(grave), allow_retries=False)


@contextmanager
def step_failures() -> Iterator[None]:
    """Turn errors into a failure of the step: what may pass by itself is tried again, the package's own never is."""
    try:
        with tried_again():
            yield
    except BacktestError as error:
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error


@contextmanager
def tried_again() -> Iterator[None]:
    """Have a step tried again, three times in all, for an error that may pass by itself."""
    try:
        yield
    except Exception as error:
        if is_transient(error):
            raise dg.RetryRequested(_ATTEMPTS - 1, _SECONDS_BETWEEN) from error
        raise
