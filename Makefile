# Two commands matter: `make report` and `make test`. Both set themselves up.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready

.PHONY: help setup data report test lab site clean
.DEFAULT_GOAL := help

help:   ## show this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

setup: $(READY)  ## an environment of its own with everything installed

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Point PYTHON at one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

data: setup  ## the synthetic MM5 in data/mm5_synth (does nothing where it is complete)
	$(PY) -m rgbd_lib data synth

report: setup  ## data, quick runs of every method, tables, figures, chapters
	$(PY) -m rgbd_lib report

test: setup  ## lint and all tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest

lab: setup  ## JupyterLab on this machine only, with a token
	$(PY) -m jupyter lab --ServerApp.ip=127.0.0.1 --notebook-dir=notebooks

site: setup  ## the book as pages in site/, to read without Python (nothing is executed)
	$(PY) -m rgbd_lib site

clean:  ## remove what can be made again: data, caches, runs, quick tables (the published ones stay)
	rm -rf data .cache results/runs results/notebooks results/quick results/smoke figures/quick figures/smoke
	rm -rf build site .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
