"""Section G: configurations, the good one changed in one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from bad_inputs.case import COMMAND_LINE, Attempts, Case, Holds, Refused
from bad_inputs.doors import RUN, attempts
from bad_inputs.good import World, daily
from bad_inputs.timestamps import in_months
from ml4t_backtest import ConfigError, DataPreparer, StrategyError, UnsafePathError
from ml4t_backtest.cli import main
from ml4t_backtest.config import BacktestConfig, build_components, load_config
from ml4t_backtest.data.store.storage import publish

DEFECTS = {
    "CF001": "an empty file",
    "CF002": "a list, or a single value, at the top",
    "CF003": "a syntax error",
    "CF004": "a key given twice",
    "CF005": "an unknown key",
    "CF006": "a section that is required is missing",
    "CF008": "a start that is no date",
    "CF009": "a start that is not before the end",
    "CF011": "a number that is not finite",
    "CF012": "no capital",
    "CF013": "true for a number",
    "CF015": "names that YAML 1.1 reads as true, false or null",
    "CF016": "names that YAML 1.1 reads as numbers",
    "CF017": "a commission out of its range",
    "CF018": "an unknown slippage model",
    "CF019": "a time zone that is no place",
    "CF020": "an unknown calendar",
    "CF022": "an unknown level of validation",
    "CF023": "a strategy in a module that is not allowed",
    "CF026": "a wrong parameter of the strategy",
    "CF027": "an expression for an indicator",
    "CF029": "aliases that expand a thousand million times",
    "CF030": "nesting 600 levels deep",
    "CF031": "an alias inside itself",
    "CF032": "a file of 50 megabytes",
    "CF033": "an encoding that is not UTF-8",
    "CF034": "JSON that is none",
}

GOOD = """\
backtest:
  start: 2003-01-02
  end: 2013-03-01
  initial_capital: 1000000
data:
  source:
    adjustment: none
    prices: {path: prices.parquet}
    signals:
      - {path: signals.parquet, names: [prediction]}
execution:
  slippage: {model: percentage, rate: 0.0005}
  commission: {model: percentage, rate: 0.001}
strategy:
  path: mine.py:Mine
  params: {threshold: 0.5}
