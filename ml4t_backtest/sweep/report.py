"""The report of a sweep: one HTML page, what it is worth on top."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from ml4t_backtest.data.safe_path import output_folder, safe_path
from ml4t_backtest.errors import BacktestError
from ml4t_backtest.reporting.formats import count, percent, ratio
from ml4t_backtest.reporting.metrics import sharpe_ratio
from ml4t_backtest.reporting.page import card, chart, page, section
from ml4t_backtest.reporting.plotly_spec import Figure, axis_of, finite, layout_of, line_of, text, time_axis
from ml4t_backtest.reporting.sections import table
from ml4t_backtest.sweep.honesty import Honesty, honesty_of
from ml4t_backtest.sweep.landscape import HeatMap, Neighbourhood, heat_maps, neighbourhood
from ml4t_backtest.sweep.run import SWEEPS, SweepResult
from ml4t_backtest.sweep.selection import growth, total_return
from ml4t_backtest.sweep.summary import told_values

REPORTS = "reports"
_MOST_ROWS = 50
_MOST_PATHS = 20


def write_sweep_report(result: SweepResult, output_root: str | Path) -> Path:
    """Write the report of a sweep and return its file, which is replaced at once or not at all.

    Raises:
        BacktestError: The disk is full or read-only.
    """
    folder = output_folder(Path(output_root) / SWEEPS / REPORTS)
    file = safe_path(folder, f"{result.sweep.name}.html")
    hidden = folder / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hidden.write_text(render_sweep_report(result), encoding="utf-8")
        os.replace(hidden, file)
    except OSError as error:
        raise BacktestError(f"{file}: the report cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            hidden.unlink()
    return file.absolute()


def render_sweep_report(result: SweepResult) -> str:
    """Return a sweep as one self-contained HTML page; the same trials give the same bytes."""
    honesty, maps, near = honesty_of(result), heat_maps(result), neighbourhood(result)
    figures: dict[str, Figure] = {f"map_{number}": _map_figure(each) for number, each in enumerate(maps)}
    if result.folds:
        figures["stitched"] = _stitched_figure(result.judgement.stitched)
        figures["scatter"] = _scatter_figure(result)
    elif honesty is not None:
        sessions = result.tested[result.ranking[0][0]][0]
        figures["stitched"] = _curve_figure([("best", list(map(str, sessions)), honesty.returns)])
    return page(
        f"Sweep {result.sweep.name}",
        span=_span(result),
        cards=_cards(honesty),
        parts=_parts(result, figures, maps, near),
        figures=figures,
    )


def _cards(honesty: Honesty | None) -> str:
    if honesty is None:
        return card("Trials", "none completed")
    return "".join(card(*each) for each in honesty.told())


def _parts(
    result: SweepResult, figures: dict[str, Figure], maps: Sequence[HeatMap], near: Neighbourhood | None
) -> list[str]:
    """Return the sections in reading order."""
    parts = []
    if "stitched" in figures:
        title = "Tests in a row, each with what was chosen without it" if result.folds else "The best, with hindsight"
        parts.append(section(title, chart("stitched", title, tall=True), kind="full"))
    if result.folds:
        parts.append(section("In sample against out of sample", chart("scatter", "Scores inside and outside")))
        parts.append(section("What each fold chose", _folds_table(result)))
    for number, each in enumerate(maps):
        name = f"{_short(each.x)} and {_short(each.y)}"
        parts.append(section(name, chart(f"map_{number}", f"{_objective(result)} by {name}")))
    parts.append(section("Around the best", _near_table(result, near)))
    parts.append(section("Variants", _variants_table(result), kind="full long"))
    return [*parts, section("Trials", _trials_table(result), kind="full")]


def _span(result: SweepResult) -> str:
    sessions = sorted({session for days, _ in result.tested.values() for session in (days[0], days[-1])})
    days = f"{sessions[0]} to {sessions[-1]}, " if sessions else ""
    folds = f", {count(len(result.folds))} folds" if result.folds else ""
    return f"{days}{count(len(result.sweep.variants))} variants{folds}, judged by {_objective(result)}"


def _objective(result: SweepResult) -> str:
    return result.sweep.config.sweep.objective.replace("_", " ")


def _short(key: str) -> str:
    return key.split(".")[-1]


def _map_figure(found: HeatMap) -> Figure:
    colours = [[0.0, "var(--heat-loss)"], [0.5, "var(--surface)"], [1.0, "var(--heat-gain)"]]
    names, rows = [text(json.dumps(each)) for each in found.across], [text(json.dumps(each)) for each in found.upwards]
    heat = {
        "type": "heatmap",
        "x": list(range(len(names))),
        "y": list(range(len(rows))),
        "z": [[finite(value) for value in row] for row in found.cells],
        "zmid": 0.0,
        "colorscale": colours,
        "texttemplate": "%{z:.2f}",
        "hovertemplate": "%{z:.3f}<extra></extra>",
    }
    layout = layout_of() | {
        "xaxis": axis_of(text(_short(found.x)), tickvals=heat["x"], ticktext=names, showgrid=False),
        "yaxis": axis_of(text(_short(found.y)), tickvals=heat["y"], ticktext=rows, showgrid=False),
    }
    return {"data": [heat], "layout": layout}


def _stitched_figure(stitched: pl.DataFrame) -> Figure:
    paths = stitched.partition_by("path", maintain_order=True)[:_MOST_PATHS]
    names = [f"path {each['path'][0]}" if len(paths) > 1 else "out of sample" for each in paths]
    return _curve_figure(
        [
            (name, each["session"].dt.strftime("%Y-%m-%d").to_list(), each["daily_return"].to_list())
            for name, each in zip(names, paths, strict=True)
        ]
    )


def _curve_figure(curves: Sequence[tuple[str, list[str], Sequence[float]]]) -> Figure:
    """Return the growth of 1 over time, a line per history."""
    lines = []
    for number, (name, labels, returns) in enumerate(curves):
        line = line_of(
            labels, [finite(value) for value in growth(returns)], name, "--accent" if number == 0 else "--benchmark"
        )
        lines.append(line | {"hovertemplate": "%{y:.3f}"})
    labels = curves[0][1] if curves else []
    layout = layout_of(hovermode="x unified") | {"xaxis": time_axis(labels), "yaxis": axis_of("Growth of 1")}
    return {"data": lines, "layout": layout}


def _scatter_figure(result: SweepResult) -> Figure:
    marks = []
    for chosen, name, colour, size in ((False, "others", "--benchmark", 5), (True, "chosen", "--accent", 9)):
        rows = result.judgement.scores.filter(pl.col("is_chosen") == chosen).drop_nulls()
        told = [
            f"{fold}: {text(told_values(result, variant))}" for fold, variant in rows.select("fold", "variant").rows()
        ]
        marks.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [finite(value) for value in rows["in_sample"]],
                "y": [finite(value) for value in rows["out_of_sample"]],
                "customdata": told,
                "marker": {"color": f"var({colour})", "size": size, "opacity": 0.7},
                "hovertemplate": "%{customdata}<br>in %{x:.2f}, out %{y:.2f}<extra></extra>",
            }
        )
    layout = layout_of() | {
        "xaxis": axis_of(f"In sample, {_objective(result)}", zeroline=True),
        "yaxis": axis_of("Out of sample", zeroline=True),
    }
    return {"data": marks, "layout": layout}


def _folds_table(result: SweepResult) -> str:
    chosen = result.judgement.scores.filter("is_chosen").select("fold", "variant", "in_sample", "out_of_sample")
    windows = {fold.name: f"{fold.test[0][0]} to {fold.test[-1][1]}" for fold in result.folds}
    rows = [
        [fold, windows[fold], told_values(result, variant), ratio(inside), ratio(outside)]
        for fold, variant, inside, outside in chosen.iter_rows()
    ]
    return table(["Fold", "Tested", "Chosen", "In sample", "Out of sample"], rows, words=(0, 1, 2))


def _near_table(result: SweepResult, near: Neighbourhood | None) -> str:
    if near is None:
        return "<p class='note'>No trial was completed.</p>"
    rows = [[f"best: {told_values(result, near.best)}", ratio(near.score)]]
    rows += [[told_values(result, variant), ratio(score)] for variant, score in near.neighbours]
    verdict = (
        f"One step away the mean is {ratio(near.mean)}; a best that stands alone was probably luck."
        if near.neighbours
        else "No variant is one step away from it."
    )
    return f"<p class='note'>{verdict}</p>" + table(["Values", _objective(result).capitalize()], rows, words=(0,))


def _variants_table(result: SweepResult) -> str:
    rows = []
    for variant, score in result.ranking[:_MOST_ROWS]:
        returns = result.tested[variant][1]
        told = [percent(total_return(returns)), ratio(sharpe_ratio(returns))]
        rows.append([str(variant), told_values(result, variant), ratio(score), *told])
    left_out = len(result.ranking) - len(rows)
    more = f"<p class='note'>{count(left_out)} more are on record.</p>" if left_out else ""
    head = ["Variant", "Values", _objective(result).capitalize(), "Return", "Sharpe ratio"]
    return table(head, rows, words=(1,)) + more


def _trials_table(result: SweepResult) -> str:
    failed = result.trials.filter(pl.col("status") == "failed")
    rows = [["Trials of this sweep", count(result.trials.height)], ["Failed", count(failed.height)]]
    rows += [["", error] for error in failed["error"].unique(maintain_order=True).head(_MOST_ROWS)]
    return table(["", ""], rows, words=(0, 1))
