"""Dagster's pages of this project in a headless Chromium: for the browser test and for the screenshots alike."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MODULE = "dagster_project.definitions"
SIZE = {"width": 1400, "height": 900}
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# A first load on a busy machine; everything waits for its condition and goes on at once.
_SECONDS = 150
_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")


def chromium() -> str | None:
    """Return the path of this machine's Chromium."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def what_is_missing() -> str:
    """Return a sentence about what a browser test needs and this machine lacks; empty where all is there."""
    if find_spec("dagster_webserver") is None:
        return "Dagster's webserver is not installed: the extra `dagster`"
    if find_spec("playwright") is None:
        return "Playwright is not installed: the extra `browser`"
    return "" if chromium() else f"no Chromium is on the path, under none of the names {', '.join(_NAMES)}"


@dataclass(frozen=True)
class Desk:
    """A browser in front of the UI.

    Attributes:
        page: The browser's tab.
        address: Where the UI is served.
    """

    page: Page
    address: str

    def open(self, path: str) -> None:
        """Open a page of the UI."""
        self.page.goto(f"{self.address}/{path}", wait_until="domcontentloaded")

    def open_graph(self, *groups: str) -> None:
        """Open the graph with some groups unfolded, and wait until the first assets are drawn."""
        self.open("asset-groups?expanded=" + "%2C".join(f"global%40global%3A{group}" for group in groups))
        self.page.locator("foreignObject", has_text="raw_prices").first.wait_for()

    def choose(self, job: str, partition: str) -> Locator:
        """Open the dialog that launches a job, choose one partition, and return the button that launches."""
        self.open(f"locations/{MODULE}/jobs/{job}")
        self.page.get_by_role("button", name="Materialize all").or_(
            self.page.get_by_role("button", name="Materialize…")
        ).first.click()
        dialog = self._launching
        dialog.get_by_text("Select a partition").click()
        self.page.locator("label", has_text=partition).first.click()
        dialog.get_by_text("Launch runs").click()
        return dialog.get_by_role("button", name="Launch 1 run")

    @property
    def _launching(self) -> Locator:
        # Its list of partitions is a dialog of its own inside it, which fades while the launch may have begun.
        return self.page.locator("[role=dialog][aria-modal=true]").filter(has_text="Launch runs")

    def open_asset(self, asset: str, view: str, **more: str) -> None:
        """Open a page of an asset: its overview, partitions, events, checks or lineage."""
        options = "".join(f"&{name}={value}" for name, value in more.items())
        self.open(f"assets/{asset}?view={view}{options}")

    def materialize(self, job: str, partition: str) -> None:
        """Launch a job for one partition by clicks, and wait on the page of its runs until it has succeeded."""
        self.choose(job, partition).click()
        self._launching.wait_for(state="hidden")
        self.open(f"locations/{MODULE}/jobs/{job}/runs")
        self.page.get_by_text("Success", exact=True).locator("visible=true").first.wait_for()

    def open_partition(self, asset: str, partition: str) -> None:
        """Open a partition of an asset, and wait until it shows what was materialized."""
        self.open_asset(asset, "partitions", partition=partition)
        self.page.get_by_text("Materialized", exact=True).locator("visible=true").first.wait_for()
        self.page.get_by_text("Latest materialization").first.wait_for()

    def open_report(self, config: str) -> Page:
        """Click on the link to a report, and return the tab that it opens in once its charts are drawn."""
        self.open_partition("run_report", config)
        with self.page.expect_popup() as opened:
            self.page.locator(f"a[href$='/reports/{config}']").first.click()
        opened.value.locator(".main-svg").first.wait_for()
        return opened.value


@contextmanager
def desk(output_root: Path) -> Iterator[Desk]:
    """Serve an output root on loopback, with a home of its own, and stand a browser in front of it."""
    from playwright.sync_api import sync_playwright

    with served(output_root) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(_OPTIONS))
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(_SECONDS * 1000)
        yield Desk(page, address)
        browser.close()


@contextmanager
def served(output_root: Path) -> Iterator[str]:
    """Serve the UI over an output root on a free port of loopback, and yield its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output_root.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DAGSTER_HOME": str(output_root / "dagster"), "HOME": str(output_root / "home")}
    command = [sys.executable, "-m", "dagster_project.ui", str(port), str(output_root)]
    log = output_root / "ui.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=output_root, env=environment, stdout=out, stderr=out)
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        # Only a signal that it can pass on ends what it has started.
        process.terminate()
        process.wait(60)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=10):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the UI does not answer:\n{log.read_text()}")
