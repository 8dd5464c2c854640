# The two commands of the README are `make demo` and `make test`; both set up all they need into .venv.
.DELETE_ON_ERROR:
.PHONY: setup demo demo-runs demo-cluster test test-slow test-pythons test-oldest dist lint types docs site bench bench-full bench-peers certify spectra networks tables fuzz kills cluster-studies paper paper-full jax-example test-lightning clean

PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null)
DEMO ?= demo
FILES ?= 20000
SHARE ?= 50
KILLS ?= 100
SEED ?= 1
PICTURE ?= data/pictures/astronaut.png
# Where networks are trained: auto takes a GPU if PyTorch sees one; cpu, cuda.
DEVICE ?= auto
PRESETS := baseline ffe-low ffe-medium ffe-high mpe-coarse mpe-fine
RUNS := $(PRESETS:%=$(DEMO)/%.h5)

setup: .venv.stamp

# uv, when there is one, does not look at PIP_FIND_LINKS unless told to.
.venv.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
ifdef UV
	uv pip install --quiet --python $(BIN)/python $(foreach place,$(PIP_FIND_LINKS),--find-links $(place)) \
		--constraint constraints.txt --editable '.[torch,cluster,study,docs,dev]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[torch,cluster,study,docs,dev]'
endif
	touch $@

# Six networks learn one picture; $(DEMO)/report/index.html shows why some of them can and others cannot.
# Two at a time with one thread each: small networks gain little from a second thread.
demo: .venv.stamp
	@mkdir -p $(DEMO)
	@$(MAKE) --no-print-directory -j2 demo-runs
	@echo "analysing the six kernels"
	@$(BIN)/python -m ntkspec.analyze $(RUNS) -o $(DEMO)/report --baseline baseline

demo-runs: $(RUNS)

$(DEMO)/%.h5: $(PICTURE) $(wildcard ntkspec/*.py ntkspec/*/*.py)
	@echo "training $* on $(PICTURE) (about 20 s)"
	@$(BIN)/python -m ntkspec.train --image $(PICTURE) --preset $* -o $@ --overwrite --threads 1 --device $(DEVICE) --quiet

# A scheduler and two workers on this machine, 24 runs from the demo, one of them cut short, a worker killed midway.
demo-cluster: .venv.stamp
	@mkdir -p $(DEMO)
	@$(MAKE) --no-print-directory -j2 demo-runs
	@$(BIN)/python analysis/cluster_demo.py $(RUNS) -o demo-cluster
	@echo "the report of all: demo-cluster/results/population/index.html"

# The package is compiled first, for the hundred processes that tests start: some machines forbid Python to do so.
test: .venv.stamp
	$(BIN)/python -m compileall -q ntkspec
	$(BIN)/python -m pytest -m 'not slow' --numprocesses 2 --dist loadfile

test-slow: .venv.stamp
	$(BIN)/python -m pytest -m slow

# The tests that need no PyTorch, on each of these versions of Python that is found, with the newest packages, and
# on the first one with the oldest that pyproject.toml allows.
PYTHONS ?= 3.11 3.12 3.13 3.14

test-pythons:
	@for version in $(PYTHONS); do .ci/test-python $$version || exit; done

test-oldest:
	@.ci/test-python $(firstword $(PYTHONS)) constraints-oldest.txt

# sdist and wheel, in dist/, tried in an environment of their own.
dist:
	@PYTHON=$(PYTHON) .ci/distribution

lint: .venv.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: .venv.stamp
	$(BIN)/mypy

# The README's code blocks and commands, run as they stand.
docs: .venv.stamp
	$(BIN)/python tests/readme.py

# The documentation, in docs/_build/html; the notebook and the gallery's scripts are run. A warning is an error.
site: .venv.stamp
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "the site: docs/_build/html/index.html"

