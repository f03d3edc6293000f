"""Asset checks from pandera schemas: audit first, record the results, and publish only what passed.

Dagster's blocking checks do not keep bad data out of storage. So an asset yields its check results first and then
raises before it yields its value: the results are recorded, and the version published last stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
import polars as pl

from dagster_project.tables import MIXED_VERSIONS
from ml4t_backtest.data.validation import find_violations
from ml4t_backtest.errors import AccountingError, BacktestError, DataValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Generator

    import pandera.polars as pa

Made = TypeVar("Made")
Checks = Iterator[dg.AssetCheckResult]

_EVERYWHERE = {
    "schema": "columns are there with their types, and there are rows",
    "values": "every value and every row keeps its rules: prices, nulls, infinities, signs",
    "keys": "keys are complete, well-formed and unique",
}
_DOMAIN = {
    "asset_data": {"signal_timing": "no signal is shown before it was known"},
    "context_data": {"signal_timing": "no context is shown before it was known"},
    "backtest_run": {"reconciles": "cash, positions, fills and trades add up (ml4t_backtest.reporting.identities)"},
    "comparison_report": {"one_data_version": "runs on one data set used the same version of it and of the engine"},
}
_CHECK_OF_CODE = (
    ("E-SC-", "schema"),
    ("E-DS-", "schema"),
    ("E-FL-", "schema"),
    ("E-KEY-", "keys"),
    ("E-TS-NULL", "keys"),
    ("E-SG-TIMING", "signal_timing"),
    (MIXED_VERSIONS, "one_data_version"),
)
# Worth knowing, but no reason to keep a result back.
_WARNINGS = {"one_data_version"}


def checks_of(asset: str) -> dict[str, str]:
    """Return the checks of an asset with what each says."""
    return {**_EVERYWHERE, **_DOMAIN.get(asset, {})}


def check_specs(*assets: str, blocking: bool = True) -> list[dg.AssetCheckSpec]:
    """Return the check specs of assets."""
    return [
        dg.AssetCheckSpec(name, asset=asset, description=meaning, blocking=blocking)
        for asset in assets
        for name, meaning in checks_of(asset).items()
    ]


def check_results(asset: str, violations: Sequence[Violation], rows: int, *, warn: bool = False) -> Checks:
    """Yield one result per check of an asset.

    Args:
        asset: Its name.
        violations: What was found, of any check.
        rows: Number of rows that were looked at.
        warn: Whether broken values and keys are warnings; a broken schema never is.
    """
    for check in checks_of(asset):
        broken = [violation for violation in violations if _check_of(violation, asset) == check]
        lenient = check in _WARNINGS or (warn and check != "schema")
        yield dg.AssetCheckResult(
            passed=not broken,
            asset_key=asset,
            check_name=check,
            severity=dg.AssetCheckSeverity.WARN if lenient else dg.AssetCheckSeverity.ERROR,
            description="\n".join(map(str, broken)) or None,
            metadata={"rows_checked": rows, "violations": sum(violation.count for violation in broken)},
        )


def guarded(make: Callable[[], Made], asset_of: Mapping[str, str]) -> Generator[dg.AssetCheckResult, None, Made]:
    """Return what `make` returns; when the data is bad, yield the failed checks and refuse to go on.

    Args:
        make: Reads or joins data, and raises when a rule is broken.
        asset_of: Name of the data set in a violation -> asset whose check it fails.

    Raises:
        dg.Failure: With the package's text; it is never retried, because the same input fails again.
    """
    with failing_once():
        try:
            return make()
        except DataValidationError as error:
            for asset in dict.fromkeys(asset_of.values()):
                found = [each for each in error.violations if asset_of.get(each.dataset, asset) == asset]
                yield from (result for result in check_results(asset, found, rows=0) if not result.passed)
            raise


def balanced(make: Callable[[], Made]) -> Generator[dg.AssetCheckResult, None, Made]:
    """Return the run that `make` makes; when its books do not balance, fail the check and refuse to go on."""
    with failing_once():
        try:
            return make()
        except AccountingError as error:
            yield dg.AssetCheckResult(
                passed=False, asset_key="backtest_run", check_name="reconciles", description=str(error)
            )
            raise


def audit(tables: Mapping[str, pl.DataFrame], schemas: Mapping[str, pa.DataFrameSchema]) -> Checks:
    """Yield the results of every check of every table, and refuse to go on when one failed that is no warning.

    Args:
        tables: Asset -> its frame; a table without rows is fine.
        schemas: Asset -> its schema.

    Raises:
        dg.Failure: With every violation of every table.
    """
    found: list[Violation] = []
    for asset, frame in tables.items():
        violations = find_violations(frame, schemas[asset], allow_empty=True)
        yield from check_results(asset, violations, frame.height)
        found += (violation for violation in violations if _check_of(violation, asset) not in _WARNINGS)
    if found:
        with failing_once():
            raise DataValidationError(found)


@contextmanager
def failing_once() -> Iterator[None]:
    """Turn the package's errors into a failure of the step that shows their text and is not retried."""
    try:
        yield
    except BacktestError as error:
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error


def _check_of(violation: Violation, asset: str) -> str:
    found = next((check for start, check in _CHECK_OF_CODE if violation.code.startswith(start)), "values")
    return found if found in checks_of(asset) else "values"
