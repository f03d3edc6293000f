"""What a materialized graph has to say to whom started it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.published_run import published_run
from ml4t_backtest.reporting.terminal import show_table


@dataclass(frozen=True)
class Summary:
    """What came out, and what was looked at on the way.

    Attributes:
        figures: Configuration -> label and text, as `tearsheet.summary_rows` gives them.
        reports: Configuration -> path of its HTML report.
        rows_checked: Rows of all tables, raw ones and results included.
        checks_passed: Asset checks that passed.
        warnings: Asset checks that did not, and did not have to.
    """

    figures: dict[str, list[tuple[str, str]]]
    reports: dict[str, Path]
    rows_checked: int
    checks_passed: int
    warnings: int

    def show(self) -> None:
        """Print it for a person at a terminal."""
        warned = f", {self.warnings} warned" if self.warnings else ""
        graph = [
            ("Rows checked, all tables", f"{self.rows_checked:,}"),
            ("Asset checks", f"{self.checks_passed} passed{warned}"),
        ]
        for config, rows in self.figures.items():
            show_table(config, [*rows, *graph])
            print(f"report  {self.reports[config]}")
        print("look at the assets and their history:  ml4t-backtest ui")


def summary_of(shelf: AssetShelf, configs: Sequence[str], rows_checked: int, checks: Sequence[bool]) -> Summary:
    """Return the summary of the runs of some configurations.

    Args:
        shelf: Where they are published.
        configs: Their names.
        rows_checked: Rows of all tables.
        checks: Whether each check passed.
    """
    from ml4t_backtest.reporting.tearsheet import summary_rows

    return Summary(
        figures={key: summary_rows(published_run(shelf, key)[0]) for key in configs},
        reports={key: shelf.file_of("run_report", key).absolute() for key in configs},
        rows_checked=rows_checked,
        checks_passed=sum(checks),
        warnings=len(checks) - sum(checks),
    )
