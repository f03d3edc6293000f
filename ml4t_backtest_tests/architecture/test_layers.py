"""The rooms of the package: who may import whom, what may be imported at all, what is documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ml4t_backtest

PACKAGE = Path(ml4t_backtest.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import what stands in the layers to its left; rooms of one layer do not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("datasets",),  # beside data; knows errors only (below)
    ("core",),
    ("data", "portfolio"),
    ("execution", "strategy", "reporting"),
    ("run_records",),
    ("engine",),
    ("one_pass",),
    ("config",),
    ("dataset_stages",),
    ("run_provenance",),
    ("runner",),
    ("reproduction",),
    ("lookahead",),
    ("pipeline",),
    ("sweep", "scaffold"),
    ("cli", "benchmarks", "__init__"),
)
LAYER_OF = {room: index for index, layer in enumerate(LAYERS) for room in layer}


def room_of(module: Path) -> str:
    """Return the first part of a module's place in the package: `core`, `engine`, `__init__`, ..."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), str(module))


def dotted_name(module: Path) -> list[str]:
    parts = list(module.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports_of(module: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, full module name) of every import, also those inside functions and under TYPE_CHECKING."""
    package = dotted_name(module) if module.name == "__init__.py" else dotted_name(module)[:-1]
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)


def rooms_imported(module: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, room) of every import from this package; the package itself counts as its `__init__`."""
    names = {room_of(other) for other in MODULES}
    for line, name in imports_of(module):
        parts = name.split(".")
        if parts[0] == "ml4t_backtest":
            yield line, parts[1] if len(parts) > 1 and parts[1] in names - {"__init__"} else "__init__"


def is_version_only(module: Path, line: int) -> bool:
    """Whether an import from the package itself takes its version and nothing else: no room is entered for it."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.lineno == line
        and node.module == "ml4t_backtest"
        and [alias.name for alias in node.names] == ["__version__"]
        for node in ast.walk(tree_of(module))
    )


def module_id(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def test_every_room_has_its_layer() -> None:
    assert {room_of(module) for module in MODULES} <= set(LAYER_OF)


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_a_module_imports_only_from_layers_to_its_left(module: Path) -> None:
    room = room_of(module)
    wrong = [
        f"line {line}: {room} imports {other}"
        for line, other in rooms_imported(module)
        if other != room and LAYER_OF[other] >= LAYER_OF[room] and not is_version_only(module, line)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) == "datasets"], ids=module_id)
def test_datasets_know_errors_only(module: Path) -> None:
    wrong = [
        f"line {line}: datasets imports {other}"
        for line, other in rooms_imported(module)
        if other not in ("datasets", "errors")
    ]
    assert wrong == []


def test_errors_import_nothing_of_the_package() -> None:
    assert list(rooms_imported(PACKAGE / "errors.py")) == []


def test_the_test_of_layers_sees_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of imports finds them in functions, under TYPE_CHECKING, relative, and spelled either way."""
    module = PACKAGE / "core" / "imagined.py"
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from ml4t_backtest.engine import BacktestEngine\n"
        "def late():\n"
        "    import ml4t_backtest.runner\n"
        "    from .. import cli\n"
        "    from ..data.storage import publish\n"
        "    from ml4t_backtest import config, __version__\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "tree_of", lambda _: ast.parse(source))
    found = [(line, room) for line, room in rooms_imported(module)]
    assert sorted(found) == [(3, "engine"), (5, "runner"), (6, "cli"), (7, "data"), (8, "__init__"), (8, "config")]


# --- what may be imported -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_dagster_is_imported_nowhere_in_the_package(module: Path) -> None:
    roots = {name.split(".")[0] for _, name in imports_of(module)}
    assert [root for root in roots if root.startswith("dagster")] == []


def test_the_package_is_imported_without_its_heavy_dependencies() -> None:
    heavy = ("polars", "pandas", "pandera", "exchange_calendars", "plotly", "dagster", "numpy", "pyarrow", "pydantic")
    code = f"import sys, ml4t_backtest; print([name for name in {heavy!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_public_name_can_be_imported() -> None:
    for name in ml4t_backtest.__all__:
        assert getattr(ml4t_backtest, name) is not None
    assert set(ml4t_backtest.__all__) <= set(dir(ml4t_backtest))
    with pytest.raises(AttributeError, match="nonsense"):
        ml4t_backtest.nonsense  # noqa: B018


def test_only_the_calendar_talks_to_exchange_calendars() -> None:
    users = {
        module_id(module) for module in MODULES for _, name in imports_of(module) if name.startswith("exchange_cal")
    }
    assert users <= {"data/calendar.py", "datasets/build_us_tech_daily.py", "config/fields.py"}


def test_pickle_is_imported_nowhere() -> None:
    users = {
        module_id(module)
        for module in MODULES
        for _, name in imports_of(module)
        if name.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
    }
    assert users == set()


# --- names and docstrings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_no_module_is_a_drawer_for_odds_and_ends(module: Path) -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
    assert drawers.isdisjoint(part.removesuffix(".py").lower() for part in module.relative_to(PACKAGE).parts)


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Yield public functions and classes, and the public methods of public classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            members = node.body if isinstance(node, ast.ClassDef) else []
            for member in members:
                if isinstance(member, kinds) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


@pytest.mark.parametrize("module", MODULES, ids=module_id)
def test_everything_public_has_a_docstring(module: Path) -> None:
    tree = tree_of(module)
    assert ast.get_docstring(tree), "the module has none"
    assert [name for name, node in public_definitions(tree) if not ast.get_docstring(node)] == []
