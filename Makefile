# make run       start the demo: three services behind the gateway, traces in the terminal
# make test      lint, types, tests; those that tell most once more without compiled modules
# make test-pure       all tests without compiled modules
# make test-sanitized  all tests with modules that find bad accesses to memory, in build/sanitized
# make fuzz      libFuzzer over what reads strangers' bytes in C, for ten minutes
# make test-all  what make test does, then a part of it under every other Python that is at hand
# make build     compile what has changed; everything above that runs compiled does so by itself
# make packages  build wheel and source archive and use both as their users would
# make ui        bundle again what the admin port's pages use of others (needs npm)
# make bench     this gateway and its peers, side by side
# make micro     what one request costs, part by part
# make bench-check   no request may cost more instructions than benchmarks/baseline*.json say
#
# A C compiler is used where there is one and not asked for; SPANGATE_PURE=1 does without.

# The distribution's own interpreter where it will do: it is built with profile-guided
# optimisation, and version managers' often are not, which costs a fifth (docs/performance.md).
PYTHON ?= $(or $(shell for p in /usr/bin/python3 python3; do \
    $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && echo $$p && break; done),python3)
VENV := .venv
BIN  := $(VENV)/bin

# Twice quiet: errors are told, warnings about folders of this machine are not.
PIP  := $(BIN)/pip --disable-pip-version-check install -qq
HERE := SPANGATE_PURE=1 $(PIP) --no-build-isolation -e
HEADERS := $(shell find proxy -name '*.pxd')
INPUTS := setup.py $(HEADERS) $(shell find proxy -name '*.h') $(wildcard $(HEADERS:.pxd=.py) $(HEADERS:.pxd=.pyx))
ifeq ($(SPANGATE_PURE),1)
COMPILE := true
else
COMPILE := touch $(VENV)/.compiling; \
    $(BIN)/python setup.py -q build_ext --inplace >$(VENV)/compile.log 2>&1; \
    $(BIN)/python -c 'import sys; from proxy.plain import WHY_PLAIN, told; \
        print("spangate:", told()); sys.exit(bool(WHY_PLAIN))' && \
    mv $(VENV)/.compiling $(VENV)/.compiled
endif
# The tests that tell most of the sources that are compiled.
PURE := $(wildcard tests/kernel) tests/http tests/routing tests/tracing tests/upstream \
    tests/telemetry tests/test_end_to_end.py

.PHONY: run test test-pure test-sanitized fuzz test-all build packages lint types ui \
    bench bench-check micro clean

$(VENV)/.run: pyproject.toml
	@echo "Setting up $(VENV), once; this takes a minute."
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv is missing: apt install python3-venv"; exit 1; }
	@$(BIN)/python -c 'import tomllib; \
	    print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	    >$(VENV)/build.txt
	@$(PIP) --no-compile -r $(VENV)/build.txt
	@$(HERE) .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	$(HERE) '.[test]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(HERE) '.[bench]'
	@touch $@

# Not done where there is no compiler, so that the next time may find one.
$(VENV)/.compiled: $(INPUTS) | $(VENV)/.run
	@[ -z "$$(find $^ -newer $@ 2>&1)" ] || { $(COMPILE); } || true

build: $(VENV)/.compiled

# The first time nobody waits for the compiler: the demo begins as plain Python, and its workers
# are replaced when it has done its work (proxy/demo/compiled.py).
run: $(VENV)/.run
	@if [ -e $(VENV)/.compiled ]; then $(MAKE) -s build; else nice $(MAKE) -s build & fi; \
	SPANGATE_COMPILED=$(VENV)/.compiled exec $(BIN)/python -m proxy.demo

test: lint types $(VENV)/.compiled
	$(BIN)/pytest -n auto
	SPANGATE_PURE=1 $(BIN)/pytest -n auto $(PURE)

test-pure: $(VENV)/.test
	SPANGATE_PURE=1 $(BIN)/pytest -n auto

test-sanitized: $(VENV)/.test
	.ci/sanitize

fuzz: $(VENV)/.test
	.ci/fuzz 600

test-all: test
	.ci/interpreters

packages: $(VENV)/.test
	.ci/packages

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

# Not needed to run, test or install: what it makes is committed.
ui:
	npm ci --prefix ui --ignore-scripts --no-audit --no-fund --loglevel=error
	node ui/build.mjs

bench: $(VENV)/.bench $(VENV)/.compiled
	$(BIN)/python -m benchmarks.run

bench-check: $(VENV)/.test $(VENV)/.compiled
	$(BIN)/python -m benchmarks.instructions --check

micro: $(VENV)/.test $(VENV)/.compiled
	$(BIN)/python -m benchmarks.micro

clean:
	rm -rf $(VENV) build dist *.egg-info proxy/kernel/built*.txt
	find proxy -name '*.so' -delete
