"""Sweeps, the ledger of trials, splits over time, and what is said of having tried so much."""
