"""Materializes the graph, all but the benchmarks: `python -m dagster_project.demo CONFIG OUTPUT_ROOT`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg

from dagster_project.caretaker import fail_dead_runs
from dagster_project.definitions import defs
from dagster_project.defs.resources import resources
from dagster_project.ui import prepare_home
from ml4t_backtest.data.store.object_store import absolute
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.pipeline.asset_shelf import AssetShelf
from ml4t_backtest.pipeline.graph_summary import Summary, summary_of
from ml4t_backtest.pipeline.partition_names import config_of, dataset_key

USER_ERROR = 2
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
Announce = Callable[[str], None]


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
    per_table = [check.metadata["rows_checked"].value for check in checks if check.check_name == "schema"]
    rows = sum(rows for rows in per_table if isinstance(rows, int))
    return summary_of(AssetShelf(absolute(root)), configs, rows, [check.passed for check in checks])


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
    summary.show()
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
