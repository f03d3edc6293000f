"""Checks of assets: what each is called, which rule belongs to which, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ml4t_backtest.data.validation import find_violations
from ml4t_backtest.errors import AccountingError, BacktestError, DataValidationError, Violation
from ml4t_backtest.pipeline.run_row import MIXED_VERSIONS

if TYPE_CHECKING:
    import pandera.polars as pa

_EVERYWHERE = {
    "schema": "columns are there with their types, and there are rows",
    "values": "every value and every row keeps its rules: prices, nulls, infinities, signs",
    "keys": "keys are complete, well-formed and unique",
}
_FOUND = "what is no error but may fool somebody, with counts and examples"
_DOMAIN = {
    "validated_prices": {"fresh": "the newest bar is as young as max_sessions_behind of the data set asks"},
    "asset_data": {
        "signal_timing": "no signal is shown before it was known",
        "standard": f"level standard finds nothing doubtful: {_FOUND}",
        "paranoid": f"level paranoid finds nothing doubtful: {_FOUND}",
        "drift": "no bar that was there before is gone",
    },
    "context_data": {"signal_timing": "no context is shown before it was known"},
    "source_quality": {"findings": f"the sources show nothing doubtful: {_FOUND}"},
    "backtest_run": {
        "reconciles": "cash, positions, fills and trades add up (ml4t_backtest.reporting.identities)",
        "no_look_ahead": "without the later half of the data, everything before it comes out the same",
        "drift": "the same configuration comes to about what it came to before",
    },
    "trades": {"traded": "the strategy traded"},
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
# Not asked of a table by its schema, but by functions of `output_checks`.
_ASKED_APART = {"fresh", "standard", "paranoid", "findings", "drift", "no_look_ahead", "traded"}
# Worth knowing, but no reason to keep a result back.
_WARNINGS = {"one_data_version", "fresh", "standard", "paranoid", "findings", "drift", "traded"}


@dataclass(frozen=True)
class Outcome:
    """What one check of one asset came to.

    Attributes:
        asset: Name.
        check: Name.
        passed: Whether the rule is kept.
        is_lenient: Whether a check that is no warning by itself is one here.
        text: The errors' own text; empty where there are none.
        rows: Number of rows that were looked at.
        violations: How many rows or places broke the rule.
    """

    asset: str
    check: str
    passed: bool
    is_lenient: bool = False
    text: str = ""
    rows: int = 0
    violations: int = 0

    @property
    def is_warning(self) -> bool:
        """Whether what follows may go on where the rule is not kept."""
        return self.is_lenient or is_warning(self.check)


def checks_of(asset: str) -> dict[str, str]:
    """Return the checks of an asset with what each says."""
    return {**_EVERYWHERE, **_DOMAIN.get(asset, {})}


def is_warning(check: str) -> bool:
    """Return whether a check only warns."""
    return check in _WARNINGS


def rule_outcomes(asset: str, violations: Sequence[Violation], rows: int, *, warn: bool = False) -> list[Outcome]:
    """Return the outcome of every check of an asset that follows from rules of its schema.

    Args:
        asset: Its name.
        violations: What was found, of any check.
        rows: Number of rows that were looked at.
        warn: Whether broken values and keys are warnings; a broken schema never is.
    """
    by_rule = [check for check in checks_of(asset) if check not in _ASKED_APART]
    broken = {check: [each for each in violations if check_of(each, asset) == check] for check in by_rule}
    return [
        Outcome(
            asset,
            check,
            passed=not found,
            is_lenient=warn and check != "schema",
            text="\n".join(map(str, found)),
            rows=rows,
            violations=sum(each.count for each in found),
        )
        for check, found in broken.items()
    ]


def failed_outcomes(violations: Sequence[Violation], asset_of: Mapping[str, str]) -> list[Outcome]:
    """Return the outcomes of the checks that violations fail.

    Args:
        violations: What was found, of any data set.
        asset_of: Name of the data set in a violation -> asset whose check it fails; one of no such name fails all.
    """
    failed: list[Outcome] = []
    for asset in dict.fromkeys(asset_of.values()):
        found = [each for each in violations if asset_of.get(each.dataset, asset) == asset]
        failed += (each for each in rule_outcomes(asset, found, rows=0) if not each.passed)
    return failed


def outcomes_of(error: BacktestError, asset_of: Mapping[str, str]) -> list[Outcome]:
    """Return the outcomes of the checks that an error fails: of bad data, and of books that do not balance.

    Args:
        error: Any of this package's; of another kind it fails no check.
        asset_of: Name of the data set in a violation -> asset whose check it fails; one of no such name fails all.
    """
    if isinstance(error, DataValidationError):
        return failed_outcomes(error.violations, asset_of)
    if isinstance(error, AccountingError):
        return [Outcome("backtest_run", "reconciles", False, text=str(error))]
    return []


def audit(
    tables: Mapping[str, pl.DataFrame], schemas: Mapping[str, pa.DataFrameSchema]
) -> tuple[list[Outcome], list[Violation]]:
    """Return the outcomes of every rule of every table, and the violations that must keep it back.

    Args:
        tables: Asset -> its frame; a table without rows is fine.
        schemas: Asset -> its schema.
    """
    outcomes: list[Outcome] = []
    grave: list[Violation] = []
    for asset, frame in tables.items():
        violations = find_violations(frame, schemas[asset], allow_empty=True)
        outcomes += rule_outcomes(asset, violations, frame.height)
        grave += (each for each in violations if not is_warning(check_of(each, asset)))
    return outcomes, grave


def check_of(violation: Violation, asset: str) -> str:
    """Return the check of an asset that a violation fails."""
    found = next((check for start, check in _CHECK_OF_CODE if violation.code.startswith(start)), "values")
    return found if found in checks_of(asset) else "values"
