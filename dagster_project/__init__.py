"""The package's stages as Dagster assets. Thin: whatever can be tested without Dagster lives in `ml4t_backtest`."""