# Speed and memory side by side with other tools, each in an environment of its own. `bench` is short, about ten
# minutes on 2 cores, and writes to analysis/benchmarks/quick; `bench-full` takes hours and about 12 GB of memory, and
# replaces analysis/benchmarks/results and the tables of docs/benchmarks.md.
BENCHMARKS := gram eigen export analyze growth

bench: bench-peers
	@for name in $(BENCHMARKS); do $(BIN)/python analysis/benchmarks/bench_$$name.py --quick || exit; done
	@echo "results: analysis/benchmarks/quick"

bench-full: bench-peers
	@for name in $(BENCHMARKS); do $(BIN)/python analysis/benchmarks/bench_$$name.py || exit; done
	$(BIN)/python analysis/studies/benchmark_tables.py
	@echo "results: analysis/benchmarks/results and docs/benchmarks.md"

bench-peers: .venv.stamp
	$(BIN)/python analysis/benchmarks/peers.py

# Certified bounds against exact arithmetic on hostile kernels: about half an hour for 100,000 on 2 cores.
CASES ?= 100000
certify: .venv.stamp
	OMP_NUM_THREADS=1 $(BIN)/python tests/hostile/certify.py --cases $(CASES) --write analysis/results/certify.json

# Stated errors, floors and ranks of structured spectra, and reports of small exported networks, against exact
# arithmetic: minutes each on 2 cores.
spectra: .venv.stamp
	OMP_NUM_THREADS=1 $(BIN)/python tests/hostile/spectra.py --write analysis/results/spectra.json

networks: .venv.stamp
	OMP_NUM_THREADS=1 $(BIN)/python tests/hostile/networks.py --write analysis/results/networks.json

# The tables of docs/method.md and docs/hostile.md: needs `make demo`, and what `make certify`, `make spectra`,
# `make networks`, `make fuzz` and `make kills` left in analysis/results.
tables: .venv.stamp
	$(BIN)/python analysis/studies/floor_table.py
	$(BIN)/python analysis/studies/tightness_table.py $(DEMO)
	$(BIN)/python analysis/studies/hostile_tables.py

# Damaged run files by the thousand, and writers killed at random moments; each prints a summary as JSON.
fuzz: .venv.stamp
	$(BIN)/python tests/hostile/fuzz.py --files $(FILES) --seed $(SEED) --share $(SHARE) --write analysis/results/fuzz.json

kills: .venv.stamp
	$(BIN)/python tests/hostile/kills.py --kills $(KILLS) --seed $(SEED) --write analysis/results/kills.json

# What docs/cluster.md and docs/scale.md say of batches: an hour on 2 cores, which should have nothing else to do.
cluster-studies: .venv.stamp
	$(BIN)/python analysis/studies/batch_kills.py --write analysis/results/batch_kills.json
	$(BIN)/python analysis/studies/batch_speed.py --write
	$(BIN)/python analysis/studies/shared_gram.py --write
	$(BIN)/python analysis/studies/scale.py --write

# The paper rerun, from a folder of pictures and one of watertight meshes; what is there is not made again.
# `paper` is scaled down to ten pictures, and three for all that is varied: its page is $(PAPER)/paper.md. `paper-full`
# takes all pictures, ten for what is varied, and twenty for alignment, hours on 2 cores; it replaces
# analysis/results/paper and the tables of docs/paper.md. Pictures have $(SIDE) pixels a side, as in `make paper DEVICE=cuda SIDE=512`; studies of another side than
# the usual one are in folders of their own, such as paper-512, results and page included. Each study says, once its first
# networks are done, how long all may take.
USUAL_SIDE := 192
SIDE ?= $(USUAL_SIDE)
SIZED := $(if $(filter-out $(USUAL_SIDE),$(SIDE)),-$(SIDE))
PICTURES ?= $(NTKSPEC_DATA)/imagenet100
MESHES ?= $(NTKSPEC_DATA)/meshes
PAPER ?= paper$(SIZED)
RESULTS ?= $(PAPER)/results
PAGE ?= $(PAPER)/paper.md
COUNT ?= --count 10
FEW ?= --count 3
ALIGNED ?= $(FEW)
STUDY := $(BIN)/python -m analysis.paper
OF_PICTURES := --side $(SIDE) --device $(DEVICE)

