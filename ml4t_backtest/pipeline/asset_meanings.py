"""What each asset with a table is, in a sentence: for people who look at the graph."""

from __future__ import annotations

from collections.abc import Mapping

MEANING: Mapping[str, str] = {
    "raw_prices": "Price bars as the source has them.",
    "raw_signals": "Predictions as the sources have them; empty without any.",
    "raw_context": "Market-wide values as the sources have them; empty without any.",
    "raw_corporate_actions": "Splits and dividends as the source has them; empty without any.",
    "raw_universe": "Who belonged to the universe when, as the source has it; empty without any.",
    "validated_prices": "Bars whose timestamp is the moment they are complete, with the moment they open.",
    "validated_signals": "Predictions with the moment each could first be used.",
    "validated_context": "Market context with the moment each row could first be used.",
    "validated_corporate_actions": "Splits and cash dividends by ex-date.",
    "validated_universe": "Who belonged to the universe from which session to which.",
    "asset_data": "Bars with the signals and indicators known at each decision, sorted by (timestamp, symbol).",
    "context_data": "One row per timestamp with the market context known at its decision.",
    "corporate_actions": "The splits and dividends that belong to this version of the bars.",
    "source_quality": "What the sources show beside the bars that is no error: orphans, late context, stray files.",
    "backtest_run": "The run as one row: what it was made from and what came out.",
    "trades": "Round trips with the signals, indicators and context at decision, entry and exit.",
    "fills": "Executions, in the order they happened.",
    "orders": "Every order, whatever became of it.",
    "rejected_orders": "Orders that were refused, each with its reason and the numbers behind it.",
    "cash_flows": "Dividends, fees and other cash that moved without a fill.",
    "portfolio_states": "The account after each slice, or the last one of each session, week or month.",
    "daily_returns": "The last slice of each session.",
    "data_quality": "What was found in the data that is no error: codes, symbols, examples, what it may mean.",
    "event_loop_benchmark": "What the loop costs when the strategy does nothing, per callback mode.",
    "strategy_benchmark": "What strategies of the library cost, orders and records included.",
    "scalability_benchmark": "How time grows with symbols and with timestamps.",
}