"""
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def changed(old: str, new: str) -> str:
    """Return the good configuration with one text in the place of another."""
    assert old in GOOD
    return GOOD.replace(old, new)


# Row, text of the file, what the message must say.
YAML_CASES: list[tuple[str, str | bytes, list[str]]] = [
    ("CF001", "", ["empty"]),
    ("CF001", "# only a comment\n\n", ["empty"]),
    ("CF001", "---\n", ["empty"]),
    ("CF002", "- a\n- b\n", [":1:", "list"]),
    ("CF002", "hello\n", [":1:", "single value"]),
    ("CF003", "backtest:\n\tstart: 2003-01-02\n", [":2:1:", "spaces"]),
    ("CF003", "backtest: {start: 2003-01-02\n", ["c.yaml:2:1:", "syntax"]),
    ("CF004", GOOD + "data:\n  dataset: x\n", ["c.yaml:17:", "data", "duplicate", "line 5"]),
    ("CF004", changed("  end:", "  start: 2004-01-02\n  end:"), [":3:", "backtest.start", "line 2"]),
    ("CF005", changed("initial_capital", "intial_capitl"), [":4:", "backtest.intial_capitl", "'initial_capital'"]),
    ("CF005", GOOD + "initial_capital: 5\n", ["belongs at backtest.initial_capital"]),
    ("CF005", changed("rate: 0.001", "rat: 0.001"), ["execution.commission.rat", "Did you mean 'rate'?"]),
    ("CF006", GOOD[: GOOD.index("strategy:")], ["strategy", "required"]),
    ("CF006", changed("    adjustment: none\n", ""), ["data.source.adjustment", "required", "total_return"]),
    ("CF008", changed("2003-01-02", "banana"), [":2:", "backtest.start", "'banana'", "YYYY-MM-DD"]),
    ("CF008", changed("2003-01-02", "2003-02-30"), ["backtest.start", "'2003-02-30'", "exists"]),
    ("CF008", changed("2003-01-02", "20030102"), ["backtest.start", "20030102", "YYYY-MM-DD"]),
    ("CF009", changed("2003-01-02", "2014-01-02"), ["backtest.end", "2013-03-01", "2014-01-02"]),
    ("CF009", changed("2003-01-02", "2013-03-01"), ["backtest.end", "must be after"]),
    ("CF011", changed("1000000", ".nan"), ["backtest.initial_capital", ".nan", "finite"]),
    ("CF011", changed("1000000", ".inf"), ["backtest.initial_capital", ".inf", "finite"]),
    ("CF011", changed("1000000", "1e400"), ["backtest.initial_capital", "1e400", "finite"]),
    ("CF011", changed("threshold: 0.5", "threshold: .nan"), ["strategy.params.threshold", "finite"]),
    ("CF012", changed("1000000", "-5"), ["backtest.initial_capital", "-5", "greater than 0"]),
    ("CF012", changed("1000000", "0"), ["backtest.initial_capital", "found 0", "greater than 0"]),
    ("CF013", changed("1000000", "true"), ["backtest.initial_capital", "true", "number"]),
    ("CF013", changed("rate: 0.001", "rate: true"), ["execution.commission.rate", "true", "number"]),
    ("CF015", changed("[prediction]", "[prediction, true]"), ["names[1]", "true", "in quotes"]),
    ("CF016", changed("[prediction]", "[700]"), ["names[0]", '"700"', "quotes"]),
    ("CF017", changed("rate: 0.001", "rate: 5"), [":13:", "execution.commission", "[0, 1)", "5.0"]),
    ("CF017", changed("rate: 0.001", "rate: -0.1"), ["execution.commission", "[0, 1)", "-0.1"]),
    ("CF018", changed("model: percentage, rate: 0.0005", "model: cubic"), ["slippage.model", "none, percentage"]),
    ("CF018", changed("model: percentage, rate: 0.0005", "rate: 0.1"), ["slippage.model", "none, percentage"]),
    ("CF019", changed("    prices:", "    timezone: EST5\n    prices:"), ["timezone", "'EST5'", "America/New_York"]),
    ("CF019", changed("    prices:", "    timezone: Mars/Base\n    prices:"), ["timezone", "'Mars/Base'"]),
    ("CF019", changed("    prices:", "    timezone: EST\n    prices:"), ["timezone", "'EST'"]),
    ("CF020", changed("    prices:", "    calendar: XNYZ\n    prices:"), ["calendar", "'XNYZ'", "XNYS"]),
    ("CF022", changed("  source:", "  validation: paranoidd\n  source:"), ["fast, standard, paranoid", "'paranoid'?"]),
    ("CF023", changed("mine.py:Mine", "os.system"), ["strategy.path", "E-CF-IMPORT", "ML4T_ALLOWED_MODULES"]),
    ("CF023", changed("mine.py:Mine", "subprocess:Popen"), ["strategy.path", "E-CF-IMPORT"]),
    ("CF023", changed("mine.py:Mine", "builtins.eval"), ["strategy.path", "E-CF-IMPORT"]),
    (
        "CF027",
        changed("prices.parquet}", "prices.parquet, indicators: [\"__import__('os').system('x')\"]}"),
        ["indicators[0]", "never an expression", "character 11 is '('"],
    ),
    (
        "CF027",
        changed("    prices:", "    indicators: [\"__import__('os').system('x')\"]\n    prices:"),
        ["indicators[0]", "must be an indicator such as rsi:14", "nearest"],
    ),
    (
        "CF027",
        changed("    prices:", "    indicators: [rsi:1]\n    prices:"),
        ["indicators[0]", "'rsi:1'", "period", "a whole number from 2"],
    ),
    ("CF029", BOMB, ["E-CF-EXPAND"]),
    ("CF030", "a: " + "[" * 600 + "]" * 600, ["E-CF-DEPTH"]),
    ("CF030", "".join(" " * n + "a:\n" for n in range(600)), ["E-CF-DEPTH"]),
    ("CF031", "a: &a [*a]\n", ["alias", "itself"]),
    ("CF031", "a: &a {b: {<<: *a}}\n", ["alias", "itself"]),
    ("CF032", "#" * (50 * 1024 * 1024), ["1 MiB"]),
    ("CF033", GOOD.encode() + b"# caf\xe9\n", [":17:", "encoding", "UTF-8"]),
    ("CF033", GOOD.encode("utf-16"), ["encoding", "UTF-16"]),
    ("CF033", GOOD.encode() + b"\0", ["encoding", "NUL"]),
]
JSON_CASES = [
    ("CF034", '{"backtest":\n  {"initial_capital": NaN}}', ["c.json:2:23:", "NaN"]),
    ("CF034", '{"backtest":\n  {"initial_capital": -Infinity}}', ["c.json:2:23:", "Infinity"]),
    ("CF034", '{"data": {"dataset": "x"},\n}', ["c.json:2:1:", "trailing comma"]),
    ("CF034", '{"data": {"names": ["x",]}}', ["c.json:1:25:", "trailing comma"]),
    ("CF034", '{"data": {"dataset": "x",\n "dataset": "y"}}', ["c.json:2:2:", "duplicate", "line 1"]),
    ("CF030", '{"a":' + "[" * 100_000, ["E-CF-DEPTH"]),
    ("CF002", "[1, 2]", ["c.json:1:1:", "top level"]),
]
UNSAFE_NAMES = [
    "../../x",
    "/etc/x",
    "~root/x",
    "x" * 300,
    "x\\u0000",
    "a/b",
    "..",
    "",
    "🚀",
    "x" * 256,
    "con",
    "nul.2013",
    "ends.",
    ".hidden",
    "Upper",
]


MINE = """
from dataclasses import dataclass
from ml4t_backtest.strategy.base import Strategy

