"""Rebuild the embedded data set `us_tech_daily` from two public Python packages.

    python -m ml4t_backtest.datasets.build_us_tech_daily [--output DIR] [--check]

Needs `bokeh_sampledata>=2026.1` and `great_tables` (only their data files are read, neither is imported) and
scikit-learn. With the versions recorded in `provenance.json` a rebuild gives the same bytes; with others the
same frames, as long as they compute the same numbers to the digits kept. `--check` says which, and fails
where a frame differs.

The predictions come from `us_tech_daily_model`. Every build proves that they depend on nothing after their
session's close, by predicting again from truncated inputs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ml4t_backtest.datasets.us_tech_daily_model import predictions, skill, total_return_steps

NAME = "us_tech_daily"
HOME = Path(__file__).resolve().parent / NAME
START, END = date(2000, 3, 1), date(2013, 3, 1)
DESCRIPTION = (
    "Daily bars as traded of five US technology stocks with splits, dividends, S&P 500 context and causal "
    "walk-forward predictions."
)
LICENCE = (
    "prices and corporate_actions: public domain (Quandl WIKI); context: MIT (great_tables); "
    "predictions: made by this package, under its licence"
)
SOURCES = {
    "bokeh_sampledata": ("_data/stocks.csv.gz", "public domain (Quandl WIKI prices)"),
    "great_tables": ("data/04-sp500.csv", "MIT, Copyright (c) 2022-2026 Posit Software, PBC"),
}
PRICE_COLUMNS = ("timestamp", "symbol", "open", "high", "low", "close", "volume")

STEP_NOISE = 1e-6
"""Relative change of adj_close / close that counts as a corporate action: rounding stays below 1e-13, the
smallest dividend is 1e-3."""
DIVIDEND_DECIMALS = 4
VOLATILITY_WINDOW = 21
SESSIONS_PER_YEAR = 252
TABLES_BEGIN, TABLES_END = "<!-- tables: written by the build -->", "<!-- end of tables -->"
TRUNCATION_DATES = (date(2002, 12, 31), date(2005, 2, 25), date(2008, 9, 15), date(2012, 8, 9))


# ---------------------------------------------------------------------------------------------- sources


def source_path(package: str) -> Path:
    """Return the data file of an installed source package, without importing the package.

    Raises:
        SystemExit: The package is absent, or too old to hold the file.
    """
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0]) / SOURCES[package][0] if places else None
    if path is None or not path.is_file():
        raise SystemExit(f"{package} with {SOURCES[package][0]} is needed: pip install -U {package}")
    return path


def read_published() -> pl.DataFrame:
    """Return the WIKI rows as published: `PRICE_COLUMNS` and `adj_close`, by (timestamp, symbol)."""
    frame = pl.read_csv(source_path("bokeh_sampledata"), try_parse_dates=True).rename(str.lower)
    named = frame.rename({"date": "timestamp", "ticker": "symbol", "adj close": "adj_close"})
    return named.select(*PRICE_COLUMNS, "adj_close").sort("timestamp", "symbol")


def read_index() -> pl.DataFrame:
    """Return `timestamp, spx_close` of the S&P 500, oldest first, 1950 to 2015."""
    frame = pl.read_csv(source_path("great_tables"), try_parse_dates=True)
    return frame.select(timestamp="date", spx_close="close").sort("timestamp")


def session_closes() -> pl.DataFrame:
    """Return `timestamp, available_at`: every XNYS session of the span and the instant of its close (UTC)."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start=START.isoformat(), end=END.isoformat())
    return pl.DataFrame(
        {
            "timestamp": [session.date() for session in calendar.sessions],
            "available_at": [close.to_pydatetime() for close in calendar.closes],
        },
        schema={"timestamp": pl.Date, "available_at": pl.Datetime("us", "UTC")},
    )


# -------------------------------------------------------------------------------------- derived frames


