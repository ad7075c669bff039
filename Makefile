# Everything runs in a virtual environment in this folder; the first target that needs it makes it.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell tools/find_python.sh)
ARGS ?=
# Tests wait for servers more than they compute; files stay whole, since their tests share a stack.
CHECK_JOBS ?= 2
TEST_JOBS ?= 4
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run demo stack check test faults webhook-faults providers bench docs oldest oldest-tests queries format clean clean-data

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment (done by the others when needed)

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { tools/find_python.sh; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) …"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

run: $(READY) ## Start the local stack and the app, see the main job happen, serve on :7071 until Ctrl-C
	@exec $(BIN)/python -m infra.local.run $(ARGS)

demo: $(READY) ## Show every flow once, step by step; the last line is one JSON object
	@exec $(BIN)/python -m infra.local.demo $(ARGS)

stack: $(READY) ## Start the local stack alone and write local.settings.json for it
	@exec $(BIN)/python -m infra.local $(ARGS)

check: $(READY) ## Format, lint, types, architecture, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n $(CHECK_JOBS) --dist loadfile -m "not stack and not slow" $(ARGS)

test: $(READY) ## All tests, the local stack included
	$(BIN)/python -m pytest -q -n $(TEST_JOBS) --dist loadfile $(ARGS)

faults: $(READY) ## A minute of edits, crashes and outages, then all must agree (SEED=, SECONDS=)
	@exec $(BIN)/python -m tests.faults.random_run $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

webhook-faults: $(READY) ## 5000 deliveries, a fifth of them twice, the host killed in between: one message each
	WEBHOOK_DELIVERIES=5000 $(BIN)/python -m pytest -q tests/faults/test_webhook_kills.py $(ARGS)

providers: $(READY) ## Hold every provider to the common contract, and show the table
	@exec $(BIN)/python -m tests.provider_table

$(VENV)/.bench-ready: $(READY)
	@$(BIN)/python -m pip install --quiet --editable ".[dev,bench]"
	@touch $@

bench: $(VENV)/.bench-ready ## Measure (ONLY=name for one); the last line is one JSON object
	@exec $(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

queries: $(READY) ## Parse the alerts' and the Workbook's queries as Azure does (needs node and npm)
	@npm install --silent --no-save --no-package-lock --prefix $(VENV)/kusto @kusto/language-service-next@12.4.1
	@$(BIN)/python -m infra.queries > $(VENV)/kusto/queries.json
	node tools/check_queries.cjs $(VENV)/kusto/node_modules/@kusto/language-service-next $(VENV)/kusto/queries.json

docs: $(READY) ## Write the parts of the documents that are made from the code
	$(BIN)/python tools/write_docs.py
	$(BIN)/python -m infra.configuration
	$(BIN)/python -m infra.sizing

oldest: ## Unit tests and one local run on Python 3.11, the oldest that is supported, where this machine has it
	@python=$$(tools/find_python.sh 11) || { echo "Skipped: nothing was tested on Python 3.11"; exit 0; }; \
	$(MAKE) --no-print-directory VENV=.venv-3.11 PYTHON="$$python" oldest-tests

oldest-tests: $(READY)
	$(BIN)/python -m pytest -q -n $(TEST_JOBS) --dist loadfile tests/unit
	$(BIN)/python -m infra.local.run --once --memory --ports auto --port 0 --settings $(VENV)/local.settings.json

format: $(READY) ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean-data: ## Forget the data of local runs
	rm -rf .local

clean: clean-data ## Forget the virtual environment and all caches too
	rm -rf $(VENV) .venv-3.11 .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
