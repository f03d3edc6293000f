# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, name: python3}
# ---

# %% [markdown]
# # What is the best of twenty worth?
#
# Five real shares, 2003 to 2013, predictions of a model, and a rule with two thresholds: buy above one, sell below the other.
# Which thresholds? Every year the best of the three years before is chosen and lived with for a year, as one would have had to.
# Then the question that matters: after so many tries, is what came out skill or luck?

# %%
from pathlib import Path
from tempfile import mkdtemp

import plotly.graph_objects as go
import polars as pl

from ml4t_backtest import list_datasets, run_sweep
from ml4t_backtest.reporting.metrics import sharpe_ratio
from ml4t_backtest.sweep.honesty import honesty_of
from ml4t_backtest.sweep.loading import sweep_from_mapping
from ml4t_backtest.sweep.report import write_sweep_report

root = Path(mkdtemp())


def thresholds(enter: list[float], leave: list[float]) -> dict[str, object]:
    """Return a sweep as a file of `configs/sweeps/` would say it."""
    return {
        "sweep": {"base": "simple_ml_strategy", "objective": "sharpe_ratio"},
        "space": {
            "model": "grid",
            "parameters": {"strategy.params.enter_above": enter, "strategy.params.exit_below": leave},
        },
        "splits": {"model": "walk_forward", "window": "rolling", "train_bars": 756, "test_bars": 252, "purge": 1},
    }


wide = thresholds([0.505, 0.51, 0.515, 0.52, 0.53], [0.48, 0.49, 0.5, 0.505])
result = run_sweep(sweep_from_mapping(wide, name="wide", folder=Path("configs/sweeps")), output_root=root)
print(result)

# %% [markdown]
# ## What each year chose, and what it got
#
# `in_sample` is the Sharpe ratio of the three years it was chosen by, `out_of_sample` that of the year after.

# %%
scores = result.judgement.scores
points = [dict(variant.parameters) for variant in result.sweep.variants]
names = [f"{point['strategy.params.enter_above']} / {point['strategy.params.exit_below']}" for point in points]
chosen = scores.filter("is_chosen")
chosen.select("fold", pl.Series("enter / leave", [names[v] for v in chosen["variant"]]), "in_sample", "out_of_sample")

# %% [markdown]
# Had the ranking any meaning, the points would lie along a line that rises to the right.

# %%
figure = go.Figure()
for is_chosen, name in ((False, "others"), (True, "chosen")):
    rows = scores.filter(pl.col("is_chosen") == is_chosen).drop_nulls()
    labels = [f"{fold}: {names[variant]}" for fold, variant in rows.select("fold", "variant").iter_rows()]
    figure.add_scatter(
        x=rows["in_sample"].to_list(), y=rows["out_of_sample"].to_list(), mode="markers", name=name, text=labels
    )
figure.update_layout(
    title="Sharpe ratio of three years, and of the year after", xaxis_title="in sample", yaxis_title="out of sample"
)
figure

# %% [markdown]
# Within each fold, apart from what kind of year it was: does the order of three years foretell the order of the next?

# %%
ranks = scores.drop_nulls().with_columns(
    pl.col("in_sample").rank().over("fold").alias("inside"),
    pl.col("out_of_sample").rank().over("fold").alias("outside"),
)
foretold = ranks.group_by("fold", maintain_order=True).agg(correlation_of_ranks=pl.corr("inside", "outside"))
print(f"mean over the folds: {foretold['correlation_of_ranks'].mean():.2f}")
foretold

# %% [markdown]
# ## The one curve that nobody could have fitted
#
# The tests in a row, each with what had been chosen before it. Beside it the best variant of all, which is known afterwards
# only, and the index, which nobody had to choose.

