# `make run` shows the whole system at work; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test lint bench rehearse torture simulate simulate-mutants lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

install: $(STAMP)  ## make .venv, from requirements.lock; nothing is done or fetched if it is up to date

run: $(STAMP)  ## settle a sample day and keep running until Ctrl-C; ONCE=1 exits instead
	$(BIN)/settlement demo $(if $(ONCE),--once)

test: lint  ## everything that CI checks
	$(BIN)/python -m pytest -n 3

lint: $(STAMP)  ## style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)  ## how long a settlement of 1,000,000 fills takes, beside the bare COPY of the same rows
	$(BIN)/settlement bench

rehearse: $(STAMP)  ## 2,000 accounts and 400,000 fills an hour from the sandbox exchange, one request in twenty failing
	$(BIN)/settlement rehearse --accounts 2000 --fills 400000 --faults 0.05

torture: $(STAMP)  ## workers, beat, PostgreSQL and Redis killed again and again for MINUTES=30: the same books as without
	$(BIN)/python -m tests.torture --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1)

simulate: $(STAMP)  ## small worlds with faults drawn from SEEDS=1000 seeds; SEED=123 replays one and shrinks it if it fails
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) $(if $(KEEP),--keep $(KEEP)) \
		$(if $(RESTART),--restart)

simulate-mutants: $(STAMP)  ## whether the simulation finds faults that are built into the product
	$(BIN)/python -m tests.simulation --mutants

lock: $(STAMP)  ## solve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --extra dev --output-file requirements.lock

clean:  ## remove .venv and what the tools keep; the data in .settlement stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
