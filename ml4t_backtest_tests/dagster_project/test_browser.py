"""What a person does on the page, done in a browser: look, materialize, see the checks, open the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.ui_pages import desk, what_is_missing

pytestmark = [pytest.mark.dagster, pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "all there")]
DATASET, CONFIG = "us_tech_daily", "regime_switching"
# `drift`, `keys`, `no_look_ahead`, `reconciles`, `schema`, `values`.
CHECKS_OF_A_RUN = 6


def test_a_partition_materialized_by_clicks_has_green_checks_and_a_report_one_click_away(tmp_path: Path) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    with desk(tmp_path / "out") as at:
        at.open_graph("raw", "validated", "prepared", "backtest", "reports")
        expect(at.page.locator("foreignObject", has_text="run_report").first).to_be_visible()
        at.open_asset("backtest_run", "checks")
        passed = at.page.get_by_text("Succeeded", exact=True)
        expect(at.page.get_by_text(f"Checks ({CHECKS_OF_A_RUN})")).to_be_visible()
        expect(passed).to_have_count(0)

        at.materialize("prepare_data", DATASET)
        at.materialize("run_backtests", CONFIG)

        at.open_asset("backtest_run", "checks")
        expect(passed).to_have_count(CHECKS_OF_A_RUN)
        report = at.open_report(CONFIG)
        expect(report).to_have_title(CONFIG)
        assert report.locator(".main-svg path").count() > 10
