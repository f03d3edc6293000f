"""The pages: written of what is kept, and honest where nothing was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, results
from benchmarks.charts import log_log
from benchmarks.page_scalability import exponent, slope
from benchmarks.results import circumstances, keep, kept


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    return tmp_path


def timing(name: str, seconds: float, **extra: Any) -> dict[str, Any]:
    stats = {"median": seconds, "iqr": seconds / 10.0}
    return {"name": name, "group": "rows", "stats": stats, "extra_info": extra}


def write(piece: str, benchmarks: list[dict[str, Any]]) -> None:
    results.RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"benchmarks": benchmarks, "circumstances": circumstances()}
    (results.RESULTS / f"{piece}.json").write_text(json.dumps(content))


def written(folder: Path) -> dict[str, str]:
    report.main(["--size", "quick", "--into", str(folder / "pages")])
    return {file.name: file.read_text() for file in (folder / "pages").iterdir()}


def test_without_measurements_the_pages_say_so(folder: Path) -> None:
    pages = written(folder)
    assert set(pages) == {"RESULTS.md", "STRATEGY_RESULTS.md", "SCALABILITY_RESULTS.md"}
    assert all("Nothing was measured yet." in page for page in pages.values())
    assert pages["RESULTS.md"].count("not measured") == 17
    assert "met" not in pages["STRATEGY_RESULTS.md"].replace("measured", "")


def test_claims_are_held_against_events_per_second(folder: Path) -> None:
    told = {"work": "W2", "rows": 200_000, "fills": 0, "trades": 0}
    # 200,000 bars in 0.1 s and in 10 s: 2,000,000 and 20,000 a second; more than 100,000 were claimed.
    fast = timing("a", 0.1, task="0", mode="batch", cpu=0.1, **told)
    slow = timing("b", 10.0, task="0", mode="symbol", cpu=9.0, **told)
    write("strategies-quick", [fast, slow])
    page = written(folder)["STRATEGY_RESULTS.md"]
    assert "| no orders: more than 100,000 | 2,000,000, met | 20,000, **not met** |" in page


def test_growth_is_fitted_and_extrapolated(folder: Path) -> None:
    points = [
        timing(
            "growth",
            months * 1.5,
            series=series,
            point=f"{months}",
            symbols=50,
            slices=8_190 * months,
            rows=409_500 * months,
            stored_mb=10.0 * months,
            idle_mb=150.0,
            peak_mb=250.0 + months,
            records_mb=months,
            fills=4_095 * months,
            cpu=months * 1.5,
            opening_cpu=months * 0.15,
        )
        for series in ("symbols", "months")
        for months in (1, 2, 4)
    ]
    write("scalability-quick", points)
    pages = written(folder)
    page = pages["SCALABILITY_RESULTS.md"]
    assert "Time (cpu) grows as rows to the power of 1.00 over all points and 1.00 between the last two" in page
    # 19.656 billion rows at 409,500 rows per 1.5 s: 72,000 s.
    assert "| running, one process | 20.0 h |" in page
    assert "| opening: every row checked, one process | 2.0 h |" in page
    # 254 MB at four months, 4 MB of them records.
    assert "default size | 0.24 GB |" in page
    # 196.56 million orders at 4,095 per MB: 48,000 MB.
    assert "orders | 47 GB |" in page
    ElementTree.fromstring(pages["scalability_time.svg"])


def test_a_power_law_and_a_line_are_found() -> None:
    assert exponent([1.0, 10.0, 100.0], [2.0, 20.0 * 10**0.5, 2_000.0]) == pytest.approx(1.5)
    assert slope([0.0, 1.0, 2.0], [5.0, 8.0, 11.0]) == pytest.approx(3.0)


def test_pieces_are_kept_apart_and_replaced(folder: Path) -> None:
    for figure in (1, 2):
        keep("peers-quick-W2-0-vectorbt", {"figure": figure})
    keep("other-quick", {"figure": 3})
    (piece,) = kept("peers")
    assert (piece["figure"], piece["machine"]["cores"] >= 1) == (2, True)


def test_a_picture_places_points_by_their_logarithms() -> None:
    picture = ElementTree.fromstring(log_log("t", "x", "y", {"line": [(10.0, 1.0), (100.0, 10.0), (1_000.0, 100.0)]}))
    circles = [each for each in picture if each.tag.endswith("circle")]
    across = [float(each.attrib["cx"]) for each in circles]
    up = [float(each.attrib["cy"]) for each in circles]
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], abs=0.2)
    assert up[0] - up[1] == pytest.approx(up[1] - up[2], abs=0.2)
    assert up[0] > up[1]
