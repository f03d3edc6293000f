"""How many small defects the tests notice: `python -m mutation.run`."""
