"""Writes the pictures of docs/guides/running_with_dagster.md: Dagster's pages as a browser really renders them.

`python -m docs.make_screenshots` prepares the sample, runs one configuration by clicks, and takes a picture of each
page into docs/images. It needs the extras `dagster` and `browser`, and a Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from docs.ui_pages import Desk, desk, what_is_missing

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).parent / "images"
DATASET, CONFIG = "us_tech_daily", "simple_ml_strategy"


def main(folder: Path = IMAGES) -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as root, desk(Path(root)) as at:
        at.materialize("prepare_data", DATASET)
        picture_launch(at, folder)
        at.materialize("run_backtests", CONFIG)
        picture_assets(at, folder)
        report = at.open_report(CONFIG)
        _keep(report, folder, "report")


def picture_launch(at: Desk, folder: Path) -> None:
    """Take the dialog that launches a partition."""
    at.choose("run_backtests", CONFIG).and_(at.page.locator(":enabled")).wait_for()
    _keep(at.page, folder, "dagster_launch")


def picture_assets(at: Desk, folder: Path) -> None:
    """Take the graph, and of one asset: its columns, checks, and what is shown of a partition."""
    at.open_graph("raw", "validated", "prepared")
    # Their state is asked for after they are drawn.
    for asset in ("raw_prices", "source_quality"):
        at.page.locator("foreignObject", has_text=asset).locator("[style*='background-green']").first.wait_for()
    _keep(at.page, folder, "dagster_asset_graph")
    at.open_asset("trades", "overview")
    at.page.get_by_text("entry_timestamp").locator("visible=true").first.wait_for()
    _keep(at.page, folder, "dagster_columns")
    at.open_asset("backtest_run", "checks")
    at.page.get_by_text("Succeeded", exact=True).first.wait_for()
    at.page.get_by_text("Latest execution").wait_for()
    _keep(at.page, folder, "dagster_checks")
    at.open_asset("asset_data", "lineage")
    at.page.locator("foreignObject", has_text="validated_prices").first.wait_for()
    _keep(at.page, folder, "dagster_lineage")
    at.open_partition("backtest_run", CONFIG)
    at.page.get_by_alt_text("equity", exact=True).wait_for()
    _keep(at.page, folder, "dagster_materialization")
    for row, name in ((0, "dagster_equity"), (1, "dagster_months")):
        at.page.get_by_text("[Show Markdown]").nth(row).click()
        at.page.get_by_role("dialog").get_by_role("img").last.wait_for()
        _keep(at.page, folder, name)
        at.page.get_by_role("button", name="Close").click()


def _keep(page: Page, folder: Path, name: str) -> None:
    # Nothing is asked for any more: fonts and icons are there too.
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / f"{name}.png", animations="disabled")


if __name__ == "__main__":
    sys.exit(what_is_missing() or main())
