# `make help` lists the targets.
PYTHON   ?= python3
PIPELINE ?= taxi
WORKERS  ?= 1
COMPOSE  ?= docker compose
BIN      := .venv/bin

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup:  ## virtual environment, Delta's jars, Spark's configuration (skips what is in place)
	@$(PYTHON) local/setup/install.py

run: setup  ## the main job: PIPELINE=taxi, LANDING=folder, START= and END= of the bootstrap range
	@PYTHONPATH=jobs $(BIN)/python -m local run --pipeline $(PIPELINE) $(if $(LANDING),--landing $(LANDING)) $(if $(START),--start $(START)) $(if $(END),--end $(END))

ui: setup  ## the stack on what is there, UIs open until Ctrl-C; SCHEDULES=1 starts the daily runs
	@PYTHONPATH=jobs $(BIN)/python -m local ui $(if $(SCHEDULES),--schedules)

new: setup  ## a pipeline from a file: FROM=file-or-address LABEL=column NAME=name, FORCE=1 over what is there
	@PYTHONPATH=jobs $(BIN)/python -m batchml.new --from '$(FROM)' --label '$(LABEL)' $(if $(findstring command,$(origin NAME)),--name '$(NAME)') $(if $(FORCE),--force)

fetch: setup  ## download official files into data/landing: MONTHS="2021-01 2021-02"
	@PYTHONPATH=jobs $(BIN)/python -m local fetch --pipeline $(PIPELINE) $(if $(LANDING),--landing $(LANDING)) $(MONTHS)

local-up: setup  ## the same in the background, without Docker; SCHEDULES=1 as above
	@PYTHONPATH=jobs $(BIN)/python -m local up $(if $(SCHEDULES),--schedules)

local-down:  ## end what local-up started
	@PYTHONPATH=jobs $(BIN)/python -m local down

env:  ## write .env for the containers, with passwords of its own; never over one that is there
	@$(PYTHON) containers/write_env.py .env

up: env  ## build and start the containers, wait until all are healthy: WORKERS=1 Spark workers
	@CODE_VERSION=$$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null) \
	  $(COMPOSE) up --build --detach --wait --scale spark-worker=$(WORKERS)
	@. ./.env && echo "Airflow http://$$PUBLIC_HOST:$$AIRFLOW_PORT (user $$AIRFLOW_ADMIN_USER, password in .env)" \
	  "  MLflow http://$$PUBLIC_HOST:$$MLFLOW_PORT   Spark http://$$PUBLIC_HOST:$$SPARK_UI_PORT" \
	  "  Spark history http://$$PUBLIC_HOST:$$SPARK_HISTORY_PORT"

land:  ## source files into the containers: FROM=folder, or MONTHS="2021-01" to download, or else small synthetic ones
ifdef FROM
	@$(COMPOSE) run --rm --no-deps -T --volume "$(abspath $(FROM)):/from:ro" tools cp --recursive --verbose /from/. /data/landing/
else ifdef MONTHS
	@$(COMPOSE) run --rm --no-deps -T tools python -m local fetch --pipeline $(PIPELINE) $(MONTHS)
else
	@$(COMPOSE) run --rm --no-deps -T tools python -m local samples
endif

seed:  ## rows into the containers' database: FROM=file.csv DATE=2021-01-01 PIPELINE=census (in place of that date's)
	@$(COMPOSE) run --rm --no-deps -T --volume "$(abspath $(FROM)):/from.csv:ro" tools python -m local seed --pipeline $(PIPELINE) $(if $(DATE),--date $(DATE)) /from.csv

rollback: setup  ## the champion returns to the previous one and scores again: PIPELINE=taxi (in containers: make submit)
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/spark-submit jobs/promote_model.py --pipeline $(PIPELINE) --rollback

# Dates up to yesterday: a day is worked on when it is over.
YESTERDAY = $(shell $(BIN)/python -c "import datetime as d; print(d.datetime.now(d.UTC).date() - d.timedelta(days=1))")

