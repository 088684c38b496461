.DEFAULT_GOAL := help
.PHONY: help report test lint lab lock notebooks dictionary demo drills bench

PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

help:  ## say what there is to type
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

# The environment, from the lock and nothing else: with uv where it can be had, with pip where not.
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 report" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what requirements.lock names into .venv (once) ..."
	@$(BIN)/pip install -q uv 2>/dev/null || true
	@if $(BIN)/uv --version >/dev/null 2>&1 && $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock; \
	  then $(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	  else $(BIN)/pip install -q --require-hashes -r requirements.lock && $(BIN)/pip install -q --no-deps --no-build-isolation -e .; fi
	@touch $@

report: .venv/ready  ## run all notebooks on the built-in data set and publish the report
	@$(BIN)/cx report

test: .venv/ready lint  ## everything that must hold: lint, types, tests, doctests, notebooks, browser
	$(BIN)/python -m pytest -n 2 --dist loadfile tests cxlib
	$(BIN)/python -m pytest -p no:xdist --nbval --nbval-current-env --nbval-cell-timeout 120 notebooks

lint: .venv/ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: .venv/ready  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

notebooks: .venv/ready  ## run the committed notebooks in place, at their default parameters
	$(BIN)/jupyter nbconvert --to notebook --inplace --execute --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

dictionary: .venv/ready  ## print data/README.md from the schema
	$(BIN)/python -c "from cxlib.schema import dictionary; print(dictionary(), end='')" > data/README.md

demo: .venv/ready  ## make data/demo anew
	$(BIN)/cx demo --users 2000 --seed 1 --out data/demo

drills: .venv/ready  ## slow proofs, hundreds of simulated worlds; writes tests/drills/results.md; PROOF=times: that one alone
	PYTHONPATH=tests $(BIN)/python -m drills $(PROOF)

# The tools that the bench compares with, from a lock of their own: pm4py is AGPL and stays out of .venv.
.venv-bench/ready: tests/bench/requirements.lock .venv/ready
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@echo "Installing what tests/bench/requirements.lock names into .venv-bench (once) ..."
	@if $(BIN)/uv --version >/dev/null 2>&1 \
	    && $(BIN)/uv pip install -q --python .venv-bench/bin/python --no-deps --require-hashes -r tests/bench/requirements.lock; then true; \
	  else .venv-bench/bin/pip install -q --no-deps --require-hashes -r tests/bench/requirements.lock; fi
	@touch $@

SIZE ?= 10
BENCH ?= journey themes escalation

bench: .venv/ready .venv-bench/ready  ## ours beside other tools: 10 million touches, Banking77, a forecast; SIZE=100: ours alone on 100 million; BENCH=themes: that alone
	$(if $(filter journey,$(BENCH)),PYTHONPATH=tests $(BIN)/python -m bench.journey --millions $(SIZE))
	$(if $(filter themes,$(BENCH)),PYTHONPATH=tests $(BIN)/python -m bench.themes)
	$(if $(filter escalation,$(BENCH)),PYTHONPATH=tests $(BIN)/python -m bench.escalation)

lock: .venv/ready  ## pin every version again, with hashes
	$(BIN)/uv pip compile pyproject.toml --group dev --upgrade --python-version 3.11 --universal --fork-strategy fewest \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
