# Every target makes its own environment first: a venv with uv from the package index, then what uv.lock says.
# A second run finds the stamp and starts at once. Needs git, make and Python 3.11 or newer with venv.

UV_VERSION := 0.13.9
STAMP := .venv/.synced
UV := .cache/uv/bin/uv
RUN := .venv/bin
CHECKOV := .cache/checkov/bin/checkov
ENGINE := .cache/ministack/bin/ministack
TEMPLATES := template.yaml global.yaml dsql.yaml
# Any final CPython from 3.11 will do; a version manager's shim that answers nothing is passed over.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.14,\
	$(shell $(p) -c 'import sys, venv; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))

# Python's compiled files go below .cache, also where the environment says to write none: each process starts sooner.
BYTECODE := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/.cache/bytecode
# A worker of pytest-xdist for each core; who is free takes the next test.
WORKERS := -n logical --dist worksteal

.PHONY: help setup demo check test foreign lint bench mutants sync lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## make .venv from uv.lock

$(UV):
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv found; name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): $(UV) uv.lock pyproject.toml layers/beacon/pyproject.toml cli/pyproject.toml lab/pyproject.toml
	UV_PYTHON_DOWNLOADS=never $(UV) sync --quiet --frozen --python $(if $(PYTHON),$(PYTHON),python3)
	@touch $(STAMP)

demo: $(STAMP) ## two Regions on this machine: fail over, heal, drain, release
	@exec $(RUN)/beacon-lab demo $(ARGS)

check: $(STAMP) ## the loop while you edit: style, types, unit and property tests; about a minute
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(BYTECODE) $(RUN)/python -m pytest -q --quick $(WORKERS) tests/unit tests/property tests/architecture $(ARGS)

test: $(STAMP) $(ENGINE) ## all tests (ARGS="-k name" narrows), in the phases of tests/phases.py
	$(BYTECODE) $(RUN)/python -m tests.phases $(ARGS)

# The CloudFormation engine is not part of this project, and has a lock file and an environment of its own as well.
$(ENGINE): $(UV) tools/foreign_engine/uv.lock tools/foreign_engine/pyproject.toml
	UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$(CURDIR)/.cache/ministack $(UV) sync --quiet --frozen \
		--project tools/foreign_engine --python $(if $(PYTHON),$(PYTHON),python3)
	@touch $@

foreign: $(STAMP) $(ENGINE) ## deploy the templates through a CloudFormation engine that is not ours
	$(RUN)/python -m pytest tests/foreign $(ARGS)

# checkov has a lock file and an environment of its own: it pins an older boto3 than the rest uses.
$(CHECKOV): $(UV) tools/checkov/uv.lock tools/checkov/pyproject.toml
	UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$(CURDIR)/.cache/checkov $(UV) sync --quiet --frozen \
		--project tools/checkov --python $(if $(PYTHON),$(PYTHON),python3)
	@touch $@

lint: $(STAMP) $(CHECKOV) ## formatter, linter, words, types, templates
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/python -m tools.plain_words
	$(RUN)/python -m tools.sync_side --check
	$(RUN)/mypy
	for template in $(TEMPLATES); do SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 \
		$(RUN)/sam validate --lint --template $$template || exit 1; done
	$(RUN)/python -m tools.template_gate $(CHECKOV)
	$(RUN)/python -m pytest -q tests/template

bench: $(STAMP) ## benchmarks (NAME=fault_to_dns runs one); writes benchmarks/results.json
	$(RUN)/python benchmarks/run.py $(NAME)

mutants: $(STAMP) ## change the pure modules, see whether a test fails (NAME=rank tries one)
	$(RUN)/python -m tools.mutants $(ARGS) $(NAME)

sync: $(STAMP) ## write the client's side for threads from its side for asyncio
	$(RUN)/python -m tools.sync_side

lock: $(UV) ## resolve the dependencies again and export the layer's
	$(UV) lock
	$(UV) lock --project tools/checkov
	$(UV) lock --project tools/foreign_engine
	$(UV) export --quiet --frozen --no-dev --no-emit-workspace --no-header --package dsql-beacon \
		--extra publisher --prune boto3 \
		--output-file layers/beacon/src/requirements.txt

clean: ## remove everything that was made here
	rm -rf .venv .cache .aws-sam .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis
