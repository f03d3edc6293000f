"""Which values are tried."""

from __future__ import annotations

import math

from ml4t_backtest.sweep.spaces import Grid, Random


def test_a_grid_has_every_combination_once() -> None:
    grid = Grid({"a": (1, 2, 3), "b": (True, False)})
    points = [tuple(point.items()) for point in grid.points()]
    assert len(points) == len(set(points)) == len(grid) == 3 * 2


def test_draws_of_a_key_do_not_depend_on_other_keys_nor_on_the_number_of_trials() -> None:
    level = {"low": -1.0, "high": 1.0}
    alone = Random({"level": level}, trials=5, seed=3).points()
    beside = Random({"other": [1, 2], "level": level}, trials=9, seed=3).points()
    assert [point["level"] for point in alone] == [point["level"] for point in beside[:5]]


def test_another_seed_gives_other_draws() -> None:
    level = {"low": -1.0, "high": 1.0}
    assert Random({"level": level}, 5, seed=3).points() != Random({"level": level}, 5, seed=4).points()


def test_whole_draws_reach_both_ends_about_equally_often() -> None:
    drawn = [point["n"] for point in Random({"n": {"low": 1, "high": 3, "whole": True}}, trials=3_000).points()]
    assert all(isinstance(value, int) for value in drawn)
    # 1000 expected each, standard deviation sqrt(3000 / 3 * 2 / 3) = 26.
    assert all(abs(drawn.count(value) - 1_000) < 130 for value in (1, 2, 3))


def test_log_draws_fall_below_the_geometric_mean_half_of_the_time() -> None:
    drawn = [point["x"] for point in Random({"x": {"low": 0.01, "high": 1.0, "scale": "log"}}, trials=2_000).points()]
    assert min(drawn) >= 0.01
    assert max(drawn) <= 1.0
    # 1000 expected below sqrt(0.01 * 1) = 0.1, standard deviation sqrt(2000) / 2 = 22.
    assert abs(sum(value < math.sqrt(0.01) for value in drawn) - 1_000) < 110
