# The two commands of the README are `make demo` and `make test`; both set up all they need into .venv.
.DELETE_ON_ERROR:
.PHONY: demo test test-slow lint types docs bench clean setup

PYTHON ?= python3
BIN := .venv/bin
PRESETS := baseline ffe-low ffe-medium ffe-high mpe-coarse mpe-fine
PICTURE ?= data/pictures/astronaut.png
DEMO ?= demo
UV := $(shell command -v uv 2>/dev/null)

setup: .venv.stamp

# uv, when there is one, does not look at PIP_FIND_LINKS unless told to.
.venv.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
ifdef UV
	uv pip install --quiet --python $(BIN)/python $(foreach place,$(PIP_FIND_LINKS),--find-links $(place)) \
		--constraint constraints.txt --editable '.[torch,dev]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[torch,dev]'
endif
	touch $@

# Six networks learn one picture; their kernels are compared in $(DEMO)/report/index.html.
demo: .venv.stamp
	mkdir -p $(DEMO)
	for preset in $(PRESETS); do \
		$(BIN)/python -m ntkspec.train --image $(PICTURE) --preset $$preset \
			-o $(DEMO)/$$preset.h5 --overwrite || exit $$?; \
	done
	$(BIN)/python -m ntkspec.analyze $(PRESETS:%=$(DEMO)/%.h5) -o $(DEMO)/report --baseline baseline

test: .venv.stamp
	$(BIN)/python -m pytest -m 'not slow'

test-slow: .venv.stamp
	$(BIN)/python -m pytest -m slow

lint: .venv.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: .venv.stamp
	$(BIN)/mypy

# The README's code blocks and commands, run as they stand.
docs: .venv.stamp
	$(BIN)/python tests/readme.py

bench: .venv.stamp
	$(BIN)/python analysis/benchmarks/bench_gram.py
	$(BIN)/python analysis/benchmarks/bench_export.py

clean:
	rm -rf .venv .venv.stamp demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
