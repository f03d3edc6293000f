"""Embedded data sets are found, described and resolved without importing anything heavy."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from ml4t_backtest.datasets import dataset_path, list_datasets, registry
from ml4t_backtest.errors import ConfigError


def test_the_embedded_set_is_listed_with_span_symbols_and_files() -> None:
    (info,) = [each for each in list_datasets() if each.name == "us_tech_daily"]
    assert (info.start, info.end) == (date(2000, 3, 1), date(2013, 3, 1))
    assert info.symbols == ("AAPL", "FB", "GOOG", "IBM", "MSFT")
    assert [each.name for each in info.files] == [
        "context.parquet",
        "corporate_actions.parquet",
        "predictions.parquet",
        "prices.parquet",
    ]
    assert "public domain" in info.licence
    assert "MIT" in info.licence
    assert info.description.endswith(".")


def test_every_listed_file_resolves_to_an_existing_path() -> None:
    for info in list_datasets():
        assert dataset_path(info.name) == info.path
        for each in info.files:
            assert dataset_path(info.name, each.name).is_file()


def test_a_misspelt_data_set_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'us_tech_dayly'.*Did you mean 'us_tech_daily'"):
        dataset_path("us_tech_dayly")


def test_a_name_like_nothing_known_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="Available: us_tech_daily") as caught:
        dataset_path("zzz")
    assert "Did you mean" not in str(caught.value)


def test_a_misspelt_file_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"us_tech_daily.*Did you mean 'prices.parquet'"):
        dataset_path("us_tech_daily", "price.parquet")


@pytest.mark.parametrize("file", ["../registry.py", "/etc/hostname", "", "provenance.json"])
def test_only_data_files_of_the_set_can_be_named(file: str) -> None:
    with pytest.raises(ConfigError, match="there is no file of data set"):
        dataset_path("us_tech_daily", file)


def test_listing_data_sets_does_not_import_polars_or_the_build() -> None:
    """The two modules are loaded under a bare parent package, so that only their own imports are seen."""
    package = Path(registry.__file__).parent.parent
    code = f"""
import sys, types
parent = types.ModuleType("ml4t_backtest")
parent.__path__ = [{str(package)!r}]
sys.modules["ml4t_backtest"] = parent
from ml4t_backtest.datasets import list_datasets
assert list_datasets()
heavy = {{"polars", "numpy", "sklearn", "exchange_calendars", "great_tables", "bokeh_sampledata"}}
builds = {{name for name in sys.modules if name.startswith("ml4t_backtest.datasets.") and "us_tech" in name}}
found = (heavy & set(sys.modules)) | builds
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
