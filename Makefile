PYTHON ?= python3
BIN := .venv/bin

# Byte code is stored whatever the environment says: the tests start many processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: quick test test-slow gpu-check bench bench-compiled bench-augment bench-grid bench-kernels bench-tune bench-report bench-scale bench-shift bench-verdict bench-startup reference-report hostile fuzz docs install check check-types check-quick format clean

# The main job on real images: 8 runs, then their table.
quick: install
	$(BIN)/slbench run-grid studies/quick.toml
	$(BIN)/slbench report studies/quick.toml

# What CI runs first: format, lint, types, the quick tests.
test: install
	$(MAKE) check

test-slow: install
	$(BIN)/pytest -m slow -n auto --dist worksteal -rs $(PYTEST_FLAGS)

# For owners of a GPU: tests that need one, then the check of the device.
gpu-check: install
	$(BIN)/pytest -m gpu -rs
	$(BIN)/slbench doctor --selftest

# Timings; most are ratios of commands that were run in turns.
# Networks beside those of vit-pytorch and timm, which this installs; 15 to 20 minutes.
bench: .venv/.bench
	$(BIN)/python -W ignore -m benchmarks.networks

# The same with each network compiled too; some two hours.
bench-compiled: .venv/.bench
	$(BIN)/python -W ignore -m benchmarks.networks --compiled

.venv/.bench: .venv/.installed
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

bench-augment: install
	$(BIN)/python -m benchmarks.augment

bench-grid: install
	$(BIN)/python -m benchmarks.grid

bench-kernels: install
	$(BIN)/python -W ignore -m benchmarks.kernels

bench-tune: install
	$(BIN)/python -m benchmarks.tune

bench-report: install
	$(BIN)/python -m benchmarks.report

# SPT beside the same networks without it; CPU time, so that other programs disturb it little.
bench-shift: install
	$(BIN)/python -m benchmarks.shift_cost

bench-scale: install
	$(BIN)/python -m benchmarks.scale

bench-verdict: install
	$(BIN)/python -m benchmarks.verdict

bench-startup: install
	$(BIN)/python -m benchmarks.startup

# Reports of the reference studies from their committed runs, in build/reference; an error if they differ from the committed ones.
reference-report: install
	$(BIN)/python -m tests.reference

# A battery of bad inputs, each with what it must do; half an hour or more.
hostile: install
	$(BIN)/python -m tests.hostile

# A search for inputs that break a reader.
MINUTES ?= 5
fuzz: install
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

# The documentation, into build/site; a broken link is an error.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/.docs: .venv/.installed
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

# The set-up alone. It is redone when pyproject.toml changes.
install: .venv/.installed

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

check:
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(MAKE) --jobs=2 check-types check-quick

# Both at once: mypy uses one core.
check-types:
	$(BIN)/mypy

check-quick:
	$(BIN)/pytest -n auto --dist worksteal --durations=15 $(PYTEST_FLAGS)

format:
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
