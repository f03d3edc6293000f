"""Dagster's webserver with one page more: `/reports/CONFIG`, the report that is published for a configuration.

A browser opens no file from a page that came over HTTP, so a report that is to be one click away has to be served.
"""

from __future__ import annotations

import sys
from typing import Any

from dagster._cli import dev
from dagster_dg_cli.cli import main as dg
from dagster_webserver import app
from dagster_webserver.cli import main as webserver
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dagster_project.defs.resources import shelf
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.pipeline.asset_shelf import Document

# A report runs its own scripts, but may not act in the name of who looks at it.
_APART = {"Content-Security-Policy": "sandbox allow-scripts allow-downloads allow-popups"}
_MODULE = "dagster_project.webserver"


class Webserver(DagsterWebserver[Any, Any]):
    """Dagster's webserver and the reports."""

    def build_routes(self) -> list[BaseRoute]:
        """Return Dagster's routes, and before them the one of reports."""
        return [Route("/reports/{config}", _report), *super().build_routes()]


def _report(request: Request) -> Response:
    try:
        page = shelf().read("run_report", request.path_params["config"])
    except BacktestError as error:
        return PlainTextResponse(str(error), status_code=404)
    return HTMLResponse(page.text if isinstance(page, Document) else "", headers=_APART)


def develop() -> None:
    """Run `dg` with the arguments of this process, so that `dg dev` starts this webserver in place of Dagster's."""
    start = vars(dev)["open_ipc_subprocess"]

    def start_ours(command: list[str], **options: Any) -> Any:
        return start([_MODULE if part == "dagster_webserver" else part for part in command], **options)

    vars(dev)["open_ipc_subprocess"] = start_ours
    dg()


def main() -> None:
    """Serve, with the arguments of `dagster-webserver`."""
    vars(app)["DagsterWebserver"] = Webserver
    webserver()


if __name__ == "__main__":
    develop() if sys.argv[1:2] == ["dev"] else main()
