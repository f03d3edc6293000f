"""Plants one small defect after the other in the code that money goes through, and counts how many the tests notice.

`python -m mutation.run 150` from `ml4t_backtest_tests/`, with the `mutation` extra installed, draws 150 defects (the
operators of cosmic-ray) and prints those that nobody noticed. Nothing is written: each defect lives in a process of its
own, which imports the changed module instead of the file.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import exchange_calendars  # noqa: F401  imported before the processes part, so that none has to wait for it
import pandera.polars  # noqa: F401
import polars  # noqa: F401
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "ml4t_backtest"
MODULES = (
    "portfolio/cash_path",
    "portfolio/ledger",
    "portfolio/valuation",
    "execution/affordability",
    "execution/block_entry",
    "execution/block_filling",
    "execution/brackets",
    "execution/broker",
    "execution/carried",
    "execution/cost_columns",
    "execution/filling",
    "execution/order_types",
    "execution/round_trips",
    "execution/settlement",
    "execution/symbol_bars",
    "execution/trade_tracker",
)
# The quick ones first: most defects do not get further.
NOTICED_BY = (
    "docs/test_contract_tables.py",
    "unit/portfolio/test_ledger.py",
    "unit/execution/test_trade_tracker.py",
    "unit/execution/test_carried.py",
    "unit/execution/test_order_types.py",
    "unit/execution/test_settlement.py",
    "unit/execution/test_blocks_of_orders.py",
    "unit/execution/test_ambiguous_bars.py",
    "unit/execution/test_limits_and_rules.py",
    "unit/execution/test_profiles.py",
    "parity/test_golden.py",
    "integration/test_ten_bars_by_hand.py",
    "oracle/test_engine_agrees.py::test_engine_and_oracle_tell_the_same_story[0]",
    "oracle/test_engine_agrees.py::test_engine_and_oracle_tell_the_same_story[50]",
)
# `int | None` of an annotation, a decorator or an import is no arithmetic.
LEFT_OUT = ("BitOr", "BitAnd", "BitXor", "Shift", "Decorator", "Exception", "Variable", "_Is", "Pow", "Mod", "FloorDiv")
SECONDS = 900


@dataclass(frozen=True)
class Defect:
    """One changed place: the `nth` at which an operator applies to a module."""

    module: str
    operator: str
    nth: int

    def source(self) -> tuple[str, str]:
        """Return the module before and after."""
        before = (PACKAGE / f"{self.module}.py").read_text()
        return before, mutate_code(before, get_operator(self.operator)(), self.nth)

    def told(self) -> str:
        before, after = self.source()
        lines = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return f"{self.module}, {self.operator}: " + "  ".join(changed)


class _Changed(MetaPathFinder, Loader):
    """Imports one module from a text."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.text, f"<{self.name}>", "exec"), module.__dict__)


def all_defects() -> Iterator[Defect]:
    """Yield every defect that can be planted, of those that are no mere matter of taste."""
    operators = [name for name in sorted(operator_names()) if not any(word in name for word in LEFT_OUT)]
    for module in MODULES:
        nodes = list(ast_nodes(get_ast((PACKAGE / f"{module}.py").read_text())))
        for name in operators:
            operator = get_operator(name)()
            places = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            yield from (Defect(module, name, nth) for nth in range(places))


def is_noticed(module: str, text: str) -> bool:
    """Whether the tests fail, or take far too long, with a text in place of a module."""
    process = multiprocessing.get_context("fork").Process(target=_test, args=(module, text))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode != 0


def _test(module: str, text: str) -> None:
    os.chdir(TESTS.parent)
    name = f"ml4t_backtest.{module.replace('/', '.')}"
    sys.meta_path.insert(0, _Changed(name, text))
    with open(os.devnull, "w") as silence:
        os.dup2(silence.fileno(), 1)
        os.dup2(silence.fileno(), 2)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        os._exit(int(pytest.main([*options, *(str(TESTS / test) for test in NOTICED_BY)])))


def main(wanted: int) -> None:
    found = list(all_defects())
    drawn = random.Random(0).sample(found, min(wanted, len(found)))
    print(f"{len(drawn)} of {len(found)} defects", flush=True)
    if is_noticed(MODULES[0], (PACKAGE / f"{MODULES[0]}.py").read_text()):
        raise SystemExit("the tests fail without any defect: nothing would be learnt")
    missed = 0
    for number, defect in enumerate(drawn, start=1):
        if not is_noticed(defect.module, defect.source()[1]):
            missed += 1
            print(f"not noticed: {defect.told()}", flush=True)
        if number % 10 == 0:
            print(f"{number - missed} of {number} noticed", flush=True)
    print(f"score {(len(drawn) - missed) / len(drawn):.3f}: {len(drawn) - missed} of {len(drawn)} noticed")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
