"""A first configuration and strategy from a user's own files: `ml4t-backtest new`.

What a file shows is detected (columns, length of a bar); what it cannot show, how bars are labelled, in which zone and
when a prediction was known, is asked for and never guessed.
"""
