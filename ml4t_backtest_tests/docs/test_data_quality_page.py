"""The page about published data says what preparation and `paranoid` make of the files, where these are at hand."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "concepts" / "data_quality.md").read_text(encoding="utf-8")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_data_quality", DOCS / "make_data_quality.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


make_data_quality = _load()
needs_files = pytest.mark.skipif(
    not make_data_quality.FILES.is_dir(), reason="the published files are not part of this project and not here"
)


@needs_files
@pytest.mark.parametrize("bars", make_data_quality.BARS, ids=lambda bars: bars.file)
def test_the_row_of_a_small_file_is_up_to_date(bars: Any) -> None:
    if (make_data_quality.FILES / f"{bars.file}.parquet").stat().st_size > 1_000_000:
        pytest.skip("a large file: with the whole page")
    row = make_data_quality.bars_row(make_data_quality.FILES, bars)
    assert f"| {' | '.join(row)} |" in PAGE


@needs_files
@pytest.mark.long
def test_the_page_is_up_to_date() -> None:
    assert make_data_quality.rewritten(PAGE, make_data_quality.FILES) == PAGE, "run python -m docs.make_data_quality"


@needs_files
def test_every_file_is_on_the_page() -> None:
    script = Path(make_data_quality.__file__).read_text(encoding="utf-8")
    stems = {file.stem for file in make_data_quality.FILES.glob("*.parquet")}
    assert {stem for stem in stems if f'"{stem}' not in script} == set()


def test_every_code_on_the_page_is_explained() -> None:
    levels = (DOCS / "concepts" / "validation_levels.md").read_text(encoding="utf-8")
    assert {code for code in re.findall(r"`(DQ-[A-Z0-9?]+)`", PAGE) if f"`{code}`" not in levels} == set()
