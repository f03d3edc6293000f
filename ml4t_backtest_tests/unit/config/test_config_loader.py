"""Reading good configurations: formats, defaults, names, hashes."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from ml4t_backtest.config import config_from_mapping, config_hash, load_config, load_dataset_config
from ml4t_backtest.config.loader import read_document
from ml4t_backtest.errors import ConfigError

MINIMAL = {
    "data": {"source": {"adjustment": "none", "prices": {"path": "prices.parquet"}}},
    "strategy": {"path": "mine.py:Mine"},
}
MINIMAL_YAML = """\
strategy: {path: "mine.py:Mine"}      # the order of keys does not matter
data:
  source:
    prices: {path: prices.parquet}
    adjustment: none
"""


def _yaml(folder: Path, text: str = MINIMAL_YAML, name: str = "mine.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_yaml_json_and_mapping_give_equal_configurations(tmp_path: Path) -> None:
    from_yaml = load_config(_yaml(tmp_path))
    from_json = load_config(_yaml(tmp_path / "other", json.dumps(MINIMAL), "mine.json"))
    from_mapping = config_from_mapping(MINIMAL, name="mine", folder=tmp_path)

    assert from_yaml == from_json == from_mapping
    assert config_hash(from_yaml) == config_hash(from_json) == config_hash(from_mapping)


def test_writing_a_default_out_does_not_change_the_hash(tmp_path: Path) -> None:
    spelled = {**MINIMAL, "backtest": {"initial_capital": 1_000_000}, "reporting": {"report": True}}

    assert config_hash(config_from_mapping(spelled, name="mine", folder=tmp_path)) == config_hash(
        config_from_mapping(MINIMAL, name="mine", folder=tmp_path)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"backtest": {"initial_capital": 1_000_001}},
        {"execution": {"commission": {"model": "none"}}},
        {"data": {"source": {"adjustment": "split", "prices": {"path": "prices.parquet"}}}},
    ],
)
def test_saying_something_else_changes_the_hash(tmp_path: Path, change: dict[str, object]) -> None:
    one = config_from_mapping(MINIMAL, name="mine", folder=tmp_path)
    other = config_from_mapping({**MINIMAL, **change}, name="mine", folder=tmp_path)

    assert one != other
    assert config_hash(one) != config_hash(other)


def test_the_data_set_a_backtest_names_is_part_of_its_hash(tmp_path: Path) -> None:
    hashes = set()
    for adjustment in ("none", "split"):
        _yaml(tmp_path / "datasets", f"adjustment: {adjustment}\nprices: {{path: p}}\n", "own.yaml")
        config = _yaml(tmp_path, "data: {dataset: own}\nstrategy: {path: 'mine.py:Mine'}\n")
        hashes.add(config_hash(load_config(config)))

    assert len(hashes) == 2


def test_names_default_to_the_stem_of_the_file(tmp_path: Path) -> None:
    config = load_config(_yaml(tmp_path, name="first_try.yaml"))

    assert (config.name, config.dataset.name) == ("first_try", "first_try")


def test_dates_are_read_from_text_and_from_date_objects(tmp_path: Path) -> None:
    for start in ("2003-01-02", date(2003, 1, 2)):
        config = config_from_mapping({**MINIMAL, "backtest": {"start": start}}, name="mine", folder=tmp_path)
        assert config.backtest.start == date(2003, 1, 2)


def test_a_mapping_that_holds_other_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a mapping"):
        config_from_mapping({**MINIMAL, "backtest": {"start": object()}}, name="mine", folder=tmp_path)


def test_relative_paths_start_from_the_configuration_file(tmp_path: Path) -> None:
    config = load_config(_yaml(tmp_path / "configs"))

    assert config.folder == tmp_path / "configs"
    assert config.dataset.resolve("../prices.parquet") == str(tmp_path / "configs" / ".." / "prices.parquet")
    assert config.dataset.resolve("/data/prices.parquet") == "/data/prices.parquet"
    assert config.dataset.resolve("s3://bucket/prices.parquet") == "s3://bucket/prices.parquet"


def test_a_data_set_beside_the_configuration_goes_before_the_bundled_one(tmp_path: Path) -> None:
    text = "description: mine\nadjustment: split\nprices: {path: p}\n"
    dataset = _yaml(tmp_path / "datasets", text, "us_tech_daily.yaml")
    config = load_config(_yaml(tmp_path, "data: {dataset: us_tech_daily}\nstrategy: {path: 'm.py:M'}\n"))

    assert config.dataset == load_dataset_config(dataset)
    assert config.dataset.folder == tmp_path / "datasets"


def test_a_bundled_data_set_is_found_from_any_folder(tmp_path: Path) -> None:
    config = load_config(_yaml(tmp_path, "data: {dataset: us_tech_daily}\nstrategy: {path: 'm.py:M'}\n"))

    assert config.dataset.context_names == ("spx_close", "spx_volatility_21d")


def test_an_unknown_data_set_lists_the_nearest_and_the_available(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'us_tech_daily'\? Available: us_tech_daily"):
        load_config(_yaml(tmp_path, "data: {dataset: us_tech}\nstrategy: {path: 'm.py:M'}\n"))


def test_a_benchmark_must_be_a_context_column(tmp_path: Path) -> None:
    text = "data: {dataset: us_tech_daily}\nstrategy: {path: 'm.py:M'}\nreporting: {benchmark: spx}\n"

    with pytest.raises(ConfigError, match=r":3: reporting\.benchmark: found 'spx'.*Did you mean 'spx_close'\?"):
        load_config(_yaml(tmp_path, text))


def test_modules_are_allowed_by_argument_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _yaml(tmp_path, MINIMAL_YAML.replace("mine.py:Mine", "my_pack.strategies.Mine"))

    with pytest.raises(ConfigError, match="E-CF-IMPORT"):
        load_config(file)
    assert load_config(file, allowed_modules=["my_pack"]).strategy.path == "my_pack.strategies.Mine"
    monkeypatch.setenv("ML4T_ALLOWED_MODULES", "other, my_pack.strategies")
    assert load_config(file).strategy.path == "my_pack.strategies.Mine"


def test_a_later_stage_can_say_where_a_mistake_stands(tmp_path: Path) -> None:
    file = _yaml(tmp_path, f"backtest:\n  start: 2003-01-02\n{MINIMAL_YAML}")

    error = load_config(file).error_at("backtest.start", "is after the last bar")

    assert str(error) == f"{file}:2: backtest.start: is after the last bar"


def test_more_mistakes_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    text = "".join(f"key_{n}: 1\n" for n in range(200))

    with pytest.raises(ConfigError, match=r"and 152 more$"):
        load_config(_yaml(tmp_path, text))


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL_YAML.replace("\n", "\r\n").encode())

    assert load_config(file) == load_config(_yaml(tmp_path / "plain"))


def test_unquoted_values_are_read_as_they_look(tmp_path: Path) -> None:
    text = "a: [yes, on, 0700, 12:30, 2003-01-02, 0x1F, NULL, 1_000, <<]\n"
    values = "b: [true, False, null, ~, 5, -1.5, 1e6, .5, +3]\n"
    document = read_document(_yaml(tmp_path, text + values))

    assert document.data["a"] == ["yes", "on", "0700", "12:30", "2003-01-02", "0x1F", "NULL", "1_000", "<<"]
    assert document.data["b"] == [True, False, None, None, 5, -1.5, 1e6, 0.5, 3]


def test_merged_mappings_give_way_to_own_keys_and_earlier_ones(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b], y: 3}\n"

    assert read_document(_yaml(tmp_path, text)).data["c"] == {"x": 1, "y": 3, "z": 2}
