# A fresh machine needs Python 3.11 or newer and make. `make demo` and `make test` set up the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
SDV := .venv-sdv
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ODDROW_DATA ?= $(abspath $(wildcard ../shared/data))
export ODDROW_DATA
RESULTS := benchmarks/results
RECIPES ?= ecg arrhythmia thyroid
# Compiling takes most of the time and runs on one core; tests in one file share what was compiled.
ALL_CORES := --numprocesses auto --dist loadfile

.PHONY: help setup bench-setup sdv-setup demo test test-all check matrix dist bench bench-quality tables bench-large docs docs-outputs docs-reports format clean
help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/ready  ## build .venv with oddrow and the tools for development

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "oddrow needs Python 3.11 or newer. Name one: make PYTHON=python3.12 setup"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed. Install the venv package of your system (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

bench-setup: $(BENCH)/ready  ## build .venv-bench with oddrow and its peers for benchmarks/ (3.5 GB)

$(BENCH)/ready: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --requirement benchmarks/requirements.txt --editable .
	@touch $@

sdv-setup: $(SDV)/ready  ## build .venv-sdv with oddrow, CTGAN and SDV for benchmarks/sampler_speed.py

$(SDV)/ready: pyproject.toml benchmarks/requirements-sdv.txt
	$(PYTHON) -m venv $(SDV)
	$(SDV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement benchmarks/requirements-sdv.txt --editable .
	@touch $@

demo: setup  ## run the main job on simulated transactions, about a minute
	$(BIN)/oddrow demo

test: setup  ## run the tests, without the slow ones, on every core
	$(BIN)/python -m pytest $(ALL_CORES) -m "not slow"

test-all: setup  ## run every test and print the coverage
	$(BIN)/python -m pytest $(ALL_CORES) --cov=oddrow --cov-report=term:skip-covered

check: setup  ## run ruff, mypy --strict and numpydoc
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/check_docstrings.py

matrix: setup  ## run the tests on every installed Python from 3.11 to 3.14, and with the lowest versions promised
	.ci/matrix

dist: setup  ## build wheel and sdist in dist/, check them, and run the demo from the wheel
	PYTHON=$(PYTHON) .ci/dist

bench: bench-setup setup  ## measure speed and write docs/benchmarks.md: 20 minutes on two quiet cores
	$(BENCH)/bin/python benchmarks/train_speed.py --json $(RESULTS)/training.json
	$(BENCH)/bin/python benchmarks/score_speed.py --json $(RESULTS)/scoring.json
	$(BIN)/python benchmarks/file_speed.py --json $(RESULTS)/files.json
	$(BIN)/python benchmarks/memory_fit.py --json $(RESULTS)/memory.json
	$(BENCH)/bin/python benchmarks/row_speed.py --json $(RESULTS)/rows.json
	$(BIN)/python benchmarks/growth.py --json $(RESULTS)/growth.json
	$(BIN)/python benchmarks/page.py

bench-quality: setup tables  ## measure quality on 22 tables and write docs/quality.md: an hour on two cores
	cd benchmarks && ODDROW_DATA=$(abspath $(ODDROW_DATA)) ../$(BIN)/python -m quality.measure
	cd benchmarks && ODDROW_DATA=$(abspath $(ODDROW_DATA)) ../$(BIN)/python -m quality.frauds
	cd benchmarks && ODDROW_DATA=$(abspath $(ODDROW_DATA)) ../$(BIN)/python -m quality.cost
	cd benchmarks && ODDROW_DATA=$(abspath $(ODDROW_DATA)) ../$(BIN)/python -m quality.page

tables: setup
	$(BIN)/python benchmarks/prepare_tables.py

bench-large: setup  ## score 100 million rows, fit 20 million with --memory: 20 GB of disk, 12 GB of memory
	$(BIN)/python benchmarks/file_speed.py --large --json $(RESULTS)/files-large.json
	$(BIN)/python benchmarks/memory_fit.py --files 20 --memory 2GB --json $(RESULTS)/memory-large.json

docs: setup  ## build the documentation site in site/, strictly
	$(BIN)/python docs/build.py

docs-outputs: setup  ## run the examples of the documentation and README.md, and rewrite their outputs
	$(BIN)/python docs/outputs.py

docs-reports: setup  ## run RECIPES on the files in ODDROW_DATA and put their reports into the gallery of the site
	@mkdir -p docs/gallery
	for recipe in $(RECIPES); do \
	  $(BIN)/oddrow recipe $$recipe --data "$(ODDROW_DATA)" --out build/$$recipe && \
	  cp build/$$recipe/report.html docs/gallery/$$recipe.html || exit 1; \
	done

format: setup  ## format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove everything that make and Python wrote
	rm -rf $(VENV) $(BENCH) $(SDV) .venv-matrix build dist site .cache docs/gallery docs/reference/api docs/reference/cli.md .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis demo tables
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
