"""The worked tables of docs/concepts, read as cases: the documents are what the tests are parametrised by.

A table that follows `<!-- cases: option=value ... -->` has the columns `orders`, `bars` and `what happens`, after any
others. One symbol, 10,000 of cash and no costs unless the options say otherwise. All cases begin with a bar at 100, on
whose close the orders are decided.

* `orders`: `buy 10 limit=98`, several with `;` between, `2: close` for one decided on the close of bar 2, `cancel 1`
  and `replace 1 limit=97` for the first order of the case.
* `bars`: `open high low close` with ` / ` between bars; `xN` behind a bar is its volume (1000 unless said), `-` a
  session without a bar.
* `what happens`: the fills, `1: buy 10 at 98` on the first bar, exits that nobody ordered with their reason; then
  every order that ended otherwise than filled, or filled with a remark, in the order they were made; then `ambiguous`
  if a trade is marked so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from ml4t_backtest import (
    BacktestEngine,
    BacktestResult,
    MarginAccount,
    NoCommission,
    NoSlippage,
    PerOrderCommission,
    PolarsDataFeed,
    Strategy,
)

CONCEPTS = Path(__file__).parents[1] / "docs" / "concepts"
DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12)]
ACCOUNTS = {"margin": MarginAccount()}
PRICES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Case:
    """One row of a table.

    Attributes:
        name: Its document, table and row.
        options: What the comment above the table says.
        orders: See the module.
        bars: See the module.
        story: What happens, item by item.
    """

    name: str
    options: dict[str, str]
    orders: str
    bars: str
    story: list[str]

    def play(self) -> BacktestResult:
        """Run the engine on the case."""
        rows = [(DAYS[0], "A", 100.0, 100.0, 100.0, 100.0, 1000.0)]
        for day, bar in zip(DAYS[1:], self.bars.split(" / "), strict=False):
            # A second symbol keeps the session open on which the first has no bar.
            rows.append((day, "Z", 1.0, 1.0, 1.0, 1.0, 1.0))
            if bar.strip() != "-":
                prices, _, volume = bar.partition("x")
                rows.append((day, "A", *map(float, prices.split()), float(volume or 1000)))
        feed = PolarsDataFeed(
            pl.DataFrame(rows, schema=["timestamp", "symbol", *PRICES], orient="row"), bar_label="session"
        )
        return BacktestEngine(feed, _Script(self.orders), **engine_options(self.options)).run()


class _Script(Strategy):
    """Gives the orders of a case on the slices they name."""

    def __init__(self, orders: str) -> None:
        self.lines: dict[int, list[str]] = {}
        for line in filter(None, map(str.strip, orders.split(";"))):
            at, said = re.fullmatch(r"(?:(\d+): )?(.*)", line).groups()
            self.lines.setdefault(int(at or 0), []).append(said)
        self.ids: list[int] = []
        self.slice = -1

    def on_timestamp_batch(self, timestamp: Any, asset_batch: pl.DataFrame, context: Any) -> None:
        self.slice += 1
        for line in self.lines.get(self.slice, []):
            self.give(*line.split())

    def give(self, verb: str, *words: str) -> None:
        named = dict(word.split("=") for word in words if "=" in word)
        terms = {name: _value(text) for name, text in named.items()}
        number = [float(word) for word in words if "=" not in word]
        if verb in ("cancel", "replace"):
            getattr(self, verb)(self.ids[int(number[0]) - 1], **terms)
        elif verb == "close":
            self.ids.append(self.close_position("A"))
        elif verb == "target":
            self.ids.append(self.order_target_quantity("A", number[0]))
        else:
            self.ids.append(getattr(self, verb)("A", *number, **terms))


def engine_options(said: dict[str, str]) -> dict[str, Any]:
    """Return the engine's arguments for the options above a table."""
    options: dict[str, Any] = {"slippage": NoSlippage(), "commission": NoCommission(), "initial_capital": 10_000.0}
    for name, text in said.items():
        if name == "fee":
            options["commission"] = PerOrderCommission(float(text))
        elif name == "capital":
            options["initial_capital"] = float(text)
        else:
            options[name] = ACCOUNTS[text] if name == "account" else _value(text)
    return options


def story_of(result: BacktestResult) -> list[str]:
    """Tell what happened in the words of the tables."""
    slices = {day: number for number, day in enumerate(DAYS)}
    orders = {row["order_id"]: row for row in result.orders.iter_rows(named=True)}
    sides = {"long": "sell", "short": "buy"}
    exits = {
        (t["exit_timestamp"], t["exit_price"], sides[t["side"]]): t["exit_reason"] for t in result.trades.to_dicts()
    }
    story = []
    for fill in result.fills.iter_rows(named=True):
        reason = exits.get((fill["timestamp"], fill["price"], fill["side"]), "signal")
        told = f"{slices[fill['timestamp'].date()]}: {fill['side']} {fill['quantity']:g} at {fill['price']:g}"
        story.append(told if reason == "signal" else f"{told} ({reason})")
    for row in orders.values():
        if row["status"] != "filled" or row["reason"] is not None:
            story.append(f"{row['status']}: {row['reason']}")
    if result.trades["ambiguous_bar"].any():
        story.append("ambiguous")
    return story


def cases(document: str) -> list[Case]:
    """Return the cases of a document in docs/concepts."""
    found: list[Case] = []
    options: dict[str, str] | None = None
    header: list[str] = []
    for number, line in enumerate((CONCEPTS / document).read_text().splitlines(), start=1):
        if comment := re.fullmatch(r"<!-- cases:(.*)-->", line.strip()):
            options, header = dict(word.split("=") for word in comment.group(1).split()), []
        elif options is not None and line.startswith("|"):
            cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            if not header:
                header = cells
            elif set(line) - set("|- "):
                row = dict(zip(header, cells, strict=True))
                more = {"intrabar_path": row["intrabar_path"]} if "intrabar_path" in row else {}
                story = [item.strip() for item in row["what happens"].split(";") if item.strip() not in ("", "nothing")]
                name = f"{document}:{number} {row['orders']} on {row['bars']}"
                found.append(Case(name, {**options, **more}, row["orders"], row["bars"], story))
        elif not line.startswith("|") and header:
            options, header = None, []
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text
