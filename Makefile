# make run     start the demo: three services behind the gateway, traces in the terminal
# make test    lint, types, tests
# make bench   this gateway and its peers, side by side
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: run test lint types bench micro clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[test]'
	touch $@

run: $(STAMP)
	@$(BIN)/python -m proxy.demo

test: lint types
	$(BIN)/pytest -n auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/pip install --quiet -e '.[bench]'
	$(BIN)/python -m benchmarks.run

micro: $(STAMP)
	$(BIN)/python -m benchmarks.micro

clean:
	rm -rf $(VENV) build dist *.egg-info
