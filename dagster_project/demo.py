"""Materializes the graph, all but the benchmarks: `python -m dagster_project.demo CONFIG OUTPUT_ROOT`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from dagster_project.caretaker import fail_dead_runs
from dagster_project.definitions import defs
from dagster_project.defs.resources import resources
from dagster_project.ui import prepare_home
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key
from ml4t_backtest.pipeline.published_run import published_run

USER_ERROR = 2
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Announce = Callable[[str], None]


@dataclass(frozen=True)
class Summary:
    """What a materialized graph has to say.

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


def materialize_all(
    configs: Sequence[str],
    output_root: str | Path,
    instance: dg.DagsterInstance | None = None,
    *,
    announce: Announce = lambda _: None,
) -> Summary:
    """Materialize the data sets of some configurations, their backtests, their reports and the comparison.

    Args:
        configs: Names of configurations.
        output_root: Where the assets are published.
        instance: Keeps the history; None: nobody does.
        announce: Called with what is materialized next.

    Raises:
        ConfigError: A configuration is wrong or unknown.
        dg.Failure: A check or a run failed; the text is the package's.
    """
    root = Path(output_root)
    datasets = sorted({dataset_key(config_of(key), key) for key in configs})
    runs = [("prepare_data", key) for key in datasets] + [("run_backtests", key) for key in configs]
    checks: list[dg.AssetCheckEvaluation] = []
    for job, key in runs:
        announce(f"{job}: {key}")
        done = defs.resolve_job_def(job).execute_in_process(
            run_config=_QUIET, instance=instance, partition_key=key, resources=resources(root)
        )
        checks += done.get_asset_check_evaluations()
    return _summary(configs, root, checks)


def _summary(configs: Sequence[str], root: Path, checks: Sequence[dg.AssetCheckEvaluation]) -> Summary:
    from ml4t_backtest.reporting.tearsheet import summary_rows

    store = resources(root)["store"].shelf
    per_table = [check.metadata["rows_checked"].value for check in checks if check.check_name == "schema"]
    return Summary(
        figures={key: summary_rows(published_run(store, key)[0]) for key in configs},
        reports={key: store.file_of("run_report", key).absolute() for key in configs},
        rows_checked=sum(rows for rows in per_table if isinstance(rows, int)),
        checks_passed=sum(check.passed for check in checks),
        warnings=sum(not check.passed for check in checks),
    )


def main(config: str, output_root: str) -> int:
    """Materialize, keep the history for the UI, and print a summary; 2 for a user's error."""
    home = prepare_home(Path(output_root))
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            fail_dead_runs(instance)
            summary = materialize_all([config], output_root, instance, announce=_say)
    except (BacktestError, dg.Failure) as error:
        _say(getattr(error, "description", None) or f"{type(error).__name__}: {error}")
        return USER_ERROR
    _show(summary)
    return 0


def _show(summary: Summary) -> None:
    from ml4t_backtest.reporting.terminal import show_table

    warned = f", {summary.warnings} warned" if summary.warnings else ""
    graph = [
        ("Rows checked, all tables", f"{summary.rows_checked:,}"),
        ("Asset checks", f"{summary.checks_passed} passed{warned}"),
    ]
    for config, rows in summary.figures.items():
        show_table(config, [*rows, *graph])
        print(f"report  {summary.reports[config]}")
    print("look at the assets and their history:  ml4t-backtest ui")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
