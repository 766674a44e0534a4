# make run       start the demo: three services behind the gateway, traces in the terminal
# make test      lint, types, tests
# make test-all  the same, then a part of the tests under every other Python that is at hand
# make packages  build wheel and source archive and use both as their users would
# make bench     this gateway and its peers, side by side
# make micro     what one request costs, part by part
# make bench-check   no request may cost more instructions than benchmarks/baseline*.json say

# The distribution's own interpreter where it will do: it is built with profile-guided
# optimisation, and version managers' often are not, which costs a fifth (docs/performance.md).
PYTHON ?= $(or $(shell for p in /usr/bin/python3 python3; do \
    $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && echo $$p && break; done),python3)
VENV := .venv
BIN  := $(VENV)/bin

.PHONY: run test test-all packages lint types bench bench-check micro clean

$(VENV)/.run: pyproject.toml
	@echo "Setting up $(VENV), once; this takes a moment."
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

run: $(VENV)/.run
	@$(BIN)/python -m proxy.demo

test: lint types
	$(BIN)/pytest -n auto

test-all: test
	.ci/interpreters

packages: $(VENV)/.test
	.ci/packages

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.run

bench-check: $(VENV)/.test
	$(BIN)/python -m benchmarks.instructions --check

micro: $(VENV)/.test
	$(BIN)/python -m benchmarks.micro

clean:
	rm -rf $(VENV) build dist *.egg-info
