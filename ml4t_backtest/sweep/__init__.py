"""Sweeps: one backtest varied many times, with every trial on record."""
