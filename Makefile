# Two commands: `make reports` (PRESET=quick or full) and `make test`. Both make their own virtual environment.
PYTHON ?= python3
VENV   ?= .venv
PRESET ?= quick
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: reports test bench nightly format clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

reports: $(READY)
	$(BIN)/python -m difflab run --preset $(PRESET) --jobs -1

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 2

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
