"""What the knobs of a profile choose between: the small rules that execution is wired with.

Our own rules stand beside those of other engines; `profiles` has the sets, `habits` makes the objects.
"""
