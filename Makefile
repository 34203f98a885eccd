# Needs Python 3.11 or newer and a network for the first run; nothing is installed outside .venv.
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/.run-installed
DEV := .venv/.dev-installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help run demo test check lint types lock bench proof

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

run: $(RUN)  ## serve on http://127.0.0.1:8000 (settings from .env; without any, the built-in simulator)
	@$(BIN)/gunicorn --config gunicorn.conf.py wsgi:app

demo: $(RUN)  ## the same on the simulator, whatever is in .env
	@$(BIN)/flask demo

test: $(DEV)  ## the tests, without the long proofs
	@$(BIN)/python -m pytest -n 2 -m "not proof"

check: lint types test  ## all that CI runs

lint: $(DEV)  ## format, lint, floors
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

types: $(DEV)  ## mypy
	@$(BIN)/mypy --no-error-summary

lock: $(DEV)  ## pin requirements*.in with hashes
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes requirements-dev.in -c requirements.txt -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --no-header --generate-hashes requirements-apprise.in -o requirements-apprise.txt

bench: $(DEV)  ## measure
	@$(BIN)/python -m benchmarks

proof: $(DEV)  ## the full figures of what pipemon survives (minutes)
	@$(BIN)/python -m pytest -m proof -s

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pipemon needs Python 3.11 or newer")'
	@$(PYTHON) -m venv .venv

$(RUN): requirements.txt | $(BIN)/python
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt | $(BIN)/python
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(RUN)
