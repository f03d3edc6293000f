"""The settings that are shipped let one run per partition work at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

dg = pytest.importorskip("dagster")
pytestmark = pytest.mark.dagster


def test_a_second_run_of_a_partition_waits_and_one_of_another_does_not(
    own_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backfill import desk

    from dagster_project.ui import prepare_home

    monkeypatch.setenv("ML4T_CONFIGS", str(own_data.configs))
    monkeypatch.setenv("ML4T_OUTPUT_ROOT", str(tmp_path / "out"))
    with desk(prepare_home(tmp_path)) as at:
        first, second, other = (at.queued("prepare_data", each).run_id for each in ("mine", "mine", "another"))
        at.launch_what_may()
        waiting = at.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        assert [run.run_id for run in waiting] == [second]
        for run_id in (first, other):
            at.instance.run_launcher.terminate(run_id)
