# Each target makes what it needs: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Of the benchmarks: quick or full.
SIZE ?= quick

.PHONY: demo ui test test-long docs parity mutants bench bench-peers bench-guard clean help

help:
	@echo "make demo       install into $(VENV) and run the whole pipeline on the embedded sample"
	@echo "make ui         the Dagster UI on http://127.0.0.1:3000"
	@echo "make test       lint, types, tests, doctests, Dagster definitions"
	@echo "make test-long  the long runs too"
	@echo "make docs       the pages as a site under docs/_build, every warning an error"
	@echo "make mutants    plant small defects, and count those that the tests notice"
	@echo "make bench      how fast it is: loop, strategies, growth, memory; SIZE=full for the whole, which takes an hour"
	@echo "make bench-peers  the same orders in six other engines, in turns with ours; SIZE=full takes hours"
	@echo "make bench-guard  has it become slower, as a ratio to floors measured in the same run?"
	@echo "make parity     replay order tapes in four other engines, each in an environment of its own, and compare"

demo: $(VENV)/.installed
	@$(BIN)/ml4t-backtest demo

ui: $(VENV)/.installed
	@$(BIN)/ml4t-backtest ui

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dagster definitions validate --module-name dagster_project.definitions --log-level warning
	$(BIN)/python -m pytest -n 2 -m "not long"

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

parity: $(VENV)/.installed-dev
	PYTHONPATH=ml4t_backtest_tests $(BIN)/python -m parity.run

bench: $(VENV)/.installed-dev
	PYTHONPATH=ml4t_backtest_tests $(BIN)/python -m benchmarks.suite --size $(SIZE)

bench-peers: $(VENV)/.installed-dev
	PYTHONPATH=ml4t_backtest_tests $(BIN)/python -m benchmarks.suite --size $(SIZE) --peers

bench-guard: $(VENV)/.installed-dev
	PYTHONPATH=ml4t_backtest_tests $(BIN)/python -m benchmarks.guard

mutants: $(VENV)/.installed-dev
	$(PIP) --editable ".[dagster,dev,mutation]"
	cd ml4t_backtest_tests && PYTHONPATH=.. ../$(BIN)/python -m mutation.run

clean:
	rm -rf $(VENV) .runs .parity .benchmarks build dist docs/_build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[dagster]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[dagster,dev,browser]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable ".[docs]"
	@touch $@
