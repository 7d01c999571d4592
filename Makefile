# Needs make, Python 3.11 or newer with venv, and a C library. Nothing else.
#   make demo       the whole main job on the data that ships, in .demo/
#   make test       the everyday tests            make test-all   everything
#   make lint       ruff, types, import contracts

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.PHONY: venv demo test test-slow test-all lint bench-quality bench-sensitivity bench-calibration bench-generative bench-speed bench-page clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n '2,4s/^# *//p' Makefile

venv: $(STAMP)

# The stamp is newer than what decides the environment: installed once, and again when that changes.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.11 with venv found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) and installing; this takes some minutes the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/python -m flows.demo

# A file's tests share servers and trained models: neighbours stay in one process, in the everyday
# tests until the other runs dry.
# Threads that wait must not spin, or two processes on two cores stand in each other's way.
test test-slow: export OMP_WAIT_POLICY = passive
test: $(STAMP)
	$(PYTEST) -m "not slow" -n 2 --dist worksteal

test-slow: $(STAMP)
	$(PYTEST) -m slow -n 2 --dist loadfile

test-all: test test-slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Resumable: finished runs are lines in benchmarks/results/ and are not run again.
bench-quality: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[benchmarks]'
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.quality --fixed-split
	$(BIN)/python -m benchmarks.fit_time
	$(BIN)/python -m benchmarks.mixed
	$(BIN)/python -m benchmarks.contamination
	$(BIN)/python -m benchmarks.missing
	$(BIN)/python -m benchmarks.explanations
	$(BIN)/python -m benchmarks.ablation

# Default settings against tuned ones: docs/sensitivity.md. Resumable too.
bench-sensitivity: $(STAMP)
	$(BIN)/python -m benchmarks.sensitivity

# What thresholds promise, simulated and on real data: docs/calibration.md. Resumable too.
bench-calibration: $(STAMP)
	$(BIN)/python -m benchmarks.calibration

# Rows a second, memory and cold start beside peers and limits: docs/performance.md.
bench-speed: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[benchmarks]'
	$(BIN)/python -m benchmarks.speed

# What the models say, draw and bring back, of pictures: docs/generative.md. Resumable, but for pictures.
bench-generative: $(STAMP)
	$(BIN)/python -m benchmarks.likelihood --minutes 8
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.sprites
	$(BIN)/python -m benchmarks.collapse
	$(BIN)/python -m benchmarks.bits --minutes 8
	$(BIN)/python -m benchmarks.picture_anomalies
	$(BIN)/python -m benchmarks.lecture
	$(BIN)/python -m benchmarks.page

# The pages alone, from the runs that are there.
bench-page: $(STAMP)
	$(BIN)/python -m benchmarks.page

clean:
	rm -rf $(VENV) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
