"""From which columns of which assets each column of a table comes.

Told is what the values are made of: the value itself, and what decides which row's value it is. The strategy stands
between what it is shown and what it orders, and may look at all of it; that is told nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ml4t_backtest.config.dataset_schema import DatasetConfig
from ml4t_backtest.core import schemas
from ml4t_backtest.data.universe import IN_UNIVERSE
from ml4t_backtest.dataset_stages import RawKind, Tables

# Asset and column.
Origin = tuple[str, str]
Lineage = Mapping[str, Sequence[Origin]]

_BARS, _CONTEXT = "asset_data", "context_data"
_MOMENTS = ("decision", "entry", "exit")
_FILL = (("fills", "price"), ("fills", "quantity"))
_TRADE_OF_FILL = ("price", "quantity", "commission", "slippage")
_RANGE = ((_BARS, "high"), (_BARS, "low"))
_QUOTES = tuple((_BARS, name) for name in ("open", "high", "low", "close"))
_ACTION_COLUMNS = ("ex_date", "kind", "value")
# What the engine computes, table by table.
_COMPUTED: Mapping[str, Lineage] = {
    "fills": {
        "raw_price": _QUOTES,
        "price": [("fills", "raw_price"), ("fills", "slippage")],
        "commission": _FILL,
        "slippage": [("fills", "raw_price"), ("fills", "quantity"), (_BARS, "volume")],
        "quantity": [("orders", "quantity"), (_BARS, "volume")],
    },
    "orders": {"filled_quantity": [("fills", "quantity")]},
    "trades": {
        **{f"{side}_{name}": [("fills", name)] for side in ("entry", "exit") for name in _TRADE_OF_FILL},
        "pnl_gross": _FILL,
        "dividends": [("cash_flows", "amount")],
        "borrow_fees": [("cash_flows", "amount")],
        "total_cost": [("fills", "commission"), ("fills", "slippage")],
        "pnl_net": [("trades", name) for name in ("pnl_gross", "entry_commission", "exit_commission", "dividends")],
        "pnl_percent": [("trades", "pnl_net"), ("trades", "entry_price"), ("trades", "entry_quantity")],
        **{f"max_{way}_{unit}": _RANGE for way in ("favorable", "adverse") for unit in ("excursion", "pct")},
    },
    "cash_flows": {
        "amount": [
            *(("corporate_actions", name) for name in _ACTION_COLUMNS),
            ("fills", "quantity"),
            (_BARS, "close"),
        ]
    },
    "portfolio_states": {
        "cash": [*_FILL, ("fills", "commission"), ("cash_flows", "amount")],
        "positions_value": [("fills", "quantity"), (_BARS, "close")],
        "equity": [("portfolio_states", "cash"), ("portfolio_states", "positions_value")],
        **{f"{span}_return": [("portfolio_states", "equity")] for span in ("period", "daily", "cumulative")},
    },
    "daily_returns": {
        "equity": [("portfolio_states", "equity")],
        **{f"{span}_return": [("daily_returns", "equity")] for span in ("daily", "cumulative")},
    },
    "backtest_run": {
        **dict.fromkeys(
            ("final_equity", "total_return", "max_drawdown", "annual_return", "annual_volatility", "sharpe_ratio"),
            (("daily_returns", "equity"),),
        ),
        **dict.fromkeys(("num_trades", "hit_rate", "profit_factor", "expectancy", "pnl_net"), (("trades", "pnl_net"),)),
        "total_commission": [("fills", "commission")],
        "total_slippage": [("fills", "slippage")],
        "total_costs": [("fills", "commission"), ("fills", "slippage")],
        "turnover": _FILL,
    },
}


def validated_lineage(kind: RawKind, raw: Tables, validated: Tables) -> Lineage:
    """Return where the columns of validated tables come from: the source's of that name, or its timestamp."""
    found: dict[str, Sequence[Origin]] = {}
    for name, frame in validated.items():
        given = raw[name].columns if name in raw else []
        for column in frame.columns if given else ():
            found[column] = [(f"raw_{kind}", column if column in given else "timestamp")]
    return found


def prepared_lineage(dataset: DatasetConfig) -> dict[str, Lineage]:
    """Return where the columns of each prepared table come from."""
    bars = [*schemas.BAR_COLUMNS, "open_instant", "decision_instant", *dataset.prices.indicators]
    shown_at: Origin = ("validated_prices", "decision_instant")
    return {
        _BARS: {
            **_same("validated_prices", bars),
            **_timed("signals", dataset.signal_names, shown_at),
            **{f"{name}_is_new": [("validated_signals", "available_at"), shown_at] for name in dataset.signal_names},
            **_indicators(dataset),
        },
        _CONTEXT: {
            **_same("validated_prices", ["timestamp", "decision_instant"]),
            **_timed("context", dataset.context_names, shown_at),
        },
        "corporate_actions": _same("validated_corporate_actions", schemas.corporate_actions_schema().columns),
        "source_quality": {},
    }


def run_lineage(dataset: DatasetConfig, tables: Tables) -> dict[str, Lineage]:
    """Return where the columns of each table of a run come from, as far as they are data or follow from records."""
    by_symbol = (*dataset.signal_names, *dataset.indicator_names)
    shown = {name: [(_BARS, name)] for name in by_symbol} | {n: [(_CONTEXT, n)] for n in dataset.context_names}
    data: dict[str, Sequence[Origin]] = {"timestamp": [(_BARS, "timestamp")], "symbol": [(_BARS, "symbol")], **shown}
    for moment in _MOMENTS:
        data |= {f"{moment}_{name}": origin for name, origin in shown.items()}
        data[f"{moment}_timestamp"] = [(_BARS, "timestamp")]
    found: dict[str, Lineage] = {}
    for table, frame in tables.items():
        known = {**data, **_COMPUTED.get(table, {})}
        found[table] = {column: known[column] for column in frame.columns if column in known}
    return found


def comparison_lineage(columns: Iterable[str]) -> Lineage:
    """Return where the columns of the comparison come from."""
    versions = [("backtest_run", name) for name in ("dataset", "data_hash", "engine_version")]
    return {**_same("backtest_run", [name for name in columns if name != "is_comparable"]), "is_comparable": versions}


def _same(asset: str, columns: Iterable[str]) -> dict[str, Sequence[Origin]]:
    return {name: [(asset, name)] for name in columns}


def _timed(kind: str, names: Iterable[str], shown_at: Origin) -> dict[str, Sequence[Origin]]:
    asset, found = f"validated_{kind}", dict[str, Sequence[Origin]]()
    for name in names:
        found[name] = [(asset, name), (asset, "available_at"), shown_at]
        found[f"{name}_available_at"] = [(asset, "available_at"), shown_at]
    return found


def _indicators(dataset: DatasetConfig) -> dict[str, Sequence[Origin]]:
    """Return the origins of computed indicators: their bars, and what those are adjusted by."""
    by: list[Origin] = []
    if dataset.corporate_actions is not None and dataset.adjustment != "total_return":
        # A dividend counts by its share of the close before it.
        by = [("validated_prices", "close"), *(("validated_corporate_actions", each) for each in _ACTION_COLUMNS)]
    found: dict[str, Sequence[Origin]] = {}
    for request in dataset.indicator_requests:
        bars = [("validated_prices", name) for name in request.indicator.inputs]
        found |= dict.fromkeys(request.columns, tuple(dict.fromkeys([*bars, *by])))
    if dataset.universe is not None:
        found[IN_UNIVERSE] = [("validated_universe", name) for name in ("symbol", "start", "end")]
    return found
