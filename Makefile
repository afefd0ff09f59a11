# `make reports` (PRESET=quick or full), `make test`, `make fast` for about a minute of it, and `make docs`. Each makes its own virtual
# environment.
PYTHON ?= python3
VENV   ?= .venv
PRESET ?= quick
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: reports test fast coverage bench docs nightly format clean

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

# Of the fast selection: counting lines makes Python 3.11 take three times as long. Total and the ten files that lack most.
coverage: $(READY)
	$(BIN)/pytest --numprocesses 2 -m fast --cov=difflab --cov-report= -q
	$(BIN)/coverage report --sort=cover | sed -n -e '1,12p' -e '$$p'

nightly: $(READY)
	DIFFLAB_PROFILE=nightly $(BIN)/pytest --numprocesses 2 tests

bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch==2.13.0" ".[peers]"
	$(BIN)/python experiments/peers.py --fresh
	$(BIN)/python benchmarks/numerical_differentiation.py

# The site, in docs/_build/html: every cell of every page runs, and a warning is an error.
docs: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[docs]"
	$(BIN)/sphinx-build -W --keep-going -n -E -j 2 -b html docs docs/_build/html

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) docs/_build docs/reference/names .mypy_cache .pytest_cache .ruff_cache .hypothesis
