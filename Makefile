# Everything a person or a CI does here. `make help` lists it; each target sets up what it needs.

# VENV=DIR uses an environment of your own, which is then left as it is.
VENV ?= .venv
PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
BIN := $(VENV)/bin
READY := $(if $(filter .venv,$(VENV)),.venv/.ready)
LOCKS := requirements/uv.txt requirements/lock.txt requirements/torch.txt

.PHONY: help setup demo run test check bench proto lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  ARGS=\"...\" is handed to the command of demo, run, test and bench"

setup: ## make or repair .venv (the other targets do it by themselves)
	@command -v $(PYTHON) >/dev/null || { echo "FLoBC needs Python 3.11 or newer, and there is no $(PYTHON) here: install it (Debian, Ubuntu: sudo apt install python3 python3-venv) and try again." >&2; exit 1; }
	@$(PYTHON) tools/setup.py

.venv/.ready: $(LOCKS) pyproject.toml
	@$(MAKE) --no-print-directory setup

demo: $(READY) ## federated learning on the digits data set, on this machine
	@$(BIN)/flobc run --task digits $(ARGS)

run: $(READY) ## flobc run with your own options: make run ARGS="--help"
	@$(BIN)/flobc run $(ARGS)

# one thread per library call: the tests' processes already fill the cores
test: $(READY) ## all tests, the whole-system ones last: make test ARGS="-m 'not e2e'" leaves those out
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

check: $(READY) ## style, types, import rule, spelling, sizes
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/python tools/check_text.py

bench: $(READY) ## our figures beside a peer's, measured in one run
	@$(BIN)/python -m tests.bench.run $(ARGS)

proto: ## generate the gRPC code (nothing to generate before the services exist)
	@echo "There are no .proto files yet: the protocol's own encoding needs none."

lock: $(READY) ## resolve the dependencies anew: make lock ARGS="--upgrade"
	@PATH="$(BIN):$$PATH" $(BIN)/python tools/lock.py $(ARGS)

clean: ## remove .venv, .bench and caches
	rm -rf .venv .venv.old .bench build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