@dataclass
class Mine(Strategy):
    threshold: float = 0.5
    count: int = 1
    symbols: tuple[str, ...] = ()

    def __post_init__(self):
        if self.threshold <= 0:
            raise ValueError(f"threshold is positive, got {self.threshold}")

    def on_timestamp_batch(self, timestamp, asset_batch, context):
        pass
"""
PARAM_CASES: list[tuple[str, list[str]]] = [
    ("{treshold: 0.5}", ["strategy.params.treshold", "unknown", "'threshold'"]),
    ("{threshold: high}", ["strategy.params.threshold", "'high'", "float"]),
    ("{threshold: true}", ["strategy.params.threshold", "true", "float"]),
    ("{count: 1.5}", ["strategy.params.count", "1.5", "int"]),
    ("{count: true}", ["strategy.params.count", "true", "int"]),
    ("{symbols: [true, null]}", ["strategy.params.symbols", "tuple[str, ...]"]),
    ("{threshold: -1}", ["strategy.params", "threshold is positive, got -1.0"]),
]
# Class of the file, text of the module, what the message must say.
CLASS_CASES: list[tuple[str, str, list[str]]] = [
    ("CF024", "import no_such_module_at_all", ["mine.py", "No module named 'no_such_module_at_all'"]),
    ("CF024", "raise KeyError('at import')", ["mine.py", "KeyError", "at import"]),
    ("CF024", "def Mine(:", ["mine.py", "SyntaxError"]),
    ("CF025", "class Mine: ...", ["mine.py:Mine is a class, but not one derived from ml4t_backtest.Strategy"]),
    ("CF025", "def Mine(): ...", ["mine.py:Mine is function", "ml4t_backtest.Strategy"]),
    ("CF025", "class Other: ...", ["mine.py has no 'Mine'"]),
]


def _write(folder: Path, content: str | bytes, name: str) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return file


def _text_case(id: str, content: str | bytes, parts: Sequence[str], name: str = "c.yaml", **expected: Any) -> Case:
    """Return a case of one text, read by the loader and by the command line."""

    def trial(folder: Path, level: str) -> Attempts:
        file = _write(folder, content, name)
        return {
            "load_config": lambda: load_config(file),
            COMMAND_LINE: lambda: CliRunner().invoke(main, ["run", str(file), "--output-root", str(folder / "out")]),
        }

    row = id[:5]
    says = tuple(parts) if id.startswith("CF00") or name in parts else (name, *parts)
    return Case(
        id, DEFECTS.get(row, "an unsafe name"), trial, Refused((), says=says, **{"error": ConfigError, **expected})
    )


def _numbered(cases: Iterable[tuple[str, Any, list[str]]]) -> Iterator[tuple[str, Any, list[str]]]:
    """Yield the declarations with a letter behind each row but the first of its kind."""
    seen: Counter[str] = Counter()
    for row, content, parts in cases:
        yield f"{row}{'' if not seen[row] else chr(ord('a') + seen[row])}", content, parts
        seen[row] += 1


def _built_case(id: str, defect: str, module: str, text: str, error: type[Exception], parts: Sequence[str]) -> Case:
    """Return a case in which the configuration is right and its strategy is not."""

    def trial(folder: Path, level: str) -> Attempts:
        _write(folder, module, "mine.py")
        file = _write(folder, text, "c.yaml")
        return {"build": lambda: build_components(load_config(file))}

    return Case(id, defect, trial, Refused((), error, tuple(parts)))


def _kept_text(written: str) -> Case:
    """Return the case of symbols that stay the text they are."""

    def trial(folder: Path, level: str) -> Attempts:
        file = _write(folder, changed("threshold: 0.5", f"symbols: {written}"), "c.yaml")
        return {"load_config": lambda: load_config(file)}

    def stays_text(config: BacktestConfig) -> None:
        assert config.strategy.params["symbols"] == written.strip("[]").split(", ")

    row = "CF015" if "ON" in written else "CF016"
    return Case(f"{row}z", DEFECTS[row], trial, Holds(stays_text))


def _dated(id: str, defect: str, **span: str) -> Case:
    """Return a case of a span without data."""

    def trial(folder: Path, level: str) -> Attempts:
        world = daily()
        backtest = {"backtest": {"initial_capital": 1_000_000.0, **span}}
        dated = World(world.tables, world.stored, world.declared, backtest)
        return {door: attempt for door, attempt in attempts(dated, folder).items() if door in (RUN, COMMAND_LINE)}

    said = ("config.yaml:", "backtest.", "2024-01-02 to 2024-06-28")
    # The data is prepared before anything is asked of its span, and stays for the next try.
    return Case(id, defect, trial, Refused((), ConfigError, said, writes="out/prepared"))


def _output_case(number: int, path: str) -> Case:
    """Return a case of a path for prepared data and for a result that is none."""

    def trial(folder: Path, level: str) -> Attempts:
        inner = folder / "a" / "b"
        inner.mkdir(parents=True)
        result = attempts(daily(), folder)[RUN]()
        preparer = DataPreparer().add_prices(daily().tables["prices"])
        return {
            "validate_and_save": lambda: preparer.validate_and_save(f"{inner}/{path}"),
            "write": lambda: result.write(f"{inner}/{path}"),
            "publish": lambda: publish(inner, path, {"x": daily().tables["context"]}, kind="test"),
        }

    return Case(f"CF036{chr(ord('a') + number)}", f"an output path {path[:12]!r}", trial, Refused((), UnsafePathError))


def _same_place(id: str, defect: str, output: Callable[[Path], Path]) -> Case:
    """Return a case in which what is read would be written over, or be read with what is written."""

    def trial(folder: Path, level: str) -> Attempts:
        home = in_months(daily().tables["prices"], folder)
        preparer = DataPreparer().add_prices(home)
        return {"validate_and_save": lambda: preparer.validate_and_save(output(home))}

    return Case(id, defect, trial, Refused((), UnsafePathError, ("prices",)))


def _named(number: int, name: str) -> Case:
    text = changed("backtest:\n", f'backtest:\n  name: "{name}"\n')
    return _text_case(f"CF038{chr(ord('a') + number)}", text, ["backtest.name"], error=UnsafePathError)


OUTPUTS = ("../../x", "../x", "CON", "nul.txt", "x.", "x" * 300, "x/../../../y", "~root/x", "a\nb", "COM1/x")

CASES: list[Case] = [
    *(
        _text_case(id, content, parts, **({"within": 0.2} if id == "CF029" else {}))
        for id, content, parts in _numbered(YAML_CASES)
    ),
    *(_text_case(f"{id}j", content, parts, "c.json") for id, content, parts in _numbered(JSON_CASES)),
    _dated("CF010", "an end before the first bar", end="2023-06-30"),
    _dated("CF010b", "a start after the last bar", start="2024-07-01"),
    _kept_text("[ON, NO, TRUE, NULL]"),
    _kept_text("[0700, 007, 1_000, 12:30]"),
    *(
        _built_case(id, "a strategy that cannot be loaded", module, GOOD, StrategyError, parts)
        for id, module, parts in _numbered(CLASS_CASES)
    ),
    *(
        _built_case(
            f"CF026{chr(ord('a') + number)}",
            DEFECTS["CF026"],
            MINE,
            changed("{threshold: 0.5}", params),
            ConfigError,
            [":16:", *parts],
        )
        for number, (params, parts) in enumerate(PARAM_CASES)
    ),
    *(_output_case(number, path) for number, path in enumerate(OUTPUTS)),
    _same_place("CF037", "prepared data is written where it was read from", lambda home: home),
    _same_place("CF037b", "prepared data is written below where it was read from", lambda home: home / "prepared"),
    _same_place("CF037c", "prepared data is written around where it was read from", lambda home: home.parent),
    *(_named(number, name) for number, name in enumerate(UNSAFE_NAMES)),
]
