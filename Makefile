# Longhand in one word each; `make help` lists them. Nothing but make and Python 3.11 or 3.12 is needed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The first Python that runs and that the pinned packages have wheels for; `make run PYTHON=…` overrides.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && { echo "$$p"; break; }; done)
# An environment that is already there keeps its Python.
KEPT := $(shell .venv/bin/python -c 'import sys; sys.version_info[:2] in ((3, 11), (3, 12)) and print(sys._base_executable)' 2>/dev/null)
INTERPRETER := $(if $(filter command line environment,$(origin PYTHON)),$(PYTHON),$(or $(KEPT),$(PYTHON)))

FILE ?= models/demo/sample.flac
# As it was typed: it reaches the shell as a variable's content, so nothing in a file's name means anything to either.
override FILE := $(value FILE)
export FILE
ENVIRONMENT = "$(or $(INTERPRETER),no-python)" tools/environment.py
BIN := .venv/bin

.PHONY: help run setup test check constraints audit diarise secrets docs docs-serve demo-model demo-diariser clean python

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: python ## Start everything and transcribe a recording: FILE=talk.mp3, ONCE=1 stops after it, UP="--port 9000"
	@case "$$FILE" in "~/"*) FILE="$$HOME/$${FILE#??}" ;; esac; \
	[ -f "$$FILE" ] && [ -r "$$FILE" ] || { \
		printf 'There is no recording "%s" that can be read: give one with FILE, as in make run FILE=talk.mp3\n' "$$FILE" >&2; exit 2; }; \
	$(ENVIRONMENT) run || exit; \
	exec $(BIN)/longhand up "--send=$$FILE" $(if $(filter-out 0,$(ONCE)),--once) $(UP)

setup: python ## Make .venv with what Longhand needs to run
	@$(ENVIRONMENT) run

diarise: python ## Install what telling speakers apart takes as well (some 1.5 GB; with an NVIDIA GPU several)
	@$(ENVIRONMENT) diarise

secrets: ## Make the passwords and keys of docker-compose.yml, once, in the folder secrets
	@sh deploy/secrets.sh

test: python ## Run every test: TESTS="tests/unit -k words"
	@$(ENVIRONMENT) dev
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses=3 $(TESTS)

check: python ## Style, types and the import rule
	@$(ENVIRONMENT) dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: python ## Build the documentation as a site, in build/docs; brings what is made of the program up to date first
	@$(ENVIRONMENT) dev
	@$(BIN)/python -m tools.docs_site.write
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The site is in build/docs: open build/docs/index.html, or make docs-serve"

docs-serve: python ## Show the documentation at http://127.0.0.1:8000 while it is written: ADDRESS=127.0.0.1:9000
	@$(ENVIRONMENT) dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --no-strict --livereload --watch README.md $(if $(ADDRESS),--dev-addr $(ADDRESS))

constraints: python ## Choose the newest versions that fit together anew (takes both Pythons)
	@$(ENVIRONMENT) constraints

audit: python ## Look the pinned versions up among known vulnerabilities (takes the internet)
	@$(ENVIRONMENT) audit --folder build/audit
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements/constraints.txt

demo-model: python ## Train the bundled demo model anew (hours; goes on where it stopped): TRAINING="--scale 0.1"
	@$(ENVIRONMENT) train --folder build/training
	@build/training/bin/python -m models.training.make_demo_model --work work-demo-model $(TRAINING)

demo-diariser: python ## Train the bundled demo diariser anew (hours; goes on where it stopped): TRAINING="--scale 0.1"
	@$(ENVIRONMENT) train-diariser --folder build/training-diariser
	@build/training-diariser/bin/python -m models.training.diariser.make_demo_diariser --work work-demo-diariser $(TRAINING)

clean: ## Remove what was built; recordings and transcripts in data/ stay
	@rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@[ -n "$(INTERPRETER)" ] || { echo "Longhand needs Python 3.11 or 3.12: install one, or name it: make run PYTHON=/path/to/python3.12" >&2; exit 1; }
