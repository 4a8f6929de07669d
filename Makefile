# Everything a person or a CI does here. `make help` lists it; each target sets up what it needs.

# VENV=DIR uses an environment of your own, which is then left as it is.
VENV ?= .venv
PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
TAG ?= 0.1.0
TRAINERS ?= 6
PLAN ?= examples/load/ratio.yaml
BIN := $(VENV)/bin
READY := $(if $(filter .venv,$(VENV)),.venv/.ready)
LOCKS := requirements/uv.txt requirements/lock.txt requirements/torch.txt

.PHONY: help setup demo run kafka test soak e2e-cluster cluster-tools check bench proto charts dashboards images kind-up up scale load down lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  ARGS=\"...\" is handed to the command of demo, run, kafka, test, soak and bench"

setup: ## make or repair .venv (the other targets do it by themselves)
	@command -v $(PYTHON) >/dev/null || { echo "FLoBC needs Python 3.11 or newer, and there is no $(PYTHON) here: install it (Debian, Ubuntu: sudo apt install python3 python3-venv) and try again." >&2; exit 1; }
	@$(PYTHON) tools/setup.py

.venv/.ready: $(LOCKS) pyproject.toml
	@$(MAKE) --no-print-directory setup

demo: $(READY) ## federated learning on the digits data set, on this machine
	@$(BIN)/flobc run --task digits $(ARGS)

run: $(READY) ## flobc run with your own options: make run ARGS="--help"
	@$(BIN)/flobc run $(ARGS)

kafka: $(READY) ## a real Kafka for development, until Ctrl-C; make kafka ARGS="--port 9092"
	@PYTHONPATH=. $(BIN)/python tools/run_kafka.py $(ARGS)

# one thread per library call: the tests' processes already fill the cores
test: $(READY) ## all tests, the whole-system ones last: make test ARGS="-m 'not e2e'" leaves those out
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

soak: $(READY) ## hurt a whole system again and again, for about an hour
	@$(BIN)/python -m pytest -s -n 0 -m soak tests/integration $(ARGS)

e2e-cluster: $(READY) ## releases on the cluster of KUBECONFIG, or on a node started here (docs/images.md)
	@$(BIN)/python -m pytest -s -n 0 -o faulthandler_timeout=1800 -m cluster tests/cluster $(ARGS)

cluster-tools: $(READY) ## build the programs of that node once, about 20 minutes
	@PYTHONPATH=. $(BIN)/python -m tests.support.cluster.binaries

check: $(READY) ## style, types, import rule, spelling, sizes, generated code
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/python tools/check_text.py
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/python tools/generate_proto.py --check

bench: $(READY) ## our figures beside a peer's, measured in one run
	@$(BIN)/python -m tests.bench.run $(ARGS)

proto: $(READY) ## generate the gRPC code from proto/
	@$(BIN)/python tools/generate_proto.py

charts: $(READY) ## what is made from charts/: its descriptions, golden renders, k8s/rendered
	@$(BIN)/python tools/chart_docs.py
	@$(BIN)/python tools/chart_renders.py

dashboards: $(READY) ## Grafana's boards, made by tools/dashboards
	@PYTHONPATH=tools $(BIN)/python -m dashboards

images: ## the services' images, in the Docker engine here: make images TAG=0.1.0
	@for role in ledger explorer validator trainer; do docker build -f services/$$role/Dockerfile -t flobc-$$role:$(TAG) $(ARGS) . || exit 1; done

kind-up: ## a Kubernetes cluster of Docker containers, with the images in it
	@kind get clusters | grep -qx flobc || kind create cluster --name flobc --config k8s/kind.yaml
	@kind load docker-image --name flobc flobc-ledger:$(TAG) flobc-explorer:$(TAG) flobc-validator:$(TAG) flobc-trainer:$(TAG)

up: ## install or upgrade the chart in the cluster that kubectl speaks to: make up ARGS="--set trainers.replicas=7"
	@kubectl apply -f k8s/namespace.yaml
	@helm upgrade --install flobc charts/flobc -n flobc -f k8s/values-kind.yaml --set scaling=external,monitoring.bundled.enabled=true,image.tag=$(TAG) $(ARGS)

scale: $(READY) ## another number of trainers there: make scale TRAINERS=6
	@$(BIN)/flobc scale --trainers $(TRAINERS) -n flobc --release flobc $(ARGS)

load: $(READY) ## measure it by a plan: make load PLAN=examples/load/ratio.yaml
	@$(BIN)/flobc load $(PLAN) --output .bench/load -n flobc --release flobc $(ARGS)

down: ## uninstall it; keys, chain and volumes stay
	@helm uninstall flobc -n flobc

lock: $(READY) ## resolve the dependencies anew: make lock ARGS="--upgrade"
	@PATH="$(BIN):$$PATH" $(BIN)/python tools/lock.py $(ARGS)

clean: ## remove .venv, .bench and caches
	rm -rf .venv .venv.old .bench build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
