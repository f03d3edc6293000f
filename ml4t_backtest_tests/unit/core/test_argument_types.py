"""Arguments of entry points: what is refused, and what the refusal says."""

from __future__ import annotations

import pytest

from ml4t_backtest import PolarsDataFeed, run_backtest
from ml4t_backtest.data.synthetic import random_bars


def test_an_unknown_argument_is_told_with_the_nearest_names() -> None:
    with pytest.raises(TypeError) as refused:
        PolarsDataFeed(random_bars(1, 2), signal_column=["prediction"])  # type: ignore[call-arg]
    assert str(refused.value).startswith("PolarsDataFeed() takes no argument 'signal_column'; nearest: signal_columns")


def test_an_argument_like_no_other_is_told_without_a_guess() -> None:
    with pytest.raises(TypeError, match=r"^run_backtest\(\) takes no argument 'zzz'$"):
        run_backtest("configs/simple_ml_strategy.yaml", zzz=1)  # type: ignore[call-arg]
