"""Parity, executed: one order tape through a peer engine and through ours, and every fill compared."""
