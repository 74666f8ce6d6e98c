# Every target sets up what it needs by itself and does nothing twice. Start with `make demo`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTEST_ARGS ?=
LINTED = src tests envs benchmarks examples scripts
export PYTHON

.PHONY: help demo setup test lint format bench bench-full bench-page interop fuzz lock clean demo-setup

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: demo-setup ## Serve the Calendar Gym, run three agents on it, print the scored report
	@scripts/demo.sh

setup: ## Make .venv with everything
	@scripts/setup.sh dev

demo-setup:
	@scripts/setup.sh demo

test: setup ## Run the tests (PYTEST_ARGS="-k name" selects some)
	@scripts/test-setup.sh
	@.venv/bin/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

lint: setup ## Check style, types and the direction of imports
	@scripts/lint.sh

format: setup ## Lay out the code, sort imports and apply ruff's safe fixes
	@.venv/bin/ruff check --fix $(wildcard $(LINTED))
	@.venv/bin/ruff format $(wildcard $(LINTED))

bench: setup ## Measure side by side with openenv 0.10.0 and a bare ASGI echo (at most 10 minutes)
	@scripts/setup.sh reference
	@.venv/bin/python -m benchmarks.run $(BENCH_ARGS)

bench-full: setup ## The same with the whole matrix
	@scripts/setup.sh reference
	@.venv/bin/python -m benchmarks.run --full $(BENCH_ARGS)

bench-page: setup ## Show the last run's figures in docs/performance.md
	@.venv/bin/python -m benchmarks.page

interop: setup ## Compare with openenv 0.10.0, judge MCP, and print the counts
	@scripts/test-setup.sh
	@rm -rf build/interop
	@.venv/bin/python -m pytest tests/interop $(PYTEST_ARGS); passed=$$?; .venv/bin/python -m tests.interop.counts; exit $$passed

fuzz: setup ## Fuzz every dialect with a million frames (FUZZ_ARGS="--seed 7 --frames 5000 --dialect http")
	@OPENENV_SCHEMA_EXAMPLES=200 .venv/bin/python -m pytest -q tests/server/test_openapi.py
	@.venv/bin/python -m tests.fuzz --frames 1000000 $(FUZZ_ARGS)

soak: setup ## Open and close 200,000 sessions in every way, for at most MINUTES (30); SOAK_ARGS="--sessions 60000"
	@.venv/bin/python -m tests.soak --minutes $(or $(MINUTES),30) $(SOAK_ARGS)

lock: setup ## Resolve requirements/*.txt anew (LOCK_ARGS="--upgrade" or package names)
	@UV=.venv/bin/uv scripts/lock.sh $(LOCK_ARGS)

clean: ## Remove what the targets made
	rm -rf .venv .node-tools benchmarks/.venv-reference benchmarks/results build runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
