"""Section G of the list of bad inputs: configuration files, one case or more per row.

Rows that a later stage refuses are listed in `ELSEWHERE`, with where.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from ml4t_backtest.config import build_strategy, load_config, load_dataset_config, load_strategy_class
from ml4t_backtest.errors import BacktestError, ConfigError, StrategyError, UnsafePathError

ELSEWHERE = {
    "CF010": "runner: needs the range of the data (BacktestConfig.error_at writes the sentence)",
    "CF036": "runner and storage: output paths are no part of a configuration yet",
    "CF037": "runner and storage: compares input with output paths",
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


def _changed(old: str, new: str) -> str:
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
    ("CF004", _changed("  end:", "  start: 2004-01-02\n  end:"), [":3:", "backtest.start", "line 2"]),
    ("CF005", _changed("initial_capital", "intial_capitl"), [":4:", "backtest.intial_capitl", "'initial_capital'"]),
    ("CF005", GOOD + "initial_capital: 5\n", ["belongs at backtest.initial_capital"]),
    ("CF005", _changed("rate: 0.001", "rat: 0.001"), ["execution.commission.rat", "Did you mean 'rate'?"]),
    ("CF006", GOOD[: GOOD.index("strategy:")], ["strategy", "required"]),
    ("CF006", _changed("    adjustment: none\n", ""), ["data.source.adjustment", "required", "total_return"]),
    ("CF008", _changed("2003-01-02", "banana"), [":2:", "backtest.start", "'banana'", "YYYY-MM-DD"]),
    ("CF008", _changed("2003-01-02", "2003-02-30"), ["backtest.start", "'2003-02-30'", "exists"]),
    ("CF008", _changed("2003-01-02", "20030102"), ["backtest.start", "20030102", "YYYY-MM-DD"]),
    ("CF009", _changed("2003-01-02", "2014-01-02"), ["backtest.end", "2013-03-01", "2014-01-02"]),
    ("CF009", _changed("2003-01-02", "2013-03-01"), ["backtest.end", "must be after"]),
    ("CF011", _changed("1000000", ".nan"), ["backtest.initial_capital", ".nan", "finite"]),
    ("CF011", _changed("1000000", ".inf"), ["backtest.initial_capital", ".inf", "finite"]),
    ("CF011", _changed("1000000", "1e400"), ["backtest.initial_capital", "1e400", "finite"]),
    ("CF011", _changed("threshold: 0.5", "threshold: .nan"), ["strategy.params.threshold", "finite"]),
    ("CF012", _changed("1000000", "-5"), ["backtest.initial_capital", "-5", "greater than 0"]),
    ("CF012", _changed("1000000", "0"), ["backtest.initial_capital", "found 0", "greater than 0"]),
    ("CF013", _changed("1000000", "true"), ["backtest.initial_capital", "true", "number"]),
    ("CF013", _changed("rate: 0.001", "rate: true"), ["execution.commission.rate", "true", "number"]),
    ("CF016", _changed("[prediction]", "[700]"), ["names[0]", '"700"', "quotes"]),
    ("CF017", _changed("rate: 0.001", "rate: 5"), [":13:", "execution.commission", "[0, 1)", "5.0"]),
    ("CF017", _changed("rate: 0.001", "rate: -0.1"), ["execution.commission", "[0, 1)", "-0.1"]),
    ("CF018", _changed("model: percentage, rate: 0.0005", "model: cubic"), ["slippage.model", "none, percentage"]),
    ("CF018", _changed("model: percentage, rate: 0.0005", "rate: 0.1"), ["slippage.model", "none, percentage"]),
    ("CF019", _changed("    prices:", "    timezone: EST5\n    prices:"), ["timezone", "'EST5'", "America/New_York"]),
    ("CF019", _changed("    prices:", "    timezone: Mars/Base\n    prices:"), ["timezone", "'Mars/Base'"]),
    ("CF019", _changed("    prices:", "    timezone: EST\n    prices:"), ["timezone", "'EST'"]),
    ("CF020", _changed("    prices:", "    calendar: XNYZ\n    prices:"), ["calendar", "'XNYZ'", "XNYS"]),
    ("CF022", _changed("  source:", "  validation: paranoidd\n  source:"), ["fast, standard, paranoid", "'paranoid'?"]),
    ("CF023", _changed("mine.py:Mine", "os.system"), ["strategy.path", "E-CF-IMPORT", "ML4T_ALLOWED_MODULES"]),
    ("CF023", _changed("mine.py:Mine", "subprocess:Popen"), ["strategy.path", "E-CF-IMPORT"]),
    ("CF023", _changed("mine.py:Mine", "builtins.eval"), ["strategy.path", "E-CF-IMPORT"]),
    (
        "CF027",
        _changed("prices.parquet}", "prices.parquet, indicators: [\"__import__('os').system('x')\"]}"),
        ["indicators[0]", "never an expression", "character 11 is '('"],
    ),
    (
        "CF027",
        _changed("    prices:", "    indicators: [\"__import__('os').system('x')\"]\n    prices:"),
        ["indicators[0]", "must be an indicator such as rsi:14", "nearest"],
    ),
    (
        "CF027",
        _changed("    prices:", "    indicators: [rsi:1]\n    prices:"),
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
UNSAFE_NAMES = ["a/b", "..", "", "🚀", "x" * 256, "con", "nul.2013", "ends.", ".hidden", "Upper"]


def _ids(cases: list[tuple[str, str | bytes, list[str]]]) -> list[str]:
    return [f"{row}-{number}" for number, (row, _, _) in enumerate(cases)]


def _write(folder: Path, content: str | bytes, name: str = "c.yaml") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return file


def test_the_clean_file_is_accepted(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, GOOD))

    assert config.name == "c"
    assert config.dataset.signal_names == ("prediction",)


@pytest.mark.parametrize(("row", "content", "said"), YAML_CASES, ids=_ids(YAML_CASES))
def test_bad_yaml_is_refused_with_place_value_and_remedy(
    tmp_path: Path, row: str, content: str | bytes, said: list[str]
) -> None:
    file = _write(tmp_path, content)

    with pytest.raises(ConfigError) as caught:
        load_config(file)

    text = str(caught.value)
    assert str(file) in text
    assert [part for part in said if part not in text] == []


@pytest.mark.parametrize(("row", "content", "said"), JSON_CASES, ids=_ids([(*case,) for case in JSON_CASES]))
def test_bad_json_is_refused_with_line_and_column(tmp_path: Path, row: str, content: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, content, "c.json"))

    assert [part for part in said if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("row", "written"),
    [("CF015", "[ON, NO, TRUE, NULL]"), ("CF016", "[0700, 007, 1_000, 12:30]")],
    ids=["CF015", "CF016"],
)
def test_symbols_that_yaml_1_1_turns_into_something_else_stay_text(tmp_path: Path, row: str, written: str) -> None:
    config = load_config(_write(tmp_path, _changed("threshold: 0.5", f"symbols: {written}")))

    assert config.strategy.params["symbols"] == written.strip("[]").split(", ")


def test_cf015_lower_case_true_among_names_asks_for_quotes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'names\[1\].*found true; must be text, put it in quotes: "true"'):
        load_config(_write(tmp_path, _changed("[prediction]", "[prediction, true]")))


def test_cf023_a_module_that_is_not_allowed_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "raise RuntimeError('imported')", "ml4t_never_imported.py")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="E-CF-IMPORT"):
        load_strategy_class("ml4t_never_imported.Mine", tmp_path)

    assert "ml4t_never_imported" not in sys.modules


@pytest.mark.parametrize("path", ["../mine.py:Mine", "/etc/mine.py:Mine", "inner/link.py:Mine"])
def test_cf023_a_strategy_file_outside_of_the_folder_is_unsafe(tmp_path: Path, path: str) -> None:
    home = tmp_path / "home"
    (home / "inner").mkdir(parents=True)
    (home / "inner" / "link.py").symlink_to(_write(tmp_path, "class Mine: ...", "mine.py"))

    with pytest.raises(UnsafePathError, match="outside"):
        load_strategy_class(path, home)
    with pytest.raises(UnsafePathError, match="outside"):
        load_config(_write(home, _changed("mine.py:Mine", path)))


def test_cf024_an_import_error_names_the_module_and_its_cause(tmp_path: Path) -> None:
    _write(tmp_path, "import no_such_module_at_all", "mine.py")

    with pytest.raises(StrategyError, match=r"mine\.py.*No module named 'no_such_module_at_all'") as caught:
        load_strategy_class("mine.py:Mine", tmp_path)

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_cf025_a_class_that_is_no_strategy_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "class Mine: ...\ndef make(): ...", "mine.py")

    for name in ("Mine", "make"):
        with pytest.raises(StrategyError, match=rf"mine\.py:{name} is .* ml4t_backtest\.Strategy"):
            load_strategy_class(f"mine.py:{name}", tmp_path)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("{treshold: 0.5}", ["strategy.params.treshold", "unknown", "'threshold'"]),
        ("{threshold: high}", ["strategy.params.threshold", "'high'", "float"]),
        ("{threshold: true}", ["strategy.params.threshold", "true", "float"]),
        ("{count: 1.5}", ["strategy.params.count", "1.5", "int"]),
        ("{count: true}", ["strategy.params.count", "true", "int"]),
        ("{symbols: [true, null]}", ["strategy.params.symbols", "tuple[str, ...]"]),
        ("{threshold: -1}", ["strategy.params", "threshold is positive, got -1.0"]),
    ],
)
def test_cf026_a_wrong_param_is_named(tmp_path: Path, params: str, said: list[str]) -> None:
    source = """
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
    _write(tmp_path, source, "mine.py")
    file = _write(tmp_path, _changed("{threshold: 0.5}", params))
    config = load_config(file)

    with pytest.raises(ConfigError) as caught:
        build_strategy(config.strategy, config.folder)

    text = str(caught.value)
    assert f"{file}:16:" in text
    assert [part for part in said if part not in text] == []