def corporate_actions(published: pl.DataFrame) -> pl.DataFrame:
    """Recover splits and dividends from the steps of `adj_close / close`.

    With f the ratio of adjusted to traded close, WIKI has f[t-1] / f[t] = close[t] / (close[t] + dividend)
    for a dividend (reinvested at the ex-date's close) and 1 / n for an n:1 split. Found by solving: this
    convention gives whole cents on every ex-date, the one over the previous close misses by up to 11 cents.

    Returns:
        `symbol, ex_date, kind, value`: new shares per old share, or dollars per share as traded on that date.
    """
    factor = pl.col("adj_close") / pl.col("close")
    inverse = 1 / pl.col("step")
    is_split = (inverse.round() >= 2) & ((inverse / inverse.round() - 1).abs() < STEP_NOISE)
    dividend = (pl.col("close") * (inverse - 1)).round(DIVIDEND_DECIMALS)
    return (
        published.sort("symbol", "timestamp")
        .with_columns(step=(factor.shift(1) / factor).over("symbol"))
        .filter((pl.col("step") - 1).abs() > STEP_NOISE)
        .select(
            "symbol",
            ex_date="timestamp",
            kind=pl.when(is_split).then(pl.lit("split")).otherwise(pl.lit("dividend")),
            value=pl.when(is_split).then(inverse.round()).otherwise(dividend),
        )
        .sort("ex_date", "symbol", "kind")
    )


def market_context(index: pl.DataFrame) -> pl.DataFrame:
    """Return the S&P 500 close, its simple one-session return and its 21-session realised volatility.

    The volatility is the sample standard deviation of the last 21 daily log returns, that session's included,
    times sqrt(252). All three are known at the session's close. Earlier history fills the first windows.
    """
    close = index["spx_close"].to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(np.diff(np.log(close)), VOLATILITY_WINDOW)
    volatility = np.std(windows, axis=1, ddof=1) * np.sqrt(SESSIONS_PER_YEAR)
    unknown = np.full(VOLATILITY_WINDOW, np.nan)
    return index.with_columns(
        spx_return_1d=(pl.col("spx_close") / pl.col("spx_close").shift(1) - 1).round(10),
        spx_volatility_21d=pl.Series(np.concatenate([unknown, volatility])).round(10),
    ).filter(pl.col("timestamp").is_between(START, END))


# ----------------------------------------------------------------------------------------------- checks


def check_published(published: pl.DataFrame, index: pl.DataFrame, closes: pl.DataFrame) -> None:
    """Hold the sources to what the provenance says of them: no session missing, prices that make sense."""
    sessions = closes["timestamp"]
    inside = index.filter(pl.col("timestamp").is_between(START, END))
    require(inside["timestamp"].equals(sessions), "sessions of the S&P 500")
    for (symbol,), bars in published.group_by("symbol"):
        expected = sessions.filter(sessions >= bars["timestamp"].min())
        require(bars["timestamp"].sort().equals(expected), f"sessions of {symbol}")
    sane = (pl.col("high") >= pl.max_horizontal("open", "close")) & (pl.col("low") > 0)
    sane &= pl.col("low") <= pl.min_horizontal("open", "close")
    require(published.select(sane.all()).item(), "high and low around open and close")


def largest_step_error(published: pl.DataFrame, actions: pl.DataFrame) -> float:
    """Return the largest relative miss of our total-return steps against those of `adj_close`."""
    theirs = (pl.col("adj_close") / pl.col("adj_close").shift(1)).over("symbol")
    steps = total_return_steps(published, actions).select(miss=(pl.col("close_step") / theirs - 1).abs())
    return float(steps.select(pl.col("miss").max()).item())


def check_causal(prices: pl.DataFrame, actions: pl.DataFrame, closes: pl.DataFrame) -> None:
    """Rebuild the predictions from inputs that end early: nothing up to that end may change by one bit."""
    whole = predictions(prices, actions, closes)
    for last in TRUNCATION_DATES:
        past = predictions(
            prices.filter(pl.col("timestamp") <= last),
            actions.filter(pl.col("ex_date") <= last),
            closes.filter(pl.col("timestamp") <= last),
        )
        require(whole.filter(pl.col("timestamp") <= last).equals(past), f"causality at {last}")


def require(holds: bool, what: str) -> None:
    """Stop the build where a property of the data does not hold."""
    if not holds:
        raise SystemExit(f"{NAME}: {what}: does not hold, nothing is written")


# ------------------------------------------------------------------------------------------------ files


