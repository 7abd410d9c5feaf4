# `make help` lists the targets.
PYTHON   ?= python3
PIPELINE ?= taxi
WORKERS  ?= 1
COMPOSE  ?= docker compose
BIN      := .venv/bin

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup:  ## install packages, jars and Spark's configuration (skips finished steps)
	@$(PYTHON) local/setup/install.py

run: setup  ## run a pipeline through Airflow: PIPELINE=taxi, LANDING=folder, START= and END= of the bootstrap range
	@PYTHONPATH=jobs $(BIN)/python -m local run --pipeline $(PIPELINE) $(if $(LANDING),--landing $(LANDING)) $(if $(START),--start $(START)) $(if $(END),--end $(END))

ui: setup  ## start the stack on existing results until Ctrl-C; SCHEDULES=1 also starts daily runs
	@PYTHONPATH=jobs $(BIN)/python -m local ui $(if $(SCHEDULES),--schedules)

new: setup  ## write a pipeline for a file: FROM=file-or-address LABEL=column NAME=name, FORCE=1 overwrites
	@PYTHONPATH=jobs $(BIN)/python -m batchml.new --from '$(FROM)' --label '$(LABEL)' $(if $(findstring command,$(origin NAME)),--name '$(NAME)') $(if $(FORCE),--force)

fetch: setup  ## download official files into data/landing: MONTHS="2021-01 2021-02"
	@PYTHONPATH=jobs $(BIN)/python -m local fetch --pipeline $(PIPELINE) $(if $(LANDING),--landing $(LANDING)) $(MONTHS)

local-up: setup  ## start the stack of make ui in the background, without Docker; SCHEDULES=1 also starts daily runs
	@PYTHONPATH=jobs $(BIN)/python -m local up $(if $(SCHEDULES),--schedules)

local-down:  ## stop the stack of local-up
	@PYTHONPATH=jobs $(BIN)/python -m local down

env:  ## write .env for the containers with generated passwords, unless it exists
	@$(PYTHON) containers/write_env.py .env

up: env  ## build and start the containers, and wait until they are healthy: WORKERS=1 Spark workers
	@CODE_VERSION=$$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null) \
	  $(COMPOSE) up --build --detach --wait --scale spark-worker=$(WORKERS)
	@. ./.env && echo "Airflow http://$$PUBLIC_HOST:$$AIRFLOW_PORT (user $$AIRFLOW_ADMIN_USER, password in .env)" \
	  "  MLflow http://$$PUBLIC_HOST:$$MLFLOW_PORT   Spark http://$$PUBLIC_HOST:$$SPARK_UI_PORT" \
	  "  Spark history http://$$PUBLIC_HOST:$$SPARK_HISTORY_PORT"

land:  ## put source files into the containers: FROM=folder, MONTHS="2021-01" to download, or else samples
ifdef FROM
	@$(COMPOSE) run --rm --no-deps -T --volume "$(abspath $(FROM)):/from:ro" tools cp --recursive --verbose /from/. /data/landing/
else ifdef MONTHS
	@$(COMPOSE) run --rm --no-deps -T tools python -m local fetch --pipeline $(PIPELINE) $(MONTHS)
else
	@$(COMPOSE) run --rm --no-deps -T tools python -m local samples
endif

seed:  ## replace the rows of a date in the containers' database: FROM=file.csv DATE=2021-01-01 PIPELINE=census
	@$(COMPOSE) run --rm --no-deps -T --volume "$(abspath $(FROM)):/from.csv:ro" tools python -m local seed --pipeline $(PIPELINE) $(if $(DATE),--date $(DATE)) /from.csv

rollback: setup  ## return to the previous champion and score again: PIPELINE=taxi (in containers: make submit)
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/spark-submit jobs/promote_model.py --pipeline $(PIPELINE) --rollback

# Yesterday is the last date: a job needs the whole day.
YESTERDAY = $(shell $(BIN)/python -c "import datetime as d; print(d.datetime.now(d.UTC).date() - d.timedelta(days=1))")

heal: setup  ## work on all owed dates: PIPELINE=taxi, START= and END= for a part (in containers: action=heal in Airflow)
	@for job in ingest build_features score_batch monitor_drift; do \
	  PATH=$(abspath $(BIN)):$$PATH $(BIN)/spark-submit jobs/$$job.py --pipeline $(PIPELINE) $(if $(START),--start $(START)) \
	    --end $(or $(END),$(YESTERDAY)) --catch-up=only || [ $$? -eq 99 ] || exit 1; \
	done

