"""Runs in the neighbours' environment: reads what was exported with their own loaders and prints what they make of it.

Usage: python read_exports.py DIAGNOSTIC_FOLDER PANDAS_FOLDER
"""

import json
import sys
import warnings
from pathlib import Path

import pandas as pd


def diagnostic(folder: Path) -> dict[str, object]:
    """Return what the result loader, the run-artifact reader, the tear sheet and the trade analysis say."""
    from ml4t.backtest import BacktestResult
    from ml4t.diagnostic.evaluation import TradeAnalysis
    from ml4t.diagnostic.integration import (
        TradeRecord,
        analyze_backtest_result,
        generate_tearsheet_from_run_artifacts,
        profile_from_run_artifacts,
    )

    loaded = BacktestResult.from_parquet(folder)
    profile = profile_from_run_artifacts(folder)
    surfaces = {f"{name}_path": folder / f"{name}.parquet" for name in ("predictions", "signals")}
    judged = profile_from_run_artifacts(folder, **surfaces)
    page = generate_tearsheet_from_run_artifacts(folder, template="full")
    # Their own to_trade_records() refuses the signed quantities of shorts.
    records = [
        TradeRecord(**{**r, "quantity": abs(r["quantity"]), "slippage": None}) for r in loaded.to_trade_records()
    ]
    analysis = TradeAnalysis(records).analyze()
    states = loaded.to_portfolio_state_dataframe()
    return {
        "trades": len(loaded.trades),
        "fills": len(loaded.fills),
        "states": states.height,
        "last_equity": states["equity"][-1],
        "loaded_total_return": analyze_backtest_result(loaded).summary["total_return"],
        "summary": {k: v for k, v in profile.summary.items() if isinstance(v, int | float)},
        "sources": {name: info.status.value for name, info in profile.availability.surfaces.items()},
        "loaded_predictions": loaded.to_predictions_dataframe().height,
        "sources_of_model": {name: info.status.value for name, info in judged.availability.surfaces.items()},
        "model": judged.ml["metrics"],
        "drawn_from_files": page.count("from artifact"),
        "page_length": len(page),
        "trades_analysed": analysis.n_total_trades,
    }


def pyfolio_and_quantstats(folder: Path) -> dict[str, object]:
    """Return what they compute from the series and frames."""
    import pyfolio
    import quantstats

    returns = pd.read_parquet(folder / "returns.parquet")["strategy"]
    positions = pd.read_parquet(folder / "positions.parquet")
    transactions = pd.read_parquet(folder / "transactions.parquet")
    stats = pyfolio.timeseries.perf_stats(returns, positions=positions, transactions=transactions)
    naive = returns.tz_localize(None)
    return {
        "pyfolio": {name: float(value) for name, value in stats.items()},
        "gross_leverage": float(pyfolio.timeseries.gross_lev(positions).mean()),
        "round_trips": len(pyfolio.round_trips.extract_round_trips(transactions)),
        "quantstats": {
            name: float(getattr(quantstats.stats, name)(naive))
            for name in ("sharpe", "sortino", "max_drawdown", "cagr", "calmar", "tail_ratio", "volatility")
        },
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    told = {**diagnostic(Path(sys.argv[1])), **pyfolio_and_quantstats(Path(sys.argv[2]))}
    print(json.dumps(told, default=str))