heal: setup  ## work on all owed dates: PIPELINE=taxi, START= and END= for a part (in containers: action=heal in Airflow)
	@for job in ingest build_features score_batch monitor_drift; do \
	  PATH=$(abspath $(BIN)):$$PATH $(BIN)/spark-submit jobs/$$job.py --pipeline $(PIPELINE) $(if $(START),--start $(START)) \
	    --end $(or $(END),$(YESTERDAY)) --catch-up=only || [ $$? -eq 99 ] || exit 1; \
	done

accept: setup  ## missing dates never come and are not owed any more: PIPELINE=taxi DATE=2021-01-05
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/spark-submit jobs/ingest.py --pipeline $(PIPELINE) --end $(DATE) --accept

status: setup  ## how every pipeline is, as a table, in seconds and without Spark
	@PYTHONPATH=jobs $(BIN)/python -m batchml.report.status $(ARGS)

submit:  ## one job by hand in a container: JOB=build_features ARGS="--pipeline taxi --end 2021-01-05"
	@$(COMPOSE) run --rm --no-deps -T tools spark-submit jobs/$(JOB).py $(ARGS)

ps:  ## the containers, and how they are
	@$(COMPOSE) ps

logs:  ## follow the containers' logs: SERVICE=mlflow for one of them
	@$(COMPOSE) logs --follow --tail 50 $(SERVICE)

down:  ## stop and remove the containers; tables, models and runs stay in their volumes
	@$(COMPOSE) --profile '*' down

nuke:  ## remove containers and volumes: every table, model and run of the containers (asks first)
	@printf 'This removes all tables, models and runs of the containers. Type nuke to go on: ' && read answer && test "$$answer" = nuke
	@$(COMPOSE) --profile '*' down --volumes

test: setup lint  ## everything that guards the project, but for the containers
	@$(MAKE) --no-print-directory --jobs 2 test-steps test-local test-code

# Two at a time, the longest first, since each leaves a core idle for half its time; whole lines, so that none is torn.
# A folder of each one's own: pytest's common one is closed to others whenever a second run begins, also to the first
# one's PostgreSQL.
SUITE = PYTHONUNBUFFERED=1 $(BIN)/python -m pytest --durations 10 --basetemp .venv/$@
LINES := 2>&1 | grep --line-buffered ''
test-steps test-local test-code: SHELL := bash
test-steps test-local test-code: .SHELLFLAGS := -o pipefail -c

test-code: setup  ## of these: pure code, DAGs, documents and the parts of steps
	@$(SUITE) tests --ignore tests/steps --ignore tests/e2e --ignore tests/stack --ignore tests/long $(LINES)

test-steps: setup  ## of these: the steps of pipelines, in one Spark session
	@$(SUITE) tests/steps $(LINES)

test-local: setup  ## of these: make run, make local-up and jobs by hand, on the local stack
	@$(SUITE) tests/e2e --verbose $(LINES)

test-stack: setup  ## build the image, start the containers, run pipelines in them, take all down again
	@$(SUITE) tests/stack --exitfirst --verbose

test-long: setup  ## every job on months of up to 20 million rows within 4 GB: an hour or more, not part of CI
	@$(SUITE) tests/long --verbose --capture no

bench: setup  ## compare the jobs with bare Spark and native XGBoost: ROWS=10000000 RUNS=5 PARTS="tables models"
	@PYTHONPATH=jobs $(BIN)/python -m benchmarks.compare_with_spark $(if $(ROWS),--rows $(ROWS)) $(if $(RUNS),--runs $(RUNS)) $(if $(PARTS),--parts $(PARTS))

lint: setup  ## format, lint, types, floors
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=jobs:dags:. $(BIN)/lint-imports

format: setup  ## put the code into ruff's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

schema: setup  ## write conf/pipeline.schema.json, by which editors complete and check a pipeline's YAML
	@PYTHONPATH=jobs $(BIN)/python -m batchml.config.json_schema > conf/pipeline.schema.json

lock: setup  ## resolve pyproject.toml into the lock files anew
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock

.PHONY: help setup run new ui status local-up local-down env up land seed rollback heal accept submit ps logs down nuke fetch test test-code test-steps test-local test-stack test-long bench lint format schema lock