paper: .venv.stamp
	$(STUDY).runs2d "$(PICTURES)" -o $(PAPER)/2d $(OF_PICTURES) $(COUNT)
	$(STUDY).runs2d data/pictures -o $(PAPER)/shipped $(OF_PICTURES)
	$(STUDY).runs3d "$(MESHES)" -o $(PAPER)/3d --device $(DEVICE) --azimuth armadillo=205
	$(STUDY).sweeps "$(PICTURES)" -o $(PAPER)/sweeps $(OF_PICTURES) $(FEW)
	$(STUDY).weights $(PAPER)/sweeps -o $(RESULTS)/weights.json
	$(STUDY).activations "$(PICTURES)" -o $(PAPER)/activations --results $(RESULTS) $(OF_PICTURES) $(FEW)
	$(STUDY).interpolation "$(PICTURES)" -o $(PAPER)/interpolation --results $(RESULTS) $(OF_PICTURES) $(FEW)
	$(STUDY).held_out "$(PICTURES)" -o $(PAPER)/held_out --results $(RESULTS) $(OF_PICTURES) $(FEW)
	$(STUDY).alignment "$(PICTURES)" -o $(PAPER)/alignment --results $(RESULTS) $(OF_PICTURES) $(ALIGNED)
	$(STUDY).costs "$(PICTURES)" --results $(RESULTS)
	$(STUDY).page $(PAPER) --results $(RESULTS) --page $(PAGE)

paper-full:
	$(MAKE) paper PAPER=paper-full$(SIZED) $(if $(SIZED),,RESULTS=analysis/results/paper PAGE=docs/paper.md) \
		COUNT= FEW='--count 10' ALIGNED='--count 20'

# A run file written from JAX, and its analysis, in an environment with JAX and without PyTorch: a minute or two the
# first time. It fails where the kernel of the file is not JAX's own J J^T.
JAX := analysis/jax_example
JAX_BIN := $(JAX)/.venv/bin
JAX_RUN ?= jax.h5

jax-example: $(JAX)/.venv.stamp
	$(JAX_BIN)/python $(JAX)/jax_field.py $(JAX_RUN)
	$(JAX_BIN)/python -m ntkspec.validate $(JAX_RUN)
	$(JAX_BIN)/python -m ntkspec.analyze $(JAX_RUN)

$(JAX)/.venv.stamp: $(JAX)/requirements.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(JAX)/.venv
	$(JAX_BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement $(JAX)/requirements.txt --editable .
	touch $@

# The callback of `ntkspec.export.lightning` with Lightning itself, and a run file that it recorded, in an environment
# with Lightning: two minutes the first time.
LIGHTNING := analysis/lightning_example
LIGHTNING_BIN := $(LIGHTNING)/.venv/bin
LIGHTNING_RUN ?= lightning.h5

test-lightning: $(LIGHTNING)/.venv.stamp
	$(LIGHTNING_BIN)/python -m pytest tests/export/test_recorder_lightning.py \
		'tests/test_examples.py::test_examples[ntkspec.export.lightning]'
	$(LIGHTNING_BIN)/python $(LIGHTNING)/lightning_field.py $(LIGHTNING_RUN)
	$(LIGHTNING_BIN)/python -m ntkspec.analyze $(LIGHTNING_RUN)

$(LIGHTNING)/.venv.stamp: $(LIGHTNING)/requirements.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(LIGHTNING)/.venv
	$(LIGHTNING_BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement $(LIGHTNING)/requirements.txt --editable '.[torch]'
	touch $@

clean:
	rm -rf .venv .venv.stamp docs/_build docs/auto_gallery docs/gallery/runs .venvs $(JAX)/.venv $(JAX)/.venv.stamp $(LIGHTNING)/.venv $(LIGHTNING)/.venv.stamp $(DEMO) demo-cluster build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