# %%
stitched = result.judgement.stitched
best, _ = result.ranking[0]
sessions, with_hindsight = result.tested[best]
index = pl.read_parquet(list_datasets()[0].path / "context.parquet").sort("timestamp")
level = index.select(session=pl.col("timestamp").cast(pl.Date), held=pl.col("spx_close").pct_change())
held = stitched.select("session").join(level, on="session", how="left")["held"].to_list()
curves = {
    "chosen before each year": stitched["daily_return"].to_list(),
    f"the best with hindsight ({names[best]})": with_hindsight,
    "S&P 500, without dividends": held,
}
figure = go.Figure()
for name, returns in curves.items():
    figure.add_scatter(x=sessions, y=(pl.Series(returns) + 1.0).cum_prod().to_list(), name=name)
figure.update_layout(title="Growth of 1, tests only", height=420)
figure

# %%
curve_table = pl.DataFrame(
    [(name, (pl.Series(returns) + 1.0).product() - 1.0, sharpe_ratio(returns)) for name, returns in curves.items()],
    schema=["curve", "total_return", "sharpe_ratio"],
    orient="row",
)
curve_table

# %% [markdown]
# ## What it is worth
#
# The deflated Sharpe ratio asks whether the tests are better than the best of so many variants without skill would look. The
# probability of overfitting asks the variants themselves: cut time into blocks, choose in one half, look in the other.

# %%
honesty = honesty_of(result)
assert honesty is not None
assert honesty.overfitting is not None
for label, value, meaning in honesty.told():
    print(f"{label:28} {value:>12}   {meaning}")

# %% [markdown]
# Each way to halve time, and where the best of one half came to stand in the other. Left of 0 it is below the median there.

# %%
figure = go.Figure(go.Histogram(x=honesty.overfitting.logits.tolist(), nbinsx=40))
figure.add_vline(x=0.0, line_dash="dot")
figure.update_layout(title="Place outside of what was best inside (logit of its rank)", height=350)
figure

# %% [markdown]
# ## Looking again costs
#
# Nine other pairs, tried over the same data. The ledger counts them, whatever their sweep is called: what is judged is the same
# as before, and it is worth less.

# %%
more = thresholds([0.512, 0.525, 0.54], [0.485, 0.495, 0.508])
again = run_sweep(sweep_from_mapping(more, name="more", folder=Path("configs/sweeps")), output_root=root)
recalled = run_sweep(sweep_from_mapping(wide, name="wide", folder=Path("configs/sweeps")), output_root=root)
after = honesty_of(recalled)
assert after is not None
print(again)
print(recalled)
looked = pl.DataFrame(
    [(each.tried, each.probability_of_skill, each.deflated) for each in (honesty, after)],
    schema=["variants tried", "probability of skill", "deflated Sharpe ratio"],
    orient="row",
)
looked

# %% [markdown]
# ## The report
#
# The same as a page, with heat maps of the thresholds and the neighbours of the best.

# %%
print(write_sweep_report(recalled, root).name)

# %% [markdown]
# ## Conclusion
#
# Said by the figures, not by hope: 95 % is what one would ask of a single test; a choice holds where the best of one half of time
# is seldom below the median of the other, and at 50 % it is blind.

# %%
assert after.overfitting is not None
skilled, missed = (after.deflated or 0.0) > 0.95, after.overfitting.probability
print(
    "The strategy:", "more than luck, at 95 %" if skilled else "not told apart from the luck of so many tries, at 95 %"
)
holds = (
    "it holds"
    if missed < 0.1
    else "better than blind, far from certain"
    if missed < 0.4
    else "hardly better than blind"
)
print(f"The choice: {holds}; the best of one half is poor in the other {missed:.0%} of the time")
years = honesty.years
needed = (honesty.track_record or float("inf")) / 252
print(f"The record: {years:.1f} years, of {needed:.1f} that one single strategy would need")

# %%
assert recalled.rerun == 0, "what is on record is not run again"
assert after.tried == honesty.tried + 9
assert (after.deflated or 0.0) < (honesty.deflated or 0.0), "more tries, less worth"
assert stitched["session"].is_sorted()
assert stitched["session"].n_unique() == stitched.height
