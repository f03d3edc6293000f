"""The command line: `ml4t-backtest run | validate | prepare | report | runs | reproduce`, and what else `--help` lists.

A user's error ends with exit code 2 and the error's own text; `--debug` shows the traceback. Heavy imports happen
inside the commands, so that `--help` is quick.
"""

# A module's commands join the group when it is imported.
from ml4t_backtest.cli import pipeline as pipeline
from ml4t_backtest.cli import setting_up as setting_up
from ml4t_backtest.cli.group import USER_ERROR, main
from ml4t_backtest.cli.results import DIFFERENT
from ml4t_backtest.cli.running import LOOK_AHEAD

__all__ = ["DIFFERENT", "LOOK_AHEAD", "USER_ERROR", "main"]
