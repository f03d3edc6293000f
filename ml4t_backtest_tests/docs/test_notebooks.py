"""Every notebook runs from top to bottom, as a reader would run it, and what it shows can be drawn."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.py"))
SHARED = ROOT.parent / "shared/data"
# The longest any of them may take; the promise of their readers.
_SECONDS = 120


def main(notebook: Path) -> None:
    """Run the cells one after the other and draw what stands at the end of each."""
    session: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(jupytext.read(notebook).cells):
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source, f"{notebook.name}[{number}]")
        shown = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
        exec(compile(tree, f"{notebook.name}[{number}]", "exec", dont_inherit=True), session)
        if shown is not None:
            value = eval(compile(shown, f"{notebook.name}[{number}]", "eval", dont_inherit=True), session)
            drawn = value.to_json() if hasattr(value, "to_plotly_json") else value
            print("shown", type(value).__name__, len(str(drawn)))


@pytest.mark.parametrize("data", ["present", "absent"])
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, data: str, tmp_path: Path) -> None:
    if data == "present" and not SHARED.is_dir():
        pytest.skip("the shared data is not here; the notebooks say what stands in for it")
    if data == "absent" and notebook.stem[:2] in ("02", "05"):
        pytest.skip("needs no file that could be absent")
    folder = SHARED if data == "present" else tmp_path / "nothing"
    environment = {"ML4T_DATA": str(folder), "PYTHONPATH": str(ROOT), "PATH": "", "PYTHONHASHSEED": "0"}
    began = time.monotonic()
    command = [sys.executable, "-W", "error", __file__, str(notebook)]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_SECONDS * 5)
    assert ran.returncode == 0, ran.stderr
    assert "shown Figure" in ran.stdout
    print(f"{notebook.stem}: {time.monotonic() - began:.0f} s")


def test_all_five_are_there() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
