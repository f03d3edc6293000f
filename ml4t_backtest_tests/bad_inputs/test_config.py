"""More of section G than the list has: configuration files (the list: `configs.py`)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bad_inputs.configs import GOOD, MINE, changed
from ml4t_backtest.config import load_config, load_dataset_config, load_strategy_class
from ml4t_backtest.errors import BacktestError, ConfigError, UnsafePathError


def _write(folder: Path, content: str | bytes, name: str = "c.yaml") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return file


def test_the_clean_file_is_accepted(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, GOOD))

    assert config.name == "c"
    assert config.dataset.signal_names == ("prediction",)


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
        load_config(_write(home, changed("mine.py:Mine", path)))


def test_cf029_long_text_cannot_be_multiplied_by_aliases(tmp_path: Path) -> None:
    # 500,000 characters x 1,000 aliases would be 500 MB once written out.
    text = f"a: &a {'x' * 500_000}\nb: [{', '.join(['*a'] * 1000)}]\n"

    with pytest.raises(ConfigError, match="E-CF-EXPAND"):
        load_config(_write(tmp_path, text))


def test_cf030_depth_cannot_be_hidden_behind_aliases(tmp_path: Path) -> None:
    links = "".join(f"a{n + 1}: &a{n + 1} {'[' * 20}*a{n}{']' * 20}\n" for n in range(200))

    with pytest.raises(ConfigError, match="E-CF-DEPTH"):
        load_config(_write(tmp_path, f"a0: &a0 []\n{links}"))


def test_all_mistakes_are_said_at_once_one_line_each(tmp_path: Path) -> None:
    _write(tmp_path, MINE, "mine.py")
    text = changed("1000000", "-5").replace("rate: 0.001", "rate: 5").replace("none", "nothing")

    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, text))

    assert len(str(caught.value).splitlines()) == 3


def test_a_strategy_that_is_not_there_is_said_together_with_the_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, changed("1000000", "-5")))

    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["backtest.initial_capital", "strategy.path"]
    assert "mine.py" in lines[1]


def test_mistakes_of_the_data_set_file_are_said_together_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    _write(tmp_path, MINE, "mine.py")
    _write(tmp_path / "datasets", "prices: {path: x}\nadjustment: nothing\n", "mine.yaml")
    source = GOOD[GOOD.index("  source:") : GOOD.index("execution:")]

    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, changed(source, "  dataset: mine\n").replace("1000000", "0")))

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
