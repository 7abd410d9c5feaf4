# `make help` lists the targets.
PYTHON   ?= python3
PIPELINE ?= taxi
BIN      := .venv/bin

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup:  ## virtual environment, Delta's jars, Spark's configuration (skips what is in place)
	@$(PYTHON) local/install.py

run: setup  ## the main job: PIPELINE=taxi, LANDING=folder, START= and END= of the bootstrap range
	@PYTHONPATH=jobs $(BIN)/python -m local.run --pipeline $(PIPELINE) $(if $(LANDING),--landing $(LANDING)) $(if $(START),--start $(START)) $(if $(END),--end $(END))

ui: setup  ## the stack on what is there, UIs open until Ctrl-C; SCHEDULES=1 starts the daily runs
	@PYTHONPATH=jobs $(BIN)/python -m local.ui $(if $(SCHEDULES),--schedules)

fetch: setup  ## download official files into data/landing: MONTHS="2021-01 2021-02"
	@PYTHONPATH=jobs $(BIN)/python -m local.fetch --pipeline $(PIPELINE) $(if $(LANDING),--landing $(LANDING)) $(MONTHS)

test: setup lint  ## everything that guards the project
	@$(BIN)/python -m pytest tests

lint: setup  ## format, lint, types, floors
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=jobs:dags:. $(BIN)/lint-imports

format: setup  ## put the code into ruff's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: setup  ## resolve pyproject.toml into the lock files anew
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock

.PHONY: help setup run ui fetch test lint format lock