def build(output: Path) -> None:
    """Write the four Parquet files, `provenance.json` and `PROVENANCE.md` into a folder, checks first."""
    published, index, closes = read_published(), read_index(), session_closes()
    prices, actions = published.select(PRICE_COLUMNS), corporate_actions(published)
    check_published(published, index, closes)
    step_error = largest_step_error(published, actions)
    require(step_error < STEP_NOISE, "reproducing the published total-return steps")
    check_causal(prices, actions, closes)
    predicted = predictions(prices, actions, closes)
    frames = {
        "prices": prices,
        "corporate_actions": actions,
        "context": market_context(index),
        "predictions": predicted,
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.write_parquet(output / f"{name}.parquet", compression="zstd", compression_level=19)
    measured = {"largest_step_error": step_error, "skill": skill(predicted, prices, actions)}
    write_provenance(output, frames, measured)


def write_provenance(output: Path, frames: dict[str, pl.DataFrame], measured: dict[str, Any]) -> None:
    """Write `provenance.json`, and `PROVENANCE.md`: the shipped text with the tables of the same record."""
    record = {
        "description": DESCRIPTION,
        "licence": LICENCE,
        "start": START.isoformat(),
        "end": END.isoformat(),
        "symbols": sorted(frames["prices"]["symbol"].unique()),
        "files": {f"{name}.parquet": file_record(output, name, frame) for name, frame in frames.items()},
        "sources": {package: source_record(package) for package in SOURCES},
        "built_with": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("polars", "numpy", "exchange_calendars", "scikit-learn")},
        },
        "measured": measured,
    }
    (output / "provenance.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    text = (HOME / "PROVENANCE.md").read_text(encoding="utf-8")
    before, rest = text.split(TABLES_BEGIN)
    after = rest.split(TABLES_END)[1]
    tables = "\n".join(provenance_tables(record))
    whole = f"{before}{TABLES_BEGIN}\n\n{tables}\n\n{TABLES_END}{after}"
    (output / "PROVENANCE.md").write_text(whole, encoding="utf-8")


def file_record(output: Path, name: str, frame: pl.DataFrame) -> dict[str, Any]:
    """Return rows, bytes, digest and columns of a written file."""
    path = output / f"{name}.parquet"
    return {
        "rows": len(frame),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "columns": {column: str(dtype) for column, dtype in frame.schema.items()},
    }


def source_record(package: str) -> dict[str, str]:
    """Return version, licence, file and digest of a source package as installed."""
    file, licence = SOURCES[package]
    digest = sha256(source_path(package))
    return {"version": version(package), "licence": licence, "file": f"{package}/{file}", "sha256": digest}


def sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def provenance_tables(record: dict[str, Any]) -> list[str]:
    """Return the Markdown lines of the sources and files of a record, and of what was measured."""
    lines = ["| source file | version | licence | sha256 |", "|---|---|---|---|"]
    for each in record["sources"].values():
        lines.append(f"| `{each['file']}` | {each['version']} | {each['licence']} | `{each['sha256']}` |")
    lines += ["", "| file | rows | bytes | sha256 |", "|---|---|---|---|"]
    for name, each in record["files"].items():
        lines.append(f"| `{name}` | {each['rows']:,} | {each['bytes']:,} | `{each['sha256']}` |")
    versions = ", ".join(f"{name} {number}" for name, number in record["built_with"].items())
    lines += ["", f"Built with {versions}.", "", "| predictions, out of sample | |", "|---|---|"]
    for name, value in record["measured"]["skill"].items():
        lines.append(f"| {name.replace('_', ' ')} | {value:,} |")
    return lines


def compare(rebuilt: Path) -> bool:
    """Print how each rebuilt file compares with the shipped one; return whether all frames are equal."""
    equal = True
    for path in sorted(rebuilt.glob("*.parquet")):
        shipped = HOME / path.name
        same_frame = shipped.is_file() and pl.read_parquet(path).equals(pl.read_parquet(shipped))
        same_bytes = same_frame and sha256(path) == sha256(shipped)
        verdict = "same bytes" if same_bytes else "same frame, other bytes" if same_frame else "DIFFERENT"
        print(f"{path.name}: {verdict}")
        equal &= same_frame
    return equal


def main(arguments: Sequence[str] | None = None) -> int:
    """Build into `--output` (default: as shipped), or with `--check` into a temporary folder and compare."""
    parser = argparse.ArgumentParser(prog="python -m ml4t_backtest.datasets.build_us_tech_daily")
    parser.add_argument("--output", type=Path, default=HOME, help="folder to write to (default: as shipped)")
    parser.add_argument("--check", action="store_true", help="compare a rebuild with what is shipped")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        build(chosen.output)
        print((chosen.output / "provenance.json").read_text(encoding="utf-8"))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        return 0 if compare(Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
