# Everything runs in .venv, which is made on the first call: nothing is assumed but make and a
# python3 of 3.11 to 3.13 with venv. Another interpreter: make PYTHON=python3.12 setup

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
LOCKS := requirements/build.txt requirements/dev.txt
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-annotate --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup lint test demo bench lock upgrade clean

help:
	@echo "make demo     run both agents with a small hospital around them, and print what crossed"
	@echo "make test     run the whole test suite"
	@echo "make bench    measure latency and throughput beside their floors; bench/results.json"
	@echo "make lint     style, types, who imports whom, no machine's paths in tracked files"
	@echo "make setup    only make .venv with the locked dependencies (each target above does)"
	@echo "make lock     write requirements/*.txt again after pyproject.toml changed"
	@echo "make upgrade  the same, with the newest release of everything"
	@echo "make clean    remove .venv, caches and what demo and bench left"

setup: $(STAMP)

# pyproject.toml is no lock, but it names the console scripts that are installed here.
$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "$(PYTHON) is missing or not Python 3.11, 3.12 or 3.13." >&2; \
	  echo "Install one and name it: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "Python's venv module does not work. Install it, then run make again:" >&2; \
	  echo "  Debian, Ubuntu, UOS, Deepin:  apt-get install python3-venv" >&2; \
	  echo "  openEuler, Kylin, Fedora:     dnf install python3 python3-pip" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  $(addprefix -r ,$(LOCKS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --editable .
	@touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/no_machine_paths.py

test: $(STAMP)
	$(BIN)/python -m pytest

demo: $(STAMP)
	$(BIN)/python -m deploy.demo.demo

bench: $(STAMP)
	$(BIN)/python -m bench.run

# Pins that still fit are kept; every release is pinned with the hashes of its files, and nothing
# says from which registry they come.
lock: $(STAMP)
	$(COMPILE) $(RENEW) --output-file requirements/build.txt requirements/build.in
	$(COMPILE) $(RENEW) --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) $(RENEW) --extra dev --constraint requirements/runtime.txt \
	  --output-file requirements/dev.txt pyproject.toml

upgrade:
	$(MAKE) lock RENEW=--upgrade

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
	  build dist *.egg-info bench/results.json bench/work demo-run
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