def test_cf029_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    file = _write(tmp_path, BOMB)
    start = time.perf_counter()

    with pytest.raises(ConfigError, match="E-CF-EXPAND"):
        load_config(file)

    assert time.perf_counter() - start < 0.2


def test_cf029_long_text_cannot_be_multiplied_by_aliases(tmp_path: Path) -> None:
    # 500,000 characters x 1,000 aliases would be 500 MB once written out.
    text = f"a: &a {'x' * 500_000}\nb: [{', '.join(['*a'] * 1000)}]\n"

    with pytest.raises(ConfigError, match="E-CF-EXPAND"):
        load_config(_write(tmp_path, text))


def test_cf030_depth_cannot_be_hidden_behind_aliases(tmp_path: Path) -> None:
    links = "".join(f"a{n + 1}: &a{n + 1} {'[' * 20}*a{n}{']' * 20}\n" for n in range(200))

    with pytest.raises(ConfigError, match="E-CF-DEPTH"):
        load_config(_write(tmp_path, f"a0: &a0 []\n{links}"))


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_cf038_an_unsafe_run_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePathError, match=r"backtest\.name") as caught:
        load_config(_write(tmp_path, _changed("backtest:\n", f'backtest:\n  name: "{name}"\n')))

    assert isinstance(caught.value, ConfigError)


