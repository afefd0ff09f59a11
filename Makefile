# `make reports` (PRESET=quick or full), `make test`, and `make fast` for a minute of it. Each makes its own virtual environment.
PYTHON ?= python3
VENV   ?= .venv
PRESET ?= quick
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: reports test fast bench nightly format clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

reports: $(READY)
	$(BIN)/difflab run --preset $(PRESET) --jobs -1

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 2

fast: $(READY)
	$(BIN)/pytest --numprocesses 2 -m fast

nightly: $(READY)
	DIFFLAB_PROFILE=nightly $(BIN)/pytest --numprocesses 2 tests

bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch==2.13.0" ".[peers]"
	$(BIN)/python benchmarks/against_peers.py
	$(BIN)/python benchmarks/numerical_differentiation.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
