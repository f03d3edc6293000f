"""`python -m ml4t_backtest.cli`, the same as `ml4t-backtest`."""

from ml4t_backtest.cli import main

if __name__ == "__main__":
    main(prog_name="ml4t-backtest")
