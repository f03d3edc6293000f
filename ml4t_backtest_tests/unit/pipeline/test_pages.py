"""What people look at in the metadata of a run."""

from __future__ import annotations

from worlds import DAYS, actions, run

from ml4t_backtest import PercentageCommission, PercentageSlippage
from ml4t_backtest.execution.accounts import MarginAccount
from ml4t_backtest.pipeline.pages import costs_page


def test_the_costs_of_a_run_with_an_open_short_and_a_dividend_add_up_to_its_net_profit() -> None:
    result = run(
        {"A": [100, 100, 110, 110], "B": [50, 50, 40, 40]},
        {0: lambda s: s.submit_batch(["A", "B"], [40.0, -20.0]), 1: lambda s: s.close_position("A")},
        initial_capital=10_000.0,
        account=MarginAccount(borrow_rate=0.1),
        slippage=PercentageSlippage(0.01),
        commission=PercentageCommission(0.001),
        corporate_actions=actions(("A", DAYS[2], "dividend", 2.0)),
        adjustment="none",
    )
    lines = [line.strip("| ").split(" | ") for line in costs_page(result).splitlines()[2:]]
    *parts, net, turnover = [float(figure.replace(",", "")) for _, figure in lines]
    assert [label for label, _ in lines] == [
        "Gross P&amp;L",
        "Commission",
        "Slippage",
        "Dividends",
        "Borrow fees",
        "Net P&amp;L",
        "Turnover",
    ]
    # 40 A from 100 to 110, 20 B short from 50 to 40: 600. A is bought at 101 and sold at 108.9, B sold at 49.5;
    # commission 4.04 + 4.356 + 0.99.
    assert parts[:4] == [600.0, -9.39, -(40.0 + 44.0 + 10.0), 80.0]
    assert parts[4] < 0.0
    assert abs(sum(parts) - net) < 0.03
    assert turnover == 40 * 101.0 + 40 * 108.9 + 20 * 49.5
