"""The guide to preparing data: its snippets run and print what it says, and its YAML prepares the same bars."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from polars.testing import assert_frame_equal

from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.data.prepared import read_prepared
from ml4t_backtest.runner import prepare_dataset

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "preparing_data.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
PRINTED = re.findall(r"```text\n(.*?)```", GUIDE, re.DOTALL)
DATASET = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0]
# Beyond the guide: what it has in memory, as the files that its YAML names.
FILES = 'members.cast({"end": pl.Date}).write_parquet("members.parquet")\nactions.write_parquet("actions.parquet")\n'


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that all snippets ran in, and what they printed."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "guide.py").write_text("\n".join([*SNIPPETS, FILES]), encoding="utf-8")
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "guide.py"], capture_output=True, text=True, cwd=folder, env=here, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_snippets_print_what_stands_below_them(ran: tuple[Path, str]) -> None:
    assert len(SNIPPETS) >= 7
    assert ran[1] == "".join(PRINTED)


def test_the_yaml_prepares_the_same_data_as_the_steps(ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = ran
    monkeypatch.chdir(folder)
    steps = read_prepared("data/assets", "data/context")
    dataset = DatasetConfig.model_validate({"name": "guide", **yaml.safe_load(DATASET)}, strict=False)
    described = prepare_dataset(dataset)
    assert described.indicators == steps.indicators == dataset.indicator_names
    for table, frame in steps.tables().items():
        assert_frame_equal(described.tables()[table], frame, check_exact=True)