def test_all_mistakes_are_said_at_once_one_line_each(tmp_path: Path) -> None:
    text = _changed("1000000", "-5").replace("rate: 0.001", "rate: 5").replace("none", "nothing")

    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, text))

    assert len(str(caught.value).splitlines()) == 3


def test_mistakes_of_the_data_set_file_are_said_together_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    _write(tmp_path / "datasets", "prices: {path: x}\nadjustment: nothing\n", "mine.yaml")
    source = GOOD[GOOD.index("  source:") : GOOD.index("execution:")]

    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, _changed(source, "  dataset: mine\n").replace("1000000", "0")))

    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["backtest.initial_capital", "adjustment"]
    assert "mine.yaml:2" in lines[1]


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['x']", "!!set {a}", "!mine a"])
def test_tags_are_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(ConfigError, match=r"tag .* is not supported"):
        load_config(_write(tmp_path, f"a: {tag}\n"))


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/no/such/file.yaml", "/proc/self/mem/x.yaml", "a\0b.yaml"])
def test_what_is_no_readable_file_is_refused(path: str) -> None:
    for load in (load_config, load_dataset_config):
        with pytest.raises(BacktestError, match=r"regular file|no such file|cannot be read"):
            load(path)


def test_bc31_anchors_used_sanely_are_accepted(tmp_path: Path) -> None:
    text = """\
backtest: {start: &start 2003-01-02}
data:
  source:
    adjustment: none
    prices: {path: &file all.parquet}
    signals: [&signal {path: *file, names: [a], latency: 5m}, {<<: *signal, names: [b]}]
    context: [{path: *file, names: [vix], available_at: market_close}]
strategy: {path: "mine.py:Mine", params: {since: *start, again: *start}}
"""
    config = load_config(_write(tmp_path, text))

    assert config.strategy.params == {"since": "2003-01-02", "again": "2003-01-02"}
    assert [(source.path, source.latency) for source in config.dataset.signals] == [("all.parquet", "5m")] * 2
    assert config.dataset.signal_names == ("a", "b")