accept: setup  ## accept that a missing date never comes: PIPELINE=taxi DATE=2021-01-05
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/spark-submit jobs/ingest.py --pipeline $(PIPELINE) --end $(DATE) --accept

status: setup  ## print status and map of days of all pipelines: PIPELINE=taxi DAYS=400 for a calendar
	@PYTHONPATH=jobs $(BIN)/python -m batchml.commands.status $(if $(findstring command,$(origin PIPELINE)),--pipeline $(PIPELINE)) $(if $(DAYS),--days $(DAYS)) $(ARGS)

plan: setup  ## print what an edit of the YAML changes, before anything runs: PIPELINE=taxi, ARGS=--json
	@PYTHONPATH=jobs $(BIN)/python -m batchml.commands.plan --pipeline $(PIPELINE) $(ARGS)

try: setup  ## run the edited pipeline on its last days in a sandbox: PIPELINE=taxi DAYS=7, KEEP=1 leaves the sandbox
	@exec env PYTHONPATH=jobs $(BIN)/python -m batchml.commands.trial --pipeline $(PIPELINE) $(if $(DAYS),--days $(DAYS)) $(if $(KEEP),--keep) $(ARGS)

submit:  ## run one job in a container: JOB=build_features ARGS="--pipeline taxi --end 2021-01-05"
	@$(COMPOSE) run --rm --no-deps -T tools spark-submit jobs/$(JOB).py $(ARGS)

ps:  ## list the containers and their state
	@$(COMPOSE) ps

logs:  ## follow the logs of the containers: SERVICE=mlflow for one of them
	@$(COMPOSE) logs --follow --tail 50 $(SERVICE)

down:  ## stop and remove the containers; volumes with tables, models and runs stay
	@$(COMPOSE) --profile '*' down

nuke:  ## remove the containers and all their tables, models and runs, after a confirmation
	@printf 'This removes all tables, models and runs of the containers. Type nuke to continue: ' && read answer && test "$$answer" = nuke
	@$(COMPOSE) --profile '*' down --volumes

test: setup lint  ## run lint, test-code, test-steps and test-local
	@$(MAKE) --no-print-directory --jobs 2 test-steps test-local test-code

# Two suites run at a time, the longest first, because each leaves a core idle for half its time. grep
# writes whole lines, so that the outputs do not mix. Each suite has a separate base folder: a second
# pytest run makes the common one private, and PostgreSQL of the first run could not read it.
SUITE = PYTHONUNBUFFERED=1 $(BIN)/python -m pytest --durations 10 --basetemp .venv/$@
LINES := 2>&1 | grep --line-buffered ''
test-steps test-local test-code test-stack: SHELL := bash
test-steps test-local test-code test-stack: .SHELLFLAGS := -o pipefail -c

test-code: setup  ## part of test: pure code, DAGs, documents and the parts of steps
	@$(SUITE) tests --ignore tests/steps --ignore tests/e2e --ignore tests/stack --ignore tests/long $(LINES)

test-steps: setup  ## part of test: the steps of pipelines, in one Spark session
	@$(SUITE) tests/steps $(LINES)

test-local: setup  ## part of test: make run, make local-up and single jobs, on the local stack
	@$(SUITE) tests/e2e --verbose $(LINES)

test-stack: setup  ## build the image, start the containers, run pipelines in them, and remove them
	@$(SUITE) tests/stack --exitfirst --verbose $(LINES)

test-long: setup  ## run every job on months of up to 20 million rows within 4 GB: an hour or more, not part of CI
	@$(SUITE) tests/long --verbose --capture no

bench: setup  ## compare the jobs with bare Spark and native XGBoost: ROWS=10000000 RUNS=5 PARTS="tables models"
	@PYTHONPATH=jobs $(BIN)/python -m benchmarks.compare_with_spark $(if $(ROWS),--rows $(ROWS)) $(if $(RUNS),--runs $(RUNS)) $(if $(PARTS),--parts $(PARTS))

lint: setup  ## check format, lint, types and layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=jobs:dags:. $(BIN)/lint-imports

format: setup  ## apply ruff's format and fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

schema: setup  ## write conf/pipeline.schema.json, with which editors complete and check a pipeline's YAML
	@PYTHONPATH=jobs $(BIN)/python -m batchml.config.json_schema > conf/pipeline.schema.json

lock: setup  ## resolve pyproject.toml into the lock files
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock

.PHONY: help setup run new ui status plan try local-up local-down env up land seed rollback heal accept submit ps logs down nuke fetch test test-code test-steps test-local test-stack test-long bench lint format schema lock
